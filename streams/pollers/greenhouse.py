"""What is asked of Greenhouse's Harvest API, and what of the answers is a record.

v3 (https://harvest.greenhouse.io/v3): lists by `per_page` (500 at most) and `updated_at=gte|ISO`, the next page by the `Link`
header, whose cursor is then the only parameter; children are lists of their own, at most 50 ids a question. Records carry v1's
nesting, because that is what children belong to, and v3's field names. v1 is gone for most customers; it stays behind a switch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from streams.pollers.plan import Answers, Ask, Found, Plan, UnexpectedAnswer, native, text

PAGE = "500"
IDS = 50  #: of one question
Record = dict[str, Any]


def _list(path: str, since: datetime | None = None, **params: str) -> Answers:
    """Every page of a list."""
    found: list[Record] = []
    query: dict[str, str] | None = {"per_page": PAGE, **params}
    if since is not None and query is not None:
        query["updated_at"] = f"gte|{text(since)}"
    while query is not None:
        answer, query = yield Ask(path, query, linked=True)
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise UnexpectedAnswer(f"{path}: no list of objects")
        found += answer
    return found


def _of(path: str, parameter: str, ids: Iterable[str]) -> Answers:
    """Every object of a list that belongs to one of `ids`."""
    found: list[Record] = []
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), IDS):
        found += yield from _list(path, None, **{parameter: ",".join(ordered[start : start + IDS])})
    return found


def _by(records: Iterable[Record], name: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.get(name) is not None:
            groups.setdefault(native(record, name), []).append(record)
    return groups


def _changed(paths: dict[str, str], since: datetime) -> Answers:
    """{id} of each parent of which something changed: path -> the field that names the parent."""
    found: dict[str, Record] = {}
    for path, name in paths.items():
        for record in (yield from _list(path, since)):
            if record.get(name) is not None:
                found[native(record, name)] = {"id": native(record, name)}
    return list(found.values())


def _whole(path: str, since: datetime | None, children: dict[str, str]) -> Answers:
    """The parents that changed, themselves or in a child."""
    if since is None:
        return (yield from _list(path))
    ids = yield from _changed({path: "id", **children}, since)
    return (yield from _of(path, "ids", [one["id"] for one in ids]))


def _latest(*records: Record) -> dict[str, str]:
    """The version of a record with its children: when the last of them changed."""
    times = [record["updated_at"] for record in records if isinstance(record.get("updated_at"), str)]
    return {"updated_at": max(times)} if times else {}


def jobs(since: datetime | None) -> Plan:
    """Each job with its hiring team and openings. Who was taken off a team is seen when the job changes otherwise."""
    children = {"/job_hiring_managers": "job_id", "/job_owners": "job_id", "/openings": "job_id"}
    changed = yield from _whole("/jobs", since, children)
    ids = [native(job, "id") for job in changed]
    managers = _by((yield from _of("/job_hiring_managers", "job_ids", ids)), "job_id")
    owners = _by((yield from _of("/job_owners", "job_ids", ids)), "job_id")
    openings = _by((yield from _of("/openings", "job_ids", ids)), "job_id")
    for job, key in zip(changed, ids, strict=True):
        theirs = owners.get(key, [])
        team = {f"{role}s": [o for o in theirs if o.get("type") == role] for role in ("recruiter", "coordinator", "sourcer")}
        team["hiring_managers"] = managers.get(key, [])
        version = _latest(job, *theirs, *managers.get(key, []), *openings.get(key, []))
        yield Found("jobs", {**job, "hiring_team": team, "openings": openings.get(key, []), **version})


def applications(since: datetime | None) -> Plan:
    """Each application; the rejected ones with when, and with the reason, whose type says whether the candidate left.

    The details say when: third parties' records of applications have the status only.
    """
    changed = yield from _whole("/applications", since, {"/rejection_details": "application_id"})
    ids = [native(app, "id") for app in changed if app.get("rejected_at") is not None or app.get("status") == "rejected"]
    details = _by((yield from _of("/rejection_details", "application_ids", ids)), "application_id")
    listed = (yield from _list("/rejection_reasons", include_defaults="true")) if details else []
    reasons = {native(reason, "id"): reason for reason in listed}
    for app in changed:
        detail = details.get(native(app, "id"), [{}])[-1]
        rejected_at = app.get("rejected_at") or detail.get("rejected_at")
        named = native(detail, "rejection_reason_id") if detail.get("rejection_reason_id") is not None else None
        reason = {"rejection_reason": reasons.get(named, {"id": named})} if named is not None else {}
        yield Found("applications", {**app, **reason, **({"rejected_at": rejected_at} if rejected_at is not None else {})})


def application_stages(since: datetime | None) -> Plan:
    """Each visit of an application to a stage, with the stage's name."""
    visits = yield from _list("/application_stages", since)
    ids = [native(visit, "job_interview_stage_id") for visit in visits if visit.get("job_interview_stage_id") is not None]
    names = {native(s, "id"): s.get("name") for s in (yield from _of("/job_interview_stages", "ids", ids))}
    for visit in visits:
        stage = visit.get("job_interview_stage_id")
        name = names.get(str(stage)) if stage is not None else None
        yield Found("application_stages", {**visit, **({"name": name} if name is not None else {})})


def scheduled_interviews(since: datetime | None) -> Plan:
    """Each interview that has a time, with its panel; one still to be scheduled is none yet."""
    changed = yield from _whole("/interviews", since, {"/interviewers": "interview_id"})
    set_up = [one for one in changed if one.get("starts_at") is not None or one.get("all_day_start_on") is not None]
    panels = _by((yield from _of("/interviewers", "interview_ids", [native(one, "id") for one in set_up])), "interview_id")
    for one in set_up:
        panel = panels.get(native(one, "id"), [])
        # The row has an id of its own; whose feedback is owed is the user.
        people = [{**member, "id": member.get("user_id")} for member in panel]
        yield Found("scheduled_interviews", {**one, "interviewers": people, **_latest(one, *panel)})


def approvals(since: datetime | None) -> Plan:
    """Each approval with its groups, whose last one's `resolved_at` is when it was approved."""
    changed = yield from _whole("/approval_flows", since, {"/approver_groups": "approval_flow_id"})
    ids = [native(flow, "id") for flow in changed]
    groups = _by((yield from _of("/approver_groups", "approval_flow_ids", ids)), "approval_flow_id")
    for flow, key in zip(changed, ids, strict=True):
        yield Found("approvals", {**flow, "approver_groups": groups.get(key, [])})


def _plain(record_type: str, path: str, **params: str) -> Callable[[datetime | None], Plan]:
    def plan(since: datetime | None) -> Plan:
        yield from _found(record_type, (yield from _list(path, since, **params)))

    return plan


def _found(record_type: str, records: Iterable[Record]) -> Iterator[Found]:
    return (Found(record_type, record) for record in records)


PLANS: dict[str, Callable[[datetime | None], Plan]] = {
    "jobs": jobs,
    "applications": applications,
    "application_stages": application_stages,
    "scheduled_interviews": scheduled_interviews,
    "scorecards": _plain("scorecards", "/scorecards"),
    "offers": _plain("offers", "/offers"),
    "approvals": approvals,
    "users": _plain("users", "/users", show_service_accounts="true"),
}


def _v1(record_type: str, after: str = "updated_after") -> Callable[[datetime | None], Plan]:
    """v1: children are nested; the link to the next page repeats every parameter."""

    def plan(since: datetime | None) -> Plan:
        query: dict[str, str] | None = {"per_page": PAGE, **({after: text(since)} if since is not None else {})}
        path = f"/{record_type}"
        while query is not None:
            answer, query = yield Ask(path, query, linked=True)
            if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
                raise UnexpectedAnswer(f"{path}: no list of objects")
            yield from _found(record_type, answer)

    return plan


PLANS_V1: dict[str, Callable[[datetime | None], Plan]] = {
    name: _v1(name, "last_activity_after" if name == "applications" else "updated_after")
    for name in ("jobs", "applications", "scheduled_interviews", "scorecards", "offers", "users")
}
