"""Approved exceptions: intervals with a requester, another person who approved, a reason and an expiry."""

from __future__ import annotations

from datetime import datetime

from streams.event import Event
from streams.history import History


def excused_by(commitment: str, history: History, deadline: datetime) -> Event | None:
    """The approval that excuses `commitment` at `deadline`, or None.

    A request (`exception.requested`) names an `exception_id`, an interval `from`/`until` (until is its expiry) and may
    name one `commitment` (`any`: all). It counts once another person than the requester approved it (`exception.approved`).
    """
    approvals = history.of_kind("exception.approved")
    if not approvals:
        return None
    requests: dict[object, Event] = {}
    for event in history.of_kind("exception.requested"):
        requests.setdefault(event.attributes.get("exception_id"), event)
    for approval in approvals:
        request = requests.get(approval.attributes.get("exception_id"))
        if request is None or request.actor is None or request.actor == approval.actor:
            continue
        if request.attributes.get("commitment") in (None, "any", commitment) and _covers(request, deadline):
            return approval
    return None


def _covers(request: Event, deadline: datetime) -> bool:
    begin, end = request.attributes.get("from"), request.attributes.get("until")
    if not isinstance(begin, str) or not isinstance(end, str):
        return False
    try:
        return datetime.fromisoformat(begin) <= deadline <= datetime.fromisoformat(end)
    except (ValueError, TypeError):  # not a time, or one without a zone: nothing is excused by it
        return False
