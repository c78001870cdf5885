"""The agreement as it was published: immutable records on `sla.agreement`, and the refusal of a past version that was changed.

`up` and `topics` publish what is new, as often as they are run; `check` compares where Kafka answers. A commitment's stanza and a
calendar's are versions of their own: once one was published and its time has come, its content stays. What is described to
people (`description`) may be mended. Whole policy and people files are published as they were read, to be looked up by the
hashes on receipts; people have no versions over time, so a changed people file is simply the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from schemas.agreement import Published
from schemas.calendar import CalendarSpec
from schemas.policy import Commitment
from streams import few_records, topics
from streams.calendars import content_version
from streams.check import Inspection
from streams.settings import Settings
from streams.whole_topic import everything, reachable, reader
from streams.yaml_lines import Node

TOPIC = "sla.agreement"
PRIVATE: Any = {"people": {"__all__": {"name", "contact"}}, "teams": {"__all__": {"digest"}}, "company": {"contact"}}


def versions(inspection: Inspection, at: datetime) -> list[Published]:
    """Every version the files hold. `inspection` has read them without a fault."""
    agreement = inspection.agreement
    assert agreement is not None, "files without faults make an agreement"
    assert inspection.models is not None, "files without faults have their models"
    policy, (calendars, people) = agreement.policy, inspection.models
    whole = agreement.policy_version.rpartition("+")[2]
    found = [
        Published(
            content_hash=whole,
            kind="policy",
            name="policy",
            version=policy.version,
            content=policy.model_dump(mode="json", exclude_none=True),
            published_at=at,
        ),
        Published(
            content_hash=agreement.people.version,
            kind="people",
            name="people",
            version=people.version,
            content=people.model_dump(mode="json", exclude=PRIVATE),
            published_at=at,
        ),
    ]
    for commitment in policy.enabled():
        content = commitment.model_dump(mode="json", exclude={"description"}, exclude_none=True)
        found.append(
            Published(
                content_hash=content_version("commitment", content),
                kind="commitment",
                name=commitment.name,
                version=commitment.version,
                effective_from=commitment.effective_from,
                content=content,
                published_at=at,
            )
        )
    for spec in calendars.calendars:
        found.append(
            Published(
                content_hash=agreement.calendars.at(spec.name, spec.effective_from).version,
                kind="calendar",
                name=spec.name,
                version=spec.effective_from.isoformat(),
                effective_from=spec.effective_from,
                content=spec.model_dump(mode="json"),
                published_at=at,
            )
        )
    return found


def compare(inspection: Inspection, now: Sequence[Published], before: Iterable[Published]) -> None:
    """Adds to `inspection` a fault for each past version whose content is not what was published, at its line in its file."""
    last = {identity: one for one in before for identity in _identities(one)}
    for one in now:
        at = one.published_at
        changed = [last[i] for i in _identities(one) if i in last and _current(last[i]) != one.content]
        past = next((was for was in changed if was.effective_from <= at), None)
        if past is not None:
            node = _node(one, inspection.nodes)
            node.fault(
                f"{one.kind} {one.name}, version {one.version}, was published on {past.published_at:%Y-%m-%d} with other content "
                f"({past.content_hash}, now {one.content_hash}); put that back, and say what is new in a version of its own, "
                "with an effective_from that is still to come"
            )


def _current(one: Published) -> dict[str, Any]:
    """Its content as today's models write it: keys that are new since then at their default."""
    if one.kind == "commitment":
        return Commitment.model_validate(one.content).model_dump(mode="json", exclude={"description"}, exclude_none=True)
    return CalendarSpec.model_validate(one.content).model_dump(mode="json")


def _identities(one: Published) -> list[tuple[str, ...]]:
    if one.kind not in ("commitment", "calendar"):
        return []
    by_date = (one.kind, one.name, "from", one.effective_from.isoformat())
    return [by_date, (one.kind, one.name, "version", one.version)]


def _node(one: Published, nodes: dict[str, Node]) -> Node:
    listed = nodes["policy"]["commitments"] if one.kind == "commitment" else nodes["calendars"]["calendars"]
    mine = [node for node in listed if node["name"].text == one.name and node["enabled"].value is not False]
    for node in mine:
        if one.kind == "commitment" and (node["version"].text or "1") == one.version:
            return node
        if (
            one.kind == "calendar"
            and len(mine) > 1
            and one.effective_from.date().isoformat() in str(node["effective_from"].value)
        ):
            return node
    return mine[0]


def read(settings: Settings) -> list[Published]:
    """All that was ever published, in its order. Raises Unreachable."""
    with topics.admin(settings):  # quick to say that nobody answers
        pass
    with reader(settings) as consumer:
        records = everything(consumer, settings.topic(TOPIC))
        return [Published.model_validate_json(record.value) for record in records if record.value]


def publish(settings: Settings, at: datetime) -> int:
    """Publish what is new; returns how many. A second time nothing is.

    Raises InvalidConfiguration, with file, line and mend, if a past version was changed, and Unreachable.
    """
    inspection = Inspection(settings.deploy_dir)
    inspection.read_agreement()
    inspection.refuse()
    now, before = versions(inspection, at), read(settings)
    compare(inspection, now, before)
    inspection.refuse()
    known = {(one.kind, one.name, one.version, one.content_hash) for one in before}
    news = [one for one in now if (one.kind, one.name, one.version, one.content_hash) not in known]
    if news:
        with reachable(settings):
            few_records.send(settings, settings.topic(TOPIC), [(key(one), one.model_dump_json().encode()) for one in news])
    return len(news)


def key(one: Published) -> bytes:
    """The record's key: the hash of its content, behind what it is a version of."""
    return f"{one.kind}/{one.name}/{one.content_hash}".encode()


def described(settings: Settings, commitment: str, version: str, policy_version: str, calendar: str) -> list[Published]:
    """What a receipt's versions say: the stanza, the policy it stood in, and the calendars of that name. Raises Unreachable.

    A calendar's version on a receipt also counts the debtor's leave, so it is found by its name.
    """
    whole = policy_version.rpartition("+")[2]
    return [
        one
        for one in read(settings)
        if (one.kind, one.name, one.version) == ("commitment", commitment, version)
        or (one.kind, one.content_hash) == ("policy", whole)
        or (one.kind, one.name) == ("calendar", calendar)
    ]
