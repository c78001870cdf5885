"""Approved exceptions: intervals with a requester, another person who approved, a reason and an expiry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from streams.event import Event
from streams.history import History


def excused_by(commitment: str, history: History, deadline: datetime) -> Event | None:
    """The approval that excuses `commitment` at `deadline`, or None.

    A request (`exception.requested`) names an `exception_id`, an interval `from`/`until` (until is its expiry) and may
    name one `commitment` (`any`: all). It counts once another person than the requester approved it (`exception.approved`).
    A request or an approval without an id, or by nobody known, counts for nothing.
    """
    approvals = history.of_kind("exception.approved")
    if not approvals:
        return None
    requests: dict[str, Event] = {}
    for event in history.of_kind("exception.requested"):
        asked = exception_of(event.attributes)
        if asked is not None and event.actor is not None:
            requests.setdefault(asked, event)
    for approval in approvals:
        named = exception_of(approval.attributes)
        request = requests.get(named) if named is not None else None
        if request is None or approval.actor is None or request.actor == approval.actor:
            continue
        if request.attributes.get("commitment") in (None, "any", commitment) and _covers(request, deadline):
            return approval
    return None


def exception_of(attributes: Mapping[str, object]) -> str | None:
    """The id of an exception: text that says something, or a number; None for anything else."""
    said = attributes.get("exception_id")
    if isinstance(said, int) and not isinstance(said, bool):
        return str(said)
    return said if isinstance(said, str) and said else None


def _covers(request: Event, deadline: datetime) -> bool:
    begin, end = request.attributes.get("from"), request.attributes.get("until")
    if not isinstance(begin, str) or not isinstance(end, str):
        return False
    try:
        return datetime.fromisoformat(begin) <= deadline <= datetime.fromisoformat(end)
    except (ValueError, TypeError):  # not a time, or one without a zone: nothing is excused by it
        return False
