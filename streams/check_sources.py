"""What a sources file can say that nobody can mean, and which promises its sources can measure at all."""

from __future__ import annotations

from collections.abc import Callable

from schemas.fact import DERIVED_KINDS
from schemas.sources import Sources
from streams.check_policy import CONDITIONS, KINDS, host_of, nearest, refuse_doubled
from streams.connectors import CONNECTORS, MANUAL_KINDS, ROUTED_KINDS, Shared, declared_kinds
from streams.polling import SOURCES
from streams.yaml_lines import Faults, Node

#: Roles whose tokens may report facts by POST /facts.
REPORTING_ROLES = frozenset({"talent_acquisition", "hiring_manager", "approver"})


def check_sources(file: Node) -> None:
    """Adds every fault of the sources that their model cannot see."""
    for account in file["accounts"]:
        system = account["system"]
        if system.text is not None and system.text not in CONNECTORS:
            system.fault(f"there is no connector for {system.text}; {nearest(system.text, CONNECTORS)}")
        connector = CONNECTORS.get(system.text or "")
        for record in account["polled"] if connector else ():
            if connector and record.text is not None and record.text not in connector.record_kinds:
                record.fault(f"{system.text} has no records {record.text}; {nearest(record.text, connector.record_kinds)}")
        if account["api"].value is not None:
            _check_api(account)
        shared = isinstance(connector, Shared)
        if shared and account["webhook_secrets"].value and account["linked_account"].value is None:
            account.fault(f"{system.text}'s webhooks serve all linked accounts: say by linked_account which is this one")
        if not shared and account["linked_account"].value is not None:
            account["linked_account"].fault(f"{system.text} has no linked accounts")
        if not account["webhook_secrets"].value and not account["polled"].value:
            account.fault("nothing can come from this account; give it webhook_secrets, polled, or both")
    refuse_doubled(file["accounts"], "account", lambda account: account["account"].text)
    refuse_doubled(file["accounts"], "linked_account", lambda account: account["linked_account"].text)
    refuse_doubled(file["tokens"], "the token in", _secret)


def _check_api(account: Node) -> None:
    """What our poller needs of an account: a plan for each polled type, an address, and the vendor's secrets."""
    api, source = account["api"], SOURCES.get(account["system"].text or "")
    if source is None:
        api.fault(f"{account['system'].text} cannot be polled; {nearest(account['system'].text or '', SOURCES)}")
        return
    version = api["version"].text or next(iter(source.plans))
    if version not in source.plans:
        api["version"].fault(f"there is no {version}; {nearest(version, source.plans)}")
        return
    for record in account["polled"]:
        if record.text is not None and record.text not in source.plans[version]:
            record.fault(f"{record.text} cannot be polled by {version}; {nearest(record.text, source.plans[version])}")
    for name in source.needs[version]:
        if api[name].value is None:
            api.fault(f"{source.system} {version} needs {name}, as {{env: NAME}} or {{file: PATH}}")
    for name, default in (("base_url", source.base_url[version]), ("token_url", "https://")):
        url = api[name].text or default
        if api[name].text and host_of(url) is None:
            api[name].fault(f"{name} names no host; write an address such as https://ats.example")
        elif not url.startswith("https://") and host_of(url) not in ("127.0.0.1", "localhost"):
            (api[name] if api[name].text else api).fault(f"{name} has to be an https URL: secrets are sent there")


def check_accounts(people: Node, stages: Node | None, sources: Node, warnings: Faults) -> None:
    """Warns of identities, and of stage names, in accounts that no source has: nothing would be recognised by them."""
    accounts = {account["account"].text for account in sources["accounts"]}
    named = [entry for person in people["people"] for entry in person["identities"].entries()]
    for account, node in (*named, *(stages["accounts"].entries() if stages else ())):
        if accounts and account not in accounts:  # without any, that is the fault
            warnings.add(node.document.file, node.line, f"no source is called {account}; add it to the sources or correct it")


def check_measurable(policy: Node, sources: Sources, stages: frozenset[str] | None, warnings: Faults) -> None:
    """Adds a fault for each enabled commitment that no source can measure.

    Start and stop need one alternative that can be known, `requires` all of them, a pause that can be known an end that can.
    Alternatives that cannot be known, and cancels and pauses, are warnings. A derived moment can be known if all kinds it
    is derived from can; kinds that people report, if some token may report them; a stage, if some name is mapped to it
    (`stages`: those; None: not checked).
    """
    known = _measurable(sources, stages)
    never: dict[str, list[Node]] = {}
    for commitment in policy["commitments"]:
        if commitment["enabled"].value is False:
            continue
        for part in CONDITIONS:
            conditions = [condition for condition in commitment[part] if condition["kind"].text in KINDS]
            unknown = [condition for condition in conditions if not known(condition)]
            if part in ("start", "stop", "requires") and unknown and (part == "requires" or unknown == conditions):
                commitment[part].fault(
                    f"no configured source can tell the {part} of {commitment['name'].text} ({', '.join(map(_shown, unknown))}); "
                    "add a source, a token whose role reports it or a stage mapping, or set enabled: false"
                )
                continue
            for condition in unknown:
                never.setdefault(_shown(condition), []).append(condition)
        if any(map(known, commitment["pause"])) and commitment["resume"].value and not any(map(known, commitment["resume"])):
            commitment["resume"].fault("no source can tell that the pause ended; add one that can, or remove pause")
    for what, conditions in never.items():
        first = conditions[0]
        lines = ", ".join(str(condition.line) for condition in conditions)
        warnings.add(
            first.document.file,
            first.line,
            f"no configured source can tell {what}: it never counts (lines {lines}); add one that can, or remove it there",
        )


def _shown(condition: Node) -> str:
    stages = "|".join(stage.text or "" for stage in condition["where"]["stage"].texts())
    return f"{condition['kind'].text}{f' to {stages}' if stages else ''}"


def _measurable(sources: Sources, stages: frozenset[str] | None) -> Callable[[Node], bool]:
    told = ROUTED_KINDS.union(*declared_kinds(sources).values())
    if any(token.role in REPORTING_ROLES for token in sources.tokens):
        told |= MANUAL_KINDS

    def known_kind(kind: str) -> bool:
        return kind in told or (kind in DERIVED_KINDS and all(map(known_kind, DERIVED_KINDS[kind])))

    def known(condition: Node) -> bool:
        named = {stage.text for stage in condition["where"]["stage"].texts()}
        mapped = stages is None or not named or not named.isdisjoint(stages)
        return mapped and known_kind(condition["kind"].text or "")

    return known


def _secret(token: Node) -> str | None:
    for place in ("env", "file"):
        if (name := token["token"][place].text) is not None:
            return f"{place} {name}"
    return None
