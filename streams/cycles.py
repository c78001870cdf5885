"""Which clocks a commitment starts in one life: each start that finds no clock running begins the next cycle.

Pure. A clock ends with the first stop or cancel after its start, in the total order of `timeline`; only then can another
start open the next. Facts that come in later only ever give the same answer as if they had been there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.policy import Commitment, Condition, Target
from streams.life import Life
from streams.timeline import Event, History, matches

#: `delay(event, target)`: the instant a target after an event, on the debtor's calendar.
Delay = Callable[[Event, Target], datetime]


@dataclass(frozen=True, slots=True)
class Clock:
    """One obligation before it is judged: what started it, what may end it."""

    commitment: Commitment
    cycle: int
    started_at: datetime
    start: Event
    required: tuple[Event, ...]
    stops: tuple[Event, ...]  #: candidates in order; the first that is not undone keeps the promise
    cancel: Event | None
    person: str | None = None  #: the interviewer who owes
    interview_id: str | None = None


def clocks(commitment: Commitment, waits_for: tuple[tuple[Condition, ...], ...], life: Life, delay: Delay) -> Iterator[Clock]:
    """Every clock that `commitment` starts in a life.

    `waits_for`: groups of conditions; the clock starts only when of each group one event is there. A clock whose start lies
    ahead (a delayed start) is yielded too; the caller leaves it out until its time comes.
    """
    history = life.history
    starts = [e for e in _starts(commitment, history) if not life.is_over(e, silent=commitment.cycles == "repeats")]
    if not starts:
        return
    groups = [history.matching(group) for group in waits_for]
    if not all(groups):
        return
    needed = tuple(group[0] for group in groups)
    if commitment.subject == "interviewer":
        yield from _by_interviewer(commitment, history, starts, needed)
    else:
        yield from _in_turn(commitment, history, starts, needed, delay)


def _in_turn(
    commitment: Commitment, history: History, starts: Sequence[Event], needed: tuple[Event, ...], delay: Delay
) -> Iterator[Clock]:
    """One clock after the other on a requisition or application."""
    stops, cancels = history.matching(commitment.stop), cancels_of(commitment, history)
    by_number = _nth_application(commitment, stops) if commitment.subject == "requisition" else None
    last, cycle = None, 0
    for first in starts:
        if last is not None and not (first.key > last or (commitment.cycles == "repeats" and first.key == last)):
            continue
        kept = by_number if by_number is not None else _after(stops, first)
        cancel = next(iter(_after(cancels, first)), None)
        ends = [event.key for event in (*kept[:1], *((cancel,) if cancel else ()))]
        last = min(ends) if ends else None
        start = first
        if commitment.cycles == "latest":
            start = next(e for e in reversed(starts) if last is None or e.key < last)
        cycle += 1
        started_at = max([_started(commitment, start, delay), *(event.at for event in needed)])
        yield Clock(commitment, cycle, started_at, start, needed, kept, cancel)
        if last is None or commitment.cycles == "once":
            return


def _starts(commitment: Commitment, history: History) -> Sequence[Event]:
    """The starting events. With `cycles: once` the alternatives are in order of preference; else any of them starts."""
    if commitment.cycles != "once" or len(commitment.start) == 1:
        return history.matching(commitment.start)
    found = history.matching(commitment.start)
    for condition in commitment.start:
        hits = [event for event in found if matches(condition, event)]
        if hits:
            return hits[:1]
    return ()


def _started(commitment: Commitment, start: Event, delay: Delay) -> datetime:
    condition = next(c for c in commitment.start if matches(c, start))
    return delay(start, condition.delay) if condition.delay else start.at


def cancels_of(commitment: Commitment, history: History) -> Sequence[Event]:
    """What cancels the commitment; a declined request may name the one commitment it is about."""
    about = (None, commitment.name)
    found = history.matching(commitment.cancel)
    return [e for e in found if e.kind != "request.declined" or e.attributes.get("commitment") in about]


def _after(events: Sequence[Event], start: Event) -> tuple[Event, ...]:
    return tuple(event for event in events if event.key > start.key)


def _nth_application(commitment: Commitment, stops: Sequence[Event]) -> tuple[Event, ...]:
    """For a requisition: the event that brings the `stop_count`-th different application (or fact of its own).

    What was delivered before the clock started counts as well: nobody owes again what is already there.
    """
    seen: set[str] = set()
    for event in stops:
        seen.add(event.application_id or event.event_id)
        if len(seen) >= commitment.stop_count:
            return (event,)
    return ()


def _by_interviewer(
    commitment: Commitment, history: History, starts: Sequence[Event], needed: tuple[Event, ...]
) -> Iterator[Clock]:
    """One clock for each interviewer of each interview. Feedback given before the interview ends counts."""
    stops, cancels = history.matching(commitment.stop), cancels_of(commitment, history)
    for start in starts:
        gone = [e for e in cancels if e.key > start.key and e.interview_id in (None, start.interview_id)]
        started_at = max([start.at, *(event.at for event in needed)])
        for person in start.attributes.get("interviewers", ()):
            given = tuple(e for e in stops if e.interview_id == start.interview_id and e.person == person)
            cancel = gone[0] if gone else None
            yield Clock(commitment, 1, started_at, start, needed, given, cancel, person, start.interview_id)
