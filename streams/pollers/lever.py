"""What is asked of Lever's API, and what of the answers is a record.

Base URL `https://api.lever.co/v1`, basic authentication with the key as user (or a bearer token of an OAuth app); 10 requests a
second, 429 beyond. Lists hold `data`, `hasNext` and `next`, which goes into `offset`. Interviews, panels, feedback and offers are
lists of one opportunity each, and are asked for those that changed; confidential ones only if the key may see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from streams.pollers.plan import (
    Answers,
    Ask,
    Comparison,
    Found,
    PathOf,
    Plan,
    Signal,
    UnexpectedAnswer,
    drain,
    native,
    objects,
    one,
)

PAGE = 100
CONFIDENTIAL = {"confidentiality": "all"}

#: State without a time: what a poll compares.
COMPARED: dict[str, Comparison] = {
    "requisitions": Comparison("id", ("status",)),
    "postings": Comparison("id", ("state",)),
    "interviews": Comparison("id", ("date", "duration", "interviewers", "canceledAt")),
    "offers": Comparison("id", ("status",)),
}


def _list(path: str, **params: str) -> Answers:
    """Every page of a list."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(PAGE), **params}
    while True:
        answer = yield Ask(path, query)
        found += objects(answer, path, "data")
        if not answer.get("hasNext"):
            return found
        offset = answer.get("next")
        if not isinstance(offset, str) or not offset or offset == query.get("offset"):
            raise UnexpectedAnswer(f"{path}: there is more, and next does not lead there")
        query = {**query, "offset": offset}


def _since(since: datetime | None, name: str) -> dict[str, str]:
    return {} if since is None else {name: str(int(since.timestamp() * 1000))}


def _changed(since: datetime | None) -> Answers:
    return _list("/opportunities", expand="applications", **CONFIDENTIAL, **_since(since, "updated_at_start"))


def _by_id(records: list[dict[str, Any]], *fields: str) -> dict[str, dict[str, Any]]:
    return {native(record, "id"): {name: record.get(name) for name in fields} for record in records}


def opportunities(since: datetime | None) -> Plan:
    """Each with the names of the stages it was in and what its archive reason is: it names both by id."""
    yield from _named((yield from _changed(since)))


def _named(changed: list[dict[str, Any]]) -> Plan:
    if not changed:
        return
    stages = _by_id((yield from _list("/stages")), "text")
    reasons = _by_id((yield from _list("/archive_reasons")), "text", "type")
    for opportunity in changed:
        names = {stage: stages[stage]["text"] for stage in _stages_of(opportunity) if stage in stages}
        archived = opportunity.get("archived")
        reason = reasons.get(str(archived.get("reason"))) if isinstance(archived, dict) else None
        yield Found("opportunities", {**opportunity, "stageNames": names, **({"archiveReason": reason} if reason else {})})


def _stages_of(opportunity: dict[str, Any]) -> Iterator[str]:
    changes = opportunity.get("stageChanges")
    for change in changes if isinstance(changes, list) else ():
        if isinstance(change, dict) and isinstance(change.get("toStageId"), str):
            yield change["toStageId"]


def _whole(record_type: str, path: str, **params: str) -> Callable[[datetime | None], Plan]:
    """A list that is asked whole each time: `updatedAt` was seen not to move when a requisition was closed."""

    def plan(_: datetime | None) -> Plan:
        yield from drain((yield from _list(path, **params)), record_type)

    return plan


def postings(_: datetime | None) -> Plan:
    """All of them, whole. What is published on the internal job site only has to be asked for by name, the vendor says."""
    everywhere = yield from _list("/postings", **CONFIDENTIAL)
    inside = yield from _list("/postings", state="published", distributionChannel="internal", **CONFIDENTIAL)
    yield from drain({native(one, "id"): one for one in [*everywhere, *inside]}.values(), "postings")


def _of_opportunities(record_type: str, name: str) -> Callable[[datetime | None], Plan]:
    def plan(since: datetime | None) -> Plan:
        for opportunity in (yield from _changed(since)):
            yield from _below(record_type, native(opportunity, "id"), name)

    return plan


def _below(record_type: str, whose: str, name: str) -> Plan:
    for record in (yield from _list(f"/opportunities/{whose}/{name}")):
        yield Found(record_type, {**record, "opportunityId": whose})


PLANS: dict[str, Callable[[datetime | None], Plan]] = {
    "opportunities": opportunities,
    "requisitions": _whole("requisitions", "/requisitions", **CONFIDENTIAL),
    "postings": postings,
    "users": _whole("users", "/users", includeDeactivated="true"),
    "interviews": _of_opportunities("interviews", "interviews"),
    "panels": _of_opportunities("panels", "panels"),
    "feedback": _of_opportunities("feedback", "feedback"),
    "offers": _of_opportunities("offers", "offers"),
}

#: Webhooks that do not say what is needed: an interview without its time, a stage or a reason by an id that may be unmapped.
ABOUT = {
    "interviewCreated": "interviews",
    "interviewUpdated": "interviews",
    "candidateStageChange": "opportunities",
    "candidateArchiveChange": "opportunities",
}


def follow(_: Mapping[str, str], body: Mapping[str, Any], path_of: PathOf) -> Iterator[Signal]:
    """The interviews of the opportunity, or the opportunity with the names of its stages and reason."""
    record_type, data = ABOUT.get(str(body.get("event"))), body.get("data")
    if record_type is None or not isinstance(data, Mapping) or data.get("opportunityId") is None:
        return
    whose = native(data, "opportunityId")

    def plan(_: datetime | None) -> Plan:
        if record_type == "interviews":
            yield from _below("interviews", whose, "interviews")
            return
        path = f"/opportunities/{whose}"
        answer = yield Ask(path, {"expand": "applications"})
        yield from _named([one(answer.get("data") if isinstance(answer, dict) else None, path)])

    yield Signal(record_type, whose, plan)
