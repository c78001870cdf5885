"""What is asked of Workable's API (SPI v3), and what of the answers is a record.

Lists have `limit`, `updated_after` and a link to the next page; base URL `https://{subdomain}.workable.com/spi/v3`, bearer token,
10 requests in 10 s (recorded header `x-rate-limit-limit: 10`). Activities and offers are asked for each candidate that changed,
and each disqualified one by itself: recorded lists have `disqualified` without `disqualified_at` and `withdrew`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from streams.pollers.plan import (
    Answers,
    Ask,
    Comparison,
    Found,
    Plan,
    UnexpectedAnswer,
    drain,
    native,
    objects,
    one,
    query_of,
    text,
)

PAGE = 100
#: Events have no time of change and are asked by their start: this far back, cancellations and moves are still seen.
EVENTS_BACK = timedelta(days=30)

#: State without a time: what a poll compares.
COMPARED: dict[str, Comparison] = {
    "jobs": Comparison("shortcode", ("state",)),
    "requisitions": Comparison("id", ("state",)),
    "events": Comparison("id", ("starts_at", "ends_at", "cancelled", "members")),
    "offers": Comparison("id", ("state",)),
}


def _list(path: str, name: str, **params: str) -> Answers:
    """Every page of a list."""
    found: list[dict[str, Any]] = []
    query: dict[str, str] | None = {"limit": str(PAGE), **params}
    while query is not None:
        answer = yield Ask(path, query)
        found += objects(answer, path, name)
        paging = answer.get("paging")
        following = query_of(paging.get("next") if isinstance(paging, dict) else None, path)
        if following == query:
            raise UnexpectedAnswer(f"{path}: the next page is the same page")
        query = following
    return found


def _since(since: datetime | None) -> dict[str, str]:
    return {} if since is None else {"updated_after": text(since)}


def candidates(since: datetime | None) -> Plan:
    """Each candidate that changed; of a disqualified one the whole, since the list tells neither when nor whether they left."""
    for candidate in (yield from _list("/candidates", "candidates", **_since(since))):
        whole = candidate
        if candidate.get("disqualified") and candidate.get("disqualified_at") is None:
            path = f"/candidates/{native(candidate, 'id')}"
            answer = yield Ask(path, {})
            whole = one(answer.get("candidate", answer) if isinstance(answer, dict) else None, path)
        yield Found("candidates", whole)


def jobs(since: datetime | None) -> Plan:
    """Each job with its members, who come with no list of jobs."""
    for job in (yield from _list("/jobs", "jobs", **_since(since))):
        path = f"/jobs/{native(job, 'shortcode')}/members"
        yield Found("jobs", {**job, "members": (yield from _list(path, "members"))})


def requisitions(since: datetime | None) -> Plan:
    """Each requisition with the shortcode of its job: it names the job by its id, candidates by the shortcode."""
    changed = yield from _list("/requisitions", "requisitions", **_since(since))
    if not changed:
        return
    shortcodes = {job.get("id"): job.get("shortcode") for job in (yield from _list("/jobs", "jobs"))}
    known = set(shortcodes.values())
    for requisition in changed:
        job = requisition.get("job")
        named = job.get("id") if isinstance(job, dict) else None
        shortcode = named if named in known else shortcodes.get(named)
        yield Found("requisitions", {**requisition, **({"job_shortcode": shortcode} if shortcode else {})})


def activities(since: datetime | None) -> Plan:
    for candidate in (yield from _list("/candidates", "candidates", **_since(since))):
        person, job = native(candidate, "id"), candidate.get("job")
        about = {"candidate_id": person, "job_shortcode": job.get("shortcode") if isinstance(job, dict) else None}
        for activity in (yield from _list(f"/candidates/{person}/activities", "activities")):
            yield Found("activities", {**activity, **about})


def events(since: datetime | None) -> Plan:
    window = {} if since is None else {"start_date": text(since - EVENTS_BACK)}
    yield from drain((yield from _list("/events", "events", include_cancelled="true", **window)), "events")


def offers(since: datetime | None) -> Plan:
    """The offer of each changed candidate who came as far; the answer of one without an offer is the bare candidate."""
    for candidate in (yield from _list("/candidates", "candidates", **_since(since))):
        if candidate.get("stage_kind") not in ("offer", "hired"):
            continue
        path = f"/candidates/{native(candidate, 'id')}/offer"
        answer = yield Ask(path, {})
        offer = answer.get("offer", answer) if isinstance(answer, dict) else {}
        if isinstance(offer, dict) and ("state" in offer or "created_at" in offer):
            yield Found("offers", {"candidate": {"id": candidate["id"]}, **offer, "job": candidate.get("job")})


def members(since: datetime | None) -> Plan:
    yield from drain((yield from _list("/members", "members")), "members")


PLANS: dict[str, Callable[[datetime | None], Plan]] = {
    plan.__name__: plan for plan in (candidates, jobs, requisitions, activities, events, offers, members)
}
