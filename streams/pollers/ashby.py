"""What is asked of Ashby's API, and what of the answers is a record.

Base URL `https://api.ashbyhq.com`, basic authentication with the key as user and no password; every call is a POST with a JSON
body. Errors come with HTTP 200 as `success: false`. Lists hold `results`, `moreDataAvailable` and `nextCursor`. A sync token
would spare pages, but has to be kept and expires: instead whole lists are read, and what did not change since is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from streams.pollers.plan import Answers, Ask, Comparison, Found, Plan, UnexpectedAnswer, drain, native, objects

PAGE = 100

#: State without a time: what a poll compares.
COMPARED: dict[str, Comparison] = {
    "applications": Comparison("id", ("status",)),
    "jobs": Comparison("id", ("status",)),
    "openings": Comparison("id", ("openingState",)),
    "offers": Comparison("id", ("offerStatus", "acceptanceStatus", "latestVersion")),
}

#: Record type -> the call that lists them all.
CALLS: dict[str, str] = {
    "applications": "/application.list",
    "interview_schedules": "/interviewSchedule.list",
    "jobs": "/job.list",
    "openings": "/opening.list",
    "offers": "/offer.list",
    "users": "/user.list",
}


def _list(path: str, **body: Any) -> Answers:
    """Every page of a list. Raises UnexpectedAnswer where the vendor says that it did not succeed."""
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"limit": PAGE, **body}
    while True:
        answer = yield Ask(path, {}, asked)
        if not isinstance(answer, dict) or answer.get("success") is not True:
            raise UnexpectedAnswer(f"{path}: no success{_codes(answer)}")
        found += objects(answer, path, "results")
        if not answer.get("moreDataAvailable"):
            return found
        cursor = answer.get("nextCursor")
        if not isinstance(cursor, str) or cursor == asked.get("cursor"):
            raise UnexpectedAnswer(f"{path}: there is more, and nextCursor does not lead there")
        asked = {**asked, "cursor": cursor}


def _codes(answer: Any) -> str:
    """The error codes, which are words of the vendor's; its messages may hold anything."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    words = [e for e in errors if isinstance(e, str) and e.replace("_", "").isalnum()] if isinstance(errors, list) else []
    return f": {', '.join(words)[:200]}" if words else ""


def _fresh(records: list[dict[str, Any]], since: datetime | None) -> list[dict[str, Any]]:
    """Those that changed since, or do not say when they did."""
    return [one for one in records if since is None or not _older(one.get("updatedAt"), since)]


def _older(text: object, since: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return moment is not None and moment.tzinfo is not None and moment < since


def _plan(record_type: str) -> Callable[[datetime | None], Plan]:
    def plan(since: datetime | None) -> Plan:
        yield from drain(_fresh((yield from _list(CALLS[record_type])), since), record_type)

    return plan


def _of_applications(record_type: str, path: str) -> Callable[[datetime | None], Plan]:
    """What is listed for one application each. An active one is asked always: whether a submission of feedback moves its
    `updatedAt` is not documented."""

    def plan(since: datetime | None) -> Plan:
        listed = yield from _list(CALLS["applications"])
        changed = {native(one, "id") for one in _fresh(listed, since)}
        for application in listed:
            whose, job = native(application, "id"), application.get("job")
            if whose not in changed and application.get("status") != "Active":
                continue
            about = {"applicationId": whose, **({"jobId": job["id"]} if isinstance(job, dict) and "id" in job else {})}
            for record in (yield from _list(path, applicationId=whose)):
                yield Found(record_type, {**record, **about})

    return plan


PLANS: dict[str, Callable[[datetime | None], Plan]] = {
    **{record_type: _plan(record_type) for record_type in CALLS},
    "application_history": _of_applications("application_history", "/application.listHistory"),
    "application_feedback": _of_applications("application_feedback", "/applicationFeedback.list"),
}
