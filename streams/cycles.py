"""Which clocks a commitment starts in one life: each start that finds no clock running begins the next cycle.

Pure. A clock ends with the first stop or cancel after its start, in the total order of `timeline`; only then can another
start open the next. Facts that come in later only ever give the same answer as if they had been there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.policy import Commitment, Target
from streams.timeline import Event, matches, matching

#: `delay(event, target)`: the instant a target after an event, on the debtor's calendar.
Delay = Callable[[Event, Target], datetime]


@dataclass(frozen=True, slots=True)
class Clock:
    """One obligation before it is judged: what started it, what may end it."""

    commitment: Commitment
    subject: str  #: the last part of its id: application, or interview and person; empty for a requisition
    cycle: int
    started_at: datetime
    start: Event
    required: tuple[Event, ...]
    stops: tuple[Event, ...]  #: candidates in order; the first that is not undone keeps the promise
    cancel: Event | None
    person: str | None = None  #: the interviewer who owes
    interview_id: str | None = None


def clocks(commitment: Commitment, subject: str, events: Sequence[Event], delay: Delay) -> Iterator[Clock]:
    """Every clock that `commitment` starts in the life told by `events`; `subject` names that life in ids.

    A clock whose start lies ahead (a delayed start) is yielded too; the caller leaves it out until its time comes.
    """
    starts = _starts(commitment, events)
    required = tuple(next(iter(matching((condition,), events)), None) for condition in commitment.requires)
    if not starts or None in required:
        return
    needed = tuple(event for event in required if event is not None)
    if commitment.subject == "interviewer":
        yield from _by_interviewer(commitment, events, starts, needed)
        return
    stops, cancels = matching(commitment.stop, events), matching(commitment.cancel, events)
    last = None
    cycle = 0
    for start in starts:
        if last is not None and (last == () or start.key <= last):
            continue
        cycle += 1
        kept = _counted(commitment, stops) if commitment.subject == "requisition" else _after(stops, start)
        cancel = next(iter(_after(cancels, start)), None)
        started_at = max([_started(commitment, start, delay), *(event.at for event in needed)])
        yield Clock(commitment, subject, cycle, started_at, start, needed, kept, cancel)
        if commitment.cycles == "once":
            return
        ends = [event.key for event in (*kept[:1], *((cancel,) if cancel else ()))]
        last = min(ends) if ends else ()


def _starts(commitment: Commitment, events: Sequence[Event]) -> list[Event]:
    """The starting events. With `cycles: once` the alternatives are in order of preference; else any of them starts."""
    if commitment.cycles == "each":
        return matching(commitment.start, events)
    for condition in commitment.start:
        if found := matching((condition,), events):
            return found[:1]
    return []


def _started(commitment: Commitment, start: Event, delay: Delay) -> datetime:
    condition = next(c for c in commitment.start if matches(c, start))
    return delay(start, condition.delay) if condition.delay else start.at


def _after(events: Sequence[Event], start: Event) -> tuple[Event, ...]:
    return tuple(event for event in events if event.key > start.key)


def _counted(commitment: Commitment, stops: Sequence[Event]) -> tuple[Event, ...]:
    """For a requisition: the event that brings the `stop_count`-th different application.

    What was delivered before the clock started counts as well: nobody owes again what is already there.
    """
    seen: set[str | None] = set()
    for event in stops:
        seen.add(event.application_id)
        if len(seen) >= commitment.stop_count:
            return (event,)
    return ()


def _by_interviewer(
    commitment: Commitment, events: Sequence[Event], starts: list[Event], needed: tuple[Event, ...]
) -> Iterator[Clock]:
    """One clock for each interviewer of each interview. Feedback given before the interview ends counts."""
    stops, cancels = matching(commitment.stop, events), matching(commitment.cancel, events)
    for start in starts:
        gone = [e for e in cancels if e.key > start.key and e.interview_id in (None, start.interview_id)]
        native = (start.interview_id or "").rpartition("/")[2]
        for person in start.attributes.get("interviewers", ()):
            given = tuple(e for e in stops if e.interview_id == start.interview_id and e.person == person)
            started_at = max([start.at, *(event.at for event in needed)])
            cancel = gone[0] if gone else None
            subject = f"{native}:{person}"
            yield Clock(commitment, subject, 1, started_at, start, needed, given, cancel, person, start.interview_id)
