"""Which clocks a commitment starts in one life: each start that finds no clock running begins the next cycle.

Pure. A clock ends with the first stop or cancel after its start, in the total order of `event`; only then can another
start open the next. Facts that come in later only ever give the same answer as if they had been there at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from schemas.policy import Target
from streams.agreement import Promise
from streams.event import Event, Key, key_of
from streams.history import History, first_after
from streams.life import Life

#: `delay(promise, event, target)`: the instant a target after an event, on the debtor's calendar.
Delay = Callable[[Promise, Event, Target], datetime]


class Clock:
    """One obligation before it is judged: what started it, what may end it."""

    def __init__(
        self,
        promise: Promise,
        cycle: int,
        started_at: datetime,
        start: Event,
        required: tuple[Event, ...],
        stops: Sequence[Event],
        cancel: Event | None,
        person: str | None = None,
        interview_id: str | None = None,
    ) -> None:
        self.promise = promise
        self.cycle = cycle
        self.started_at = started_at
        self.start = start
        self.required = required
        self.stops = stops  #: candidates in order; the first that is not undone keeps the promise
        self.cancel = cancel
        self.person = person  #: the interviewer who owes
        self.interview_id = interview_id


def clocks(promise: Promise, life: Life, delay: Delay) -> Iterator[Clock]:
    """Every clock that `promise` starts in a life.

    It starts only when what it waits for is there (`_needed`). A clock whose start lies ahead (a delayed
    start) is yielded too; the caller leaves it out until its time comes.
    """
    history = life.history
    silent = promise.cycles == "repeats"
    starts = [e for e in _starts(promise, history) if not life.is_over(e, silent=silent)]
    if not starts:
        return
    if promise.of_interviewer:
        yield from _by_interviewer(promise, history, starts)
    else:
        yield from _in_turn(promise, history, starts, delay)


def _needed(promise: Promise, history: History, start: Event) -> tuple[Event, ...] | None:
    """What a clock waited for: an event for each group that was agreed when its start happened; None if it still waits.

    Not what the stanza that judges says, for which one that is depends on how long the clock waited.
    """
    found: tuple[Event, ...] = ()
    if not promise.waits_for:
        return found
    agreed = next((groups for since, groups in promise.waits_for if since <= start.at), promise.waits_for[-1][1])
    for versions in agreed:
        group = next((conditions for since, conditions in versions if since <= start.at), versions[-1][1])
        there = history.matching(group)
        if not there:
            return None
        found = (*found, there[0])
    return found


def _in_turn(promise: Promise, history: History, starts: Sequence[Event], delay: Delay) -> Iterator[Clock]:
    """One clock after the other on a requisition or application."""
    stops, cancels = history.matching(promise.stop), cancels_of(promise, history)
    by_number = _nth_application(promise.commitment.stop_count, stops) if promise.of_requisition else None
    repeats, latest = promise.cycles == "repeats", promise.cycles == "latest"
    last: Key | None = None
    cycle = 0
    for first in starts:
        if last is not None and not (first.key > last or (repeats and first.key == last)):
            continue
        kept = by_number if by_number is not None else _candidates(stops, first.key)
        cancel = first_after(cancels, first.key)
        last = kept[0].key if kept else None
        if cancel is not None and (last is None or cancel.key < last):
            last = cancel.key
        start = first
        if latest:
            start = starts[-1] if last is None else starts[bisect_left(starts, last, key=key_of) - 1]
        cycle += 1
        needed = _needed(promise, history, start)
        if needed is not None:
            started_at = _started(promise, start, delay)
            for event in needed:
                started_at = max(started_at, event.at)
            yield Clock(promise, cycle, started_at, start, needed, kept, cancel)
        if last is None or promise.cycles == "once":
            return


def _starts(promise: Promise, history: History) -> Sequence[Event]:
    """The starting events. With `cycles: once` the alternatives are in order of preference; else any of them starts."""
    if promise.cycles != "once" or len(promise.in_order) == 1:
        return history.matching(promise.start)
    for alternative in promise.in_order:
        hits = history.matching(alternative)
        if hits:
            return hits[:1]
    return ()


def _started(promise: Promise, start: Event, delay: Delay) -> datetime:
    if not promise.delays:
        return start.at
    alternatives = zip(promise.commitment.start, promise.in_order, strict=True)
    first = next(condition for condition, alone in alternatives if alone.match(start.kind, start.attributes))
    return delay(promise, start, first.delay) if first.delay is not None else start.at


def cancels_of(promise: Promise, history: History) -> Sequence[Event]:
    """What cancels the commitment; a declined request may name the one commitment it is about."""
    found = history.matching(promise.cancel)
    if not history.of_kind("request.declined"):
        return found
    about = (None, promise.name)
    return [e for e in found if e.kind != "request.declined" or e.attributes.get("commitment") in about]


def _candidates(stops: Sequence[Event], after: Key) -> Sequence[Event]:
    """The stops after a start up to the first that nobody undid: those after it change nothing any more."""
    place = bisect_right(stops, after, key=key_of) if stops else 0
    found: list[Event] = []
    for index in range(place, len(stops)):
        found.append(stops[index])
        if stops[index].undone_at is None:
            break
    return found


def _nth_application(count: int, stops: Sequence[Event]) -> tuple[Event, ...]:
    """For a requisition: the event that brings the `count`-th different application (or fact of its own).

    What was delivered before the clock started counts as well: nobody owes again what is already there.
    """
    seen: set[str] = set()
    for event in stops:
        seen.add(event.application_id or event.event_id)
        if len(seen) >= count:
            return (event,)
    return ()


def _by_interviewer(promise: Promise, history: History, starts: Sequence[Event]) -> Iterator[Clock]:
    """One clock for each interviewer of each interview. Feedback given before the interview ends counts."""
    given, calls_off = history.of_interviewer(promise.stop), _called_off(promise, history)
    for start in starts:
        cancel = _first(calls_off.get(None, ()), calls_off.get(start.interview_id, ()), start.key)
        needed = _needed(promise, history, start)
        if needed is None:
            continue
        started_at = max([start.at, *(event.at for event in needed)]) if needed else start.at
        for person in start.attributes.get("interviewers", ()):
            cards = given.get((start.interview_id, person), ())
            yield Clock(promise, 1, started_at, start, needed, cards, cancel, person, start.interview_id)


def _called_off(promise: Promise, history: History) -> dict[str | None, list[Event]]:
    found: dict[str | None, list[Event]] = {}
    for event in cancels_of(promise, history):
        found.setdefault(event.interview_id, []).append(event)
    return found


def _first(one: Sequence[Event], two: Sequence[Event], after: Key) -> Event | None:
    """The earlier of the first events after a place in the order."""
    found, other = first_after(one, after), first_after(two, after)
    return other if found is None or (other is not None and other.key < found.key) else found
