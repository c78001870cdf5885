"""What is asked of Merge's unified ATS API, and what of the answers is a record.

Base URL `https://api.merge.dev/api/ats/v1` (or the EU's or Asia's), a bearer token of the organisation and `X-Account-Token` of
the linked account. Lists hold `results` and the cursor `next`; `modified_after` is by Merge's sync, which is what is new to us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from streams.connectors.merge import VOCABULARY
from streams.pollers.plan import Ask, Comparison, Found, PathOf, Plan, Signal, UnexpectedAnswer, drain, native, objects, one, text

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


SYNCED = "linkedaccount"  #: a sync of the linked account is done: anything may be new


def _asked(expand: str) -> dict[str, str]:
    return {"include_deleted_data": "true", **({"expand": expand} if expand else {})}


def _plan(record_type: str, path: str, expand: str) -> Callable[[datetime | None], Plan]:
    def plan(since: datetime | None) -> Plan:
        query = {"page_size": str(PAGE), **_asked(expand)}
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


def follow(headers: Mapping[str, str], body: Mapping[str, Any], path_of: PathOf) -> Iterator[Signal]:
    """The model that changed, with the relations that a webhook names by id only; after a sync, whatever is new."""
    hook, data = body.get("hook"), body.get("data")
    noun, _, verb = str(hook.get("event", "") if isinstance(hook, Mapping) else "").casefold().rpartition(".")
    record_type = VOCABULARY["models"].get(noun)
    if record_type is not None and isinstance(data, Mapping) and data.get("id") is not None:
        found = native(data, "id")
        yield Signal(record_type, found, _one(record_type, found))
    elif record_type is not None or (noun == SYNCED and "sync" in verb):
        for name in [record_type] if record_type else list(PATHS):
            yield Signal(name, "all that is new", PLANS[name])


def _one(record_type: str, found: str) -> Callable[[datetime | None], Plan]:
    def plan(_: datetime | None) -> Plan:
        folder, expand = PATHS[record_type]
        path = f"{folder}/{found}"
        yield Found(record_type, one((yield Ask(path, _asked(expand))), path))

    return plan
