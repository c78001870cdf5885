"""The agreement as it was published: immutable records on `sla.agreement`, and the refusal of a past that was changed.

`up`, `topics` and each `track` worker publish what is new, as often as they are started; `check` compares where Kafka answers. A
commitment's stanza and a calendar's are versions of their own; whole files are published too, the last of each being what was in
force, to be looked up by the hashes on receipts. What may not change `past_versions` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from schemas.agreement import Published
from streams import few_records, past_versions, topics
from streams.agreement import Agreement
from streams.calendars import content_version
from streams.check import Inspection
from streams.settings import Settings
from streams.whole_topic import everything, reachable, reader

TOPIC = "sla.agreement"
FILES = ("policy", "calendars", "people")  #: kinds that are a whole file
PRIVATE: Any = {"people": {"__all__": {"name", "contact"}}, "teams": {"__all__": {"digest"}}, "company": {"contact"}}


def versions(inspection: Inspection, at: datetime) -> list[Published]:
    """Every version the files hold. `inspection` has read them without a fault."""
    agreement = inspection.agreement
    assert agreement is not None, "files without faults make an agreement"
    assert inspection.models is not None, "files without faults have their models"
    policy, (calendars, people) = agreement.policy, inspection.models
    public = people.model_dump(mode="json", exclude=PRIVATE, exclude_defaults=True)
    files: tuple[tuple[Any, str, str, dict[str, Any]], ...] = (  # kind, version, what receipts call it, content
        ("policy", policy.version, agreement.policy_version, policy.model_dump(mode="json", exclude_none=True)),
        ("calendars", calendars.version, agreement.calendars.version, calendars.model_dump(mode="json")),
        ("people", people.version, agreement.people.version, public),
    )
    found = [
        Published(
            content_hash=known_as.rpartition("+")[2], kind=kind, name=kind, version=version, content=content, published_at=at
        )
        for kind, version, known_as, content in files
    ]
    for commitment in policy.agreed():
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


def read(settings: Settings) -> list[Published]:
    """All that was ever published, in its order. Raises Unreachable."""
    with topics.admin(settings):  # quick to say that nobody answers
        pass
    with reader(settings) as consumer:
        records = everything(consumer, settings.topic(TOPIC))
        return [Published.model_validate_json(record.value) for record in records if record.value]


def compare(inspection: Inspection, now: Sequence[Published], before: Sequence[Published]) -> None:
    """Adds to `inspection` a fault for each part of the past that is not what was published, at its line in its file."""
    past_versions.compare(inspection.nodes, now, before)


def publish(settings: Settings, at: datetime) -> int:
    """Publish what is new; returns how many. A second time nothing is. Raises as `agree` does."""
    return agree(settings, at)[1]


def agree(settings: Settings, at: datetime) -> tuple[Agreement, int]:
    """The agreement of the files, once what is new of it was published, and how many records that were.

    Raises InvalidConfiguration, with file, line and mend, if the past was changed, and Unreachable.
    """
    inspection = Inspection(settings.deploy_dir)
    inspection.read_agreement()
    inspection.refuse()
    now, before = versions(inspection, at), read(settings)
    compare(inspection, now, before)
    inspection.refuse()
    news = _news(now, before)
    if news:
        with reachable(settings):
            few_records.send(settings, settings.topic(TOPIC), [(key(one), one.model_dump_json().encode()) for one in news])
    assert inspection.agreement is not None, "files without faults make an agreement"
    return inspection.agreement, len(news)


def _news(now: Iterable[Published], before: Iterable[Published]) -> list[Published]:
    """What was not published yet; of whole files also what is not the last one any more."""
    known = {(one.kind, one.name, one.version, one.content_hash) for one in before if one.kind not in FILES}
    known |= set({one.kind: (one.kind, one.name, one.version, one.content_hash) for one in before if one.kind in FILES}.values())
    return [one for one in now if (one.kind, one.name, one.version, one.content_hash) not in known]


def key(one: Published) -> bytes:
    """The record's key: the hash of its content, behind what it is a version of."""
    return f"{one.kind}/{one.name}/{one.content_hash}".encode()


def described(settings: Settings, commitment: str, version: str, policy_version: str, calendar: str) -> list[Published]:
    """What a receipt's versions say: the stanza, the policy it stood in, and the calendars of that name. Raises Unreachable.

    A calendar's version on a receipt also counts the debtor's leave, so it is found by its name.
    """
    whole = policy_version.rpartition("+")[2]
    found = {
        key(one): one  # a whole file is published again where it is in force again
        for one in read(settings)
        if (one.kind, one.name, one.version) == ("commitment", commitment, version)
        or (one.kind, one.content_hash) == ("policy", whole)
        or (one.kind, one.name) == ("calendar", calendar)
    }
    return list(found.values())
