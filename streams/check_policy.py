"""What a policy file can say that its form allows and nobody can mean. In: the file as a `Node`; faults go to its document."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from difflib import get_close_matches
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from schemas.base import WrittenInstant
from schemas.fact import DERIVED_KINDS, FACT_KINDS, STAGES
from streams.errors import InvalidConfiguration
from streams.wall_clock import EPOCH, zone_of
from streams.yaml_lines import Node

KINDS = (*FACT_KINDS, *DERIVED_KINDS)
#: Facts that reach a requisition by themselves.
OF_REQUISITIONS = ("requisition.", "request.", "exception.", "recruiter.")
#: Roles that connectors put into facts, and the subject's own.
ROLES = ("recruiter", "hiring_manager", "coordinator", "sourcer", "interviewer")
CONDITIONS = ("start", "requires", "stop", "cancel", "pause", "resume")
#: No target is longer: a promise for later than a year is a typing error (and calendars are searched 400 days ahead).
LONGEST_DAYS = 366
BEGINNING = "the beginning"  #: of time: where no date is written, or that of 1970-01-01T00:00:00Z, which is the same
#: Reads a date as the model does, so that two of the same instant are seen as such however they are written.
_INSTANT: TypeAdapter[datetime] = TypeAdapter(WrittenInstant)


def check_policy(policy: Node) -> None:
    """Adds every fault of the policy that its model cannot see."""
    check_zone(policy["reporting_zone"])
    for rule in policy["holders"]:
        _condition(rule["when"], may_delay=False)
    _shadowed(policy["holders"])
    for commitment in policy["commitments"]:
        for part in CONDITIONS:
            for condition in commitment[part]:
                _condition(condition, may_delay=part == "start")
        _target(commitment["target"])
        for rule in commitment["targets"]:
            _target(rule["target"])
        _quality(commitment)
        _stanza(commitment)
        _within_reach(commitment)
    _links(policy["commitments"])
    refuse_doubled(policy["commitments"], "commitment", lambda stanza: _named(stanza, f"from {dated(stanza)}"))
    refuse_doubled(policy["commitments"], "commitment", lambda stanza: _named(stanza, f"version {stanza['version'].text or '1'}"))


def check_zone(zone: Node) -> None:
    """The IANA database must know the zone."""
    if zone.text is not None:
        try:
            zone_of(zone.text)
        except InvalidConfiguration as error:
            zone.fault(f"{error}; correct it")


def host_of(url: str) -> str | None:
    """The host of an address; None for what has none, or is no address."""
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.port != 0 else None  # nobody listens at port 0
    except ValueError:  # such as a bracket of IPv6 that is not closed, or a port beyond 65535
        return None


def refuse_doubled(nodes: Node | Collection[Node], what: str, identity: Callable[[Node], str | None]) -> None:
    """Adds a fault for each node whose identity an earlier one has; None is no identity."""
    seen: dict[str, int] = {}
    for node in nodes:
        own = identity(node)
        if own is None:
            continue
        if own in seen:
            node.fault(f"{what} {own} is already on line {seen[own]}; give each its own, or remove one")
        seen.setdefault(own, node.line)


def nearest(word: str, words: Collection[str]) -> str:
    """`did you mean …?` with the closest of the known words, else all of them."""
    close = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(words)) or 'none'}"


def dated(node: Node) -> str:
    """`effective_from` of a stanza as comparable text; the beginning of time where it is left out."""
    value = node["effective_from"].value
    if value is None:
        return BEGINNING
    try:
        moment = _INSTANT.validate_python(value)
    except ValidationError:
        return str(value)
    return BEGINNING if moment == EPOCH else moment.isoformat()


def _named(commitment: Node, which: str) -> str | None:
    name = commitment["name"].text
    return name and f"{name} {which}"


def _condition(condition: Node, *, may_delay: bool) -> None:
    kind = condition["kind"]
    if kind.text is not None and kind.text not in KINDS:
        kind.fault(f"{kind.text} is not a fact kind; {nearest(kind.text, KINDS)}")
    if condition["delay"].value is not None:
        if not may_delay:
            condition["delay"].fault("delay counts in a commitment's start only; remove it")
        _target(condition["delay"])
    where = condition["where"]
    for _, allowed in where.entries():
        if allowed.value == []:
            allowed.fault("an empty list matches nothing; name at least one value, or remove the attribute")
    for stage in (where["stage"], *where["stage"]):
        if isinstance(stage.value, str | int | float) and stage.value not in STAGES:
            stage.fault(f"{stage.value} is not a canonical stage; {nearest(str(stage.value), STAGES)}")
    if where["stage"].value is not None and kind.text in KINDS and not (kind.text or "").startswith("application."):
        where["stage"].fault(f"{kind.text} has no stage and would never match; remove `stage`, or use application.stage_changed")


def _target(target: Node) -> None:
    hours = {"business_hours": 1, "elapsed_hours": 1, "business_days": 24, "calendar_days": 24}
    for unit, node in target.entries():
        value = node.value
        if value is None:
            node.fault(f"{unit} has no value; write how many, such as {unit}: 2")
        elif isinstance(value, int | float) and not abs(value) * hours.get(unit, 0) <= LONGEST_DAYS * 24:  # nan is not, either
            node.fault(f"{unit}: {value} is longer than {LONGEST_DAYS} days; shorten it")


def _stanza(commitment: Node) -> None:
    """What one commitment's keys say together."""
    subject, owner = commitment["subject"], commitment["owner"]
    for role in (owner, commitment["fallback_owner"]):
        meant = get_close_matches(role.text or "", ROLES, n=1, cutoff=0.75)  # imported facts may name roles of their own
        if meant and role.text not in ROLES:
            role.fault(f"{role.text} is not a role that a source names; did you mean {meant[0]}?")
    if owner.text == "interviewer" and subject.text in ("requisition", "application"):
        owner.fault("owner: interviewer needs subject: interviewer (one promise for each); change one of them")
    count = commitment["stop_count"]
    if isinstance(count.value, int) and count.value > 1 and subject.text in ("application", "interviewer"):
        count.fault("stop_count counts the applications of a requisition; use subject: requisition, or remove it")
    if commitment["pause"].value and not commitment["resume"].value:
        commitment["pause"].fault("nothing ends this pause; add resume, or remove pause")
    if commitment["resume"].value and not commitment["pause"].value:
        commitment["resume"].fault("nothing begins a pause that this could end; add pause, or remove resume")


def _within_reach(commitment: Node) -> None:
    """What a subject never hears of neither starts nor stops its clocks.

    A requisition hears of its applications' facts, by what starts, stops or is required, but not of the moments derived from
    them, and nothing that happens to one of them cancels or pauses it. An interviewer's clock starts with the end of the
    interview, which tells who the interviewers are, and is stopped by a fact that names one.
    """
    subject = commitment["subject"].text
    for part in CONDITIONS:
        for condition in commitment[part]:
            kind = condition["kind"]
            if kind.text not in KINDS:
                continue
            own = (kind.text or "").startswith(OF_REQUISITIONS)
            if subject == "requisition" and not own and (part in ("cancel", "pause", "resume") or kind.text in DERIVED_KINDS):
                kind.fault(
                    f"{kind.text} is about one application and never reaches the requisition; remove it, or use its subject"
                )
            elif subject == "interviewer" and part == "start" and kind.text != "interview.ended":
                kind.fault(f"{kind.text} does not tell who the interviewers are, so no clock starts; use interview.ended")
            elif subject == "interviewer" and part == "stop" and kind.text != "scorecard.submitted":
                kind.fault(f"{kind.text} names no interviewer, so it never stops a clock of one; use scorecard.submitted")


def _quality(commitment: Node) -> None:
    """What is judged is the fact that stopped the clock, so it has to be one that can stop it."""
    quality, stops = commitment["quality"], {stop["kind"].text for stop in commitment["stop"]}
    for part in ("good", "before"):
        for condition in quality[part]:
            _condition(condition, may_delay=False)
    for condition in quality["good"]:
        kind = condition["kind"]
        if kind.text is not None and kind.text not in stops:
            kind.fault(f"{kind.text} never stops this commitment, so it is never judged; add it to stop, or remove it")
    if quality.value is not None and commitment["sibling"].value is None and commitment["target"].value is not None:
        quality.fault("a promise about how has no clock of its own; replace target by sibling, the commitment it is due with")


def _links(commitments: Node) -> None:
    """Contingencies and siblings name another commitment, an enabled one, and never come back to where they began."""
    by_name = {stanza["name"].text: stanza for stanza in commitments if stanza["enabled"].value is not False}
    for stanza in commitments:
        for key in ("contingent_on", "sibling"):
            named = stanza[key]
            if named.text is None or stanza["enabled"].value is False:
                continue
            other = by_name.get(named.text)
            if other is None or named.text == stanza["name"].text:
                known = sorted(name for name in by_name if name and name != stanza["name"].text)
                named.fault(f"{named.text} is no other enabled commitment; {nearest(named.text, known)}")
            elif key == "sibling" and other["subject"].text != stanza["subject"].text:
                named.fault(f"{named.text} is about another subject, so it has no deadline for this one; name one of its own")
            elif key == "sibling" and other["target"].value is None:
                named.fault(f"{named.text} has no target either; name the commitment that has the clock")
            elif key == "contingent_on" and stanza["subject"].text == "requisition" != other["subject"].text:
                named.fault(
                    f"{named.text} is kept for one application, of which the requisition never hears; use requires instead"
                )
            elif key == "contingent_on" and isinstance(other["stop_count"].value, int) and other["stop_count"].value > 1:
                named.fault(f"{named.text} is kept by {other['stop_count'].value} facts; wait for it with requires instead")
    _others_in_force(commitments)
    for moment in sorted({_since(stanza) for stanza in commitments}):
        in_force: dict[str | None, Node] = {}
        for stanza in sorted(commitments, key=_since):
            if _since(stanza) <= moment:
                in_force[stanza["name"].text] = stanza
        _no_circle({name: stanza for name, stanza in in_force.items() if stanza["enabled"].value is not False})


def _others_in_force(commitments: Node) -> None:
    """What is due with a sibling has no deadline while the sibling is not in force; nor is what has ended kept any more.

    That what a promise waits for begins later than itself is no fault: until then nothing starts, as may be meant.
    """
    versions: dict[str | None, list[tuple[str, bool]]] = {}
    for stanza in commitments:
        versions.setdefault(stanza["name"].text, []).append((_since(stanza), stanza["enabled"].value is not False))
    for stanza in commitments:
        begin = _since(stanza)
        end = min((since for since, _ in versions[stanza["name"].text] if since > begin), default=None)
        for key, never in (("sibling", "be due"), ("contingent_on", "start")):
            named = stanza[key]
            other = sorted(versions.get(named.text, ()))
            if stanza["enabled"].value is False or named.text is None or not any(on for _, on in other):
                continue
            on = next((on for since, on in reversed(other) if since <= begin), key == "contingent_on")
            off = [begin] if not on else [since for since, on in other if since > begin and not on]
            if off and (end is None or off[0] < end):
                named.fault(
                    f"{named.text} is not in force from {off[0] or BEGINNING} on, so this would never {never}; end both together"
                )


def _since(stanza: Node) -> str:
    """`dated`, so that the beginning of time comes first."""
    found = dated(stanza)
    return "" if found == BEGINNING else found


def _no_circle(by_name: dict[str | None, Node]) -> None:
    for name, stanza in by_name.items():
        path = [name]
        while (following := by_name.get(path[-1])) is not None and (next_name := following["contingent_on"].text) is not None:
            if next_name in path:
                if next_name == name:
                    circle = " -> ".join(str(n) for n in (*path, next_name))
                    stanza["contingent_on"].fault(f"waits for itself: {circle}; no clock would ever start; remove one")
                break
            path.append(next_name)


def _shadowed(rules: Node) -> None:
    """The first holder rule that matches counts: one behind an unconditional rule of its kind is never reached."""
    taken: dict[str, int] = {}
    for rule in rules:
        kind = rule["when"]["kind"].text
        if kind in taken:
            rule.fault(f"is never reached: the rule on line {taken[kind]} takes every {kind}; remove it or move it up")
        elif kind is not None and not rule["when"]["where"].value:
            taken[kind] = rule.line
