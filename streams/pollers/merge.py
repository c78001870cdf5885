"""What is asked of Merge's unified ATS API, and what of the answers is a record.

Base URL `https://api.merge.dev/api/ats/v1` (or the EU's or Asia's), a bearer token of the organisation and `X-Account-Token` of
the linked account. Lists hold `results` and the cursor `next`; `modified_after` is by Merge's sync, which is what is new to us.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from streams.pollers.plan import Ask, Comparison, Plan, UnexpectedAnswer, drain, objects, text

PAGE = 100

#: Record type -> path, and the relations that are asked for whole because their names tell.
PATHS: dict[str, tuple[str, str]] = {
    "jobs": ("/jobs", ""),
    "applications": ("/applications", "current_stage,reject_reason"),
    "interviews": ("/interviews", ""),
    "scorecards": ("/scorecards", ""),
    "offers": ("/offers", ""),
    "candidates": ("/candidates", ""),
    "job_interview_stages": ("/job-interview-stages", ""),
    "users": ("/users", ""),
    "reject_reasons": ("/reject-reasons", ""),
}

#: State without a time: what a poll compares.
COMPARED: dict[str, Comparison] = {
    "jobs": Comparison("id", ("status", "hiring_managers", "recruiters", "remote_was_deleted")),
    "applications": Comparison("id", ("current_stage", "rejected_at", "remote_was_deleted")),
    "interviews": Comparison("id", ("start_at", "end_at", "interviewers", "remote_was_deleted")),
    "offers": Comparison("id", ("status", "remote_was_deleted")),
}


def _plan(record_type: str, path: str, expand: str) -> Callable[[datetime | None], Plan]:
    def plan(since: datetime | None) -> Plan:
        query = {"page_size": str(PAGE), "include_deleted_data": "true", **({"expand": expand} if expand else {})}
        if since is not None:
            query["modified_after"] = text(since)
        while True:
            answer = yield Ask(path, query)
            yield from drain(objects(answer, path, "results"), record_type)
            cursor = answer.get("next")
            if cursor is None:
                return
            if not isinstance(cursor, str) or cursor == query.get("cursor"):
                raise UnexpectedAnswer(f"{path}: next is no text, or leads to the same page")
            query = {**query, "cursor": cursor}

    return plan


PLANS: dict[str, Callable[[datetime | None], Plan]] = {name: _plan(name, *how) for name, how in PATHS.items()}
