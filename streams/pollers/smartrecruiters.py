"""What is asked of SmartRecruiters' API, and what of the answers is a record.

Paths and parameters are those of clients that were generated from the vendor's own description (docs/connectors.md). Base URL
`https://api.smartrecruiters.com`, header `X-SmartToken`; lists hold `content`, and either `nextPageId` or `totalFound` by offset;
reviews are a bare list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
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
    text,
)

PAGE = 100
INTERVIEWS = "/interviews-api/v201904/interviews"
REVIEWS = "/reviews-api/v201910/reviews"
SELF = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?self"?', re.IGNORECASE)

#: State without a time: what a poll compares.
COMPARED: dict[str, Comparison] = {
    "jobs": Comparison("id", ("status",)),
    "interviews": Comparison("id", ("timeslots",)),
    "offers": Comparison("id", ("status",)),
}


def _list(path: str, **params: str) -> Answers:
    """Every page of a list: by the id of the next page where the answer has one, else by offset until all are there."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(PAGE), **params}
    while True:
        answer = yield Ask(path, query)
        if isinstance(answer, list):
            return objects({"content": answer}, path, "content")
        page = objects(answer, path, "content")
        found += page
        following, total = answer.get("nextPageId"), answer.get("totalFound")
        if following:
            if not isinstance(following, str) or following == query.get("pageId"):
                raise UnexpectedAnswer(f"{path}: nextPageId is no text, or leads to the same page")
            query = {**query, "pageId": following}
        elif page and isinstance(total, int) and len(found) < total and "pageId" not in query:
            query = {**query, "offset": str(len(found))}
        else:
            return found


def _since(since: datetime | None) -> dict[str, str]:
    return {} if since is None else {"updatedAfter": text(since)}


def jobs(since: datetime | None) -> Plan:
    """Each job with its hiring team of the moment."""
    for job in (yield from _list("/jobs", **_since(since))):
        yield from _with_team(job)


def _with_team(job: dict[str, Any]) -> Plan:
    team = yield from _list(f"/jobs/{native(job, 'id')}/hiring-team")
    yield Found("jobs", {**job, "hiringTeam": team})


def candidates(since: datetime | None) -> Plan:
    yield from drain((yield from _list("/candidates", **_since(since))), "candidates")


def _applications(candidate: dict[str, Any]) -> Iterator[dict[str, str]]:
    first, others = candidate.get("primaryAssignment"), candidate.get("secondaryAssignments")
    for assignment in (first, *(others if isinstance(others, list) else ())):
        job = assignment.get("job") if isinstance(assignment, dict) else None
        if isinstance(job, dict):
            told = {"application_id": native(assignment, "applicationId")} if assignment.get("applicationId") else {}
            yield {"candidate_id": native(candidate, "id"), "job_id": native(job, "id"), **told}


def status_history(since: datetime | None) -> Plan:
    """The whole history of each application of a candidate that changed: only the whole tells what was taken back."""
    for candidate in (yield from _list("/candidates", **_since(since))):
        for ids in _applications(candidate):
            yield from _history(ids, since)


def _history(ids: dict[str, str], _: datetime | None) -> Plan:
    path = f"/candidates/{ids['candidate_id']}/jobs/{ids['job_id']}/status/history"
    whose = {name: ids[name] for name in ("candidate_id", "job_id")}
    yield Found("status_history", {**whose, "content": (yield from _list(path))})


def _of_applications(record_type: str, path: str) -> Callable[[datetime | None], Plan]:
    """Of each application, by its own id where the candidate's assignment names one: interviews are documented to need it."""

    def plan(since: datetime | None) -> Plan:
        for candidate in (yield from _list("/candidates", **_since(since))):
            for ids in _applications(candidate):
                whose = {"candidateId": ids["candidate_id"], "jobId": ids["job_id"]}
                asked = {"applicationId": ids["application_id"]} if "application_id" in ids else whose
                for record in (yield from _list(path, **(asked if record_type == "interviews" else whose))):
                    yield Found(record_type, {**whose, **record})

    return plan


def offers(since: datetime | None) -> Plan:
    for candidate in (yield from _list("/candidates", **_since(since))):
        for ids in _applications(candidate):
            whose = {"candidateId": ids["candidate_id"], "jobId": ids["job_id"]}
            path = f"/candidates/{ids['candidate_id']}/jobs/{ids['job_id']}/offers"
            for record in (yield from _list(path)):
                yield Found("offers", {**whose, **record})


def users(since: datetime | None) -> Plan:
    yield from drain((yield from _list("/users")), "users")


PLANS: dict[str, Callable[[datetime | None], Plan]] = {
    "jobs": jobs,
    "candidates": candidates,
    "status_history": status_history,
    "interviews": _of_applications("interviews", INTERVIEWS),
    "reviews": _of_applications("reviews", REVIEWS),
    "offers": offers,
    "users": users,
}


# -- what a thin webhook is about --------------------------------------------------------------------------------------


def _one_job(native_id: str, _: datetime | None) -> Plan:
    path = f"/jobs/{native_id}"
    yield from _with_team(one((yield Ask(path)), path))


def _one(record_type: str, folder: str) -> Callable[[str, datetime | None], Plan]:
    def plan(native_id: str, _: datetime | None) -> Plan:
        path = f"{folder}{native_id}"
        yield Found(record_type, one((yield Ask(path)), path))

    return plan


#: The beginning of an event's name -> record type, the fields of its id, where its link leads, and what is asked.
ONE: dict[str, tuple[str, tuple[str, ...], str, Callable[[str, datetime | None], Plan]]] = {
    "job.": ("jobs", ("job_id", "id"), "/jobs/", _one_job),
    "interview.": ("interviews", ("interview_id",), f"{INTERVIEWS}/", _one("interviews", f"{INTERVIEWS}/")),
    "review.": ("reviews", ("review_id",), f"{REVIEWS}/", _one("reviews", f"{REVIEWS}/")),
}


def follow(headers: Mapping[str, str], body: Mapping[str, Any], path_of: PathOf) -> Iterator[Signal]:
    """What the event is about: by the ids in the body where it has them, else by its `Link` header, if that is to our host."""
    event = headers.get("event-name", "")
    if event.startswith("application.") and "candidate_id" in body and "job_id" in body:
        ids = {name: native(body, name) for name in ("candidate_id", "job_id")}
        yield Signal("status_history", ".".join(ids.values()), partial(_history, ids))
    for beginning, (record_type, names, folder, plan) in ONE.items():
        if event.startswith(beginning) and not event.endswith(".deleted"):
            named = any(body.get(name) is not None for name in names)
            found = native(body, *names) if named else _linked(headers.get("link", ""), folder, path_of)
            if found is not None:
                yield Signal(record_type, found, partial(plan, found))


def _linked(link: str, folder: str, path_of: PathOf) -> str | None:
    """The id of what a link is to; None where it is to something else of the API."""
    found = SELF.search(link)
    path = path_of(found[1]) if found else ""
    return native({"id": path.removeprefix(folder)}, "the link's id", "id") if path.startswith(folder) else None
