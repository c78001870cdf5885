"""From a clock to a verdict. Pure: the same clock and agreement give the same verdict.

Ties (all documented in docs/policy.md): a stop at the very deadline is in time; a cancel counts only strictly before the
deadline, afterwards the promise is missed; a declined request cancels at any time what was not kept before, an approved
exception excuses.
"""

from __future__ import annotations

from datetime import datetime

from schemas.outcome import Side, Verdict
from schemas.policy import Condition
from streams.agreement import Agreement
from streams.completeness import Completeness, complete_until
from streams.conditions import fits
from streams.cycles import Clock, cancels_of
from streams.event import Event
from streams.exceptions import excused_by
from streams.history import first_after
from streams.life import Life
from streams.terms import Owed, owed, owner_at, side_at

BETWEEN = "around the deadline, between two polls: decided for the debtor"
SILENT = "the deadline passed while the source was silent"


class Ruling:
    """The verdict on one clock, and the event that ended it."""

    def __init__(self, verdict: Verdict, reason: str, ended: Event | None = None, *, uncertain: bool = False) -> None:
        self.verdict = verdict
        self.reason = reason
        self.ended = ended
        self.uncertain = uncertain


class Judged:
    """One obligation, judged; `receipt` makes of it what is published."""

    def __init__(
        self,
        clock: Clock,
        owed: Owed,
        ruling: Ruling,
        obligation_id: str,
        deadline: datetime | None,
        until: datetime,
        side: Side,
        owner: str,
    ) -> None:
        self.clock = clock
        self.owed = owed
        self.ruling = ruling
        self.obligation_id = obligation_id
        self.deadline = deadline
        self.until = until  #: its end, or as_of while it is open
        self.side = side
        self.owner = owner

    @property
    def ended_at(self) -> datetime | None:
        """When it was kept, cancelled or ended; None if it was not."""
        return self.until if self.ruling.ended is not None else None


def judge(clock: Clock, life: Life, agreement: Agreement, completeness: Completeness, as_of: datetime) -> Judged:
    """The obligation of one clock as of `as_of`."""
    promise, started_at = clock.promise, clock.started_at
    timed = promise
    if promise.sibling is not None:
        # without a clock of its own: due when its sibling is, so with the sibling's pauses and on its debtor's calendar
        timed = agreement.in_force(promise.sibling, started_at) or timed
    for stop in (*clock.stops, None):  # the first that was not taken back before it was due
        end = None if stop is None else stop.at
        if clock.cancel is not None and (end is None or clock.cancel.at < end):
            end = clock.cancel.at
        known_until = as_of if end is None else max(end, started_at)
        terms = owed(timed, clock, life, agreement, known_until, ended=end is not None)
        deadline = terms.terms.when.deadline
        if stop is None or not _undone(stop, deadline):
            break
    # nothing is due while the clock stands still: what ends it then comes before the deadline
    stood = end is not None and bool(terms.gaps) and terms.gaps[-1][1] == known_until and (deadline or known_until) >= known_until
    ruling = _rule(clock, life, stop, None if stood else deadline, completeness, as_of)
    until = as_of if ruling.ended is None else max(ruling.ended.at, started_at)
    decided = until if deadline is None or until < deadline else deadline
    side = side_at(promise, life, decided)
    owner = owner_at(promise, clock.person, life, decided)
    return Judged(clock, terms, ruling, _id(clock, life), deadline, until, side, owner)


def _id(clock: Clock, life: Life) -> str:
    parts = [clock.promise.name, life.requisition_id]
    for whole in (life.application_id, clock.interview_id):
        if whole:
            parts.append(whole.rpartition("/")[2])
    if clock.person:
        parts.append(clock.person)
    parts.append(str(clock.cycle))
    return ":".join(parts)


def _rule(
    clock: Clock, life: Life, stop: Event | None, deadline: datetime | None, completeness: Completeness, as_of: datetime
) -> Ruling:
    ruling = _undeclined(clock, life, stop, deadline, completeness, as_of)
    declined = _declined(clock, life)
    if declined is None:
        return ruling
    harmless = ruling.verdict == Verdict.MET or ruling.verdict == Verdict.CANCELLED
    if harmless and ruling.ended is not None and ruling.ended.key < declined.key:
        return ruling  # kept, or called off, before anybody declined
    why = declined.attributes.get("reason_code", "no reason given")
    return Ruling(Verdict.CANCELLED, f"request declined: {why}", declined)


def _undeclined(
    clock: Clock, life: Life, stop: Event | None, deadline: datetime | None, completeness: Completeness, as_of: datetime
) -> Ruling:
    cancel = clock.cancel
    if cancel is not None and (stop is None or cancel.key < stop.key):
        return _cancelled(clock, life, cancel, deadline, completeness)
    if clock.promise.judges_quality:
        return _quality(clock, life, stop, deadline, as_of)
    if stop is not None:
        return _stopped(clock, life, stop, deadline)
    if deadline is None:
        return Ruling(Verdict.OPEN, "the clock stands still")
    if as_of <= deadline:
        return Ruling(Verdict.OPEN, "running")
    if _excused(clock, life, deadline):
        return Ruling(Verdict.EXCUSED, "approved exception")
    if _silent(clock, life, deadline, completeness):
        return Ruling(Verdict.UNVERIFIED, SILENT)
    return Ruling(Verdict.OVERDUE, "not done")


def _silent(clock: Clock, life: Life, deadline: datetime, completeness: Completeness) -> bool:
    """Whether it may have been done in time and the source did not get to say so."""
    return complete_until(completeness, life.account, clock.promise.stop.sources) < deadline


def _undone(stop: Event, deadline: datetime | None) -> bool:
    """Whether what was done was taken back before it was due: then it kept no promise."""
    return stop.undone_at is not None and (deadline is None or stop.undone_at <= deadline)


def _cancelled(clock: Clock, life: Life, cancel: Event, deadline: datetime | None, completeness: Completeness) -> Ruling:
    if deadline is None or cancel.at < deadline:
        return Ruling(Verdict.CANCELLED, f"{cancel.kind} before the deadline", cancel)
    if cancel.not_before is not None and cancel.not_before < deadline:
        return Ruling(Verdict.CANCELLED, f"{cancel.kind} {BETWEEN}", cancel, uncertain=True)
    if clock.promise.judges_quality:  # what is done later belongs to another clock
        return Ruling(Verdict.CANCELLED, f"{cancel.kind} before anything was done that could be judged", cancel)
    ruling = _missed(clock, life, deadline, f"not done; {cancel.kind} came after the deadline", cancel)
    if ruling.verdict == Verdict.MISSED and _silent(clock, life, deadline, completeness):
        return Ruling(Verdict.UNVERIFIED, f"{SILENT}; {cancel.kind} came after it", cancel)
    return ruling


def _stopped(clock: Clock, life: Life, stop: Event, deadline: datetime | None) -> Ruling:
    if deadline is None or stop.at <= deadline:
        return Ruling(Verdict.MET, "done in time", stop)
    if stop.not_before is not None and stop.not_before <= deadline:
        return Ruling(Verdict.MET, f"done {BETWEEN}", stop, uncertain=True)
    return _missed(clock, life, deadline, "done late", stop)


def _quality(clock: Clock, life: Life, stop: Event | None, deadline: datetime | None, as_of: datetime) -> Ruling:
    """How it was done, judged on the fact that stopped the clock; whether it was in time is the sibling's business."""
    promise = clock.promise
    if stop is None:
        if deadline is None or as_of <= deadline:
            return Ruling(Verdict.OPEN, "nothing to judge yet")
        return Ruling(Verdict.CANCELLED, "nothing was done that could be judged")
    earlier = first_after(life.history.matching(promise.before), clock.start.key)
    if earlier is not None and earlier.key < stop.key:
        return _missed(clock, life, stop.at, f"came after {earlier.kind}", stop)
    if promise.good.match(stop.kind, stop.attributes):
        return Ruling(Verdict.MET, "as promised", stop)
    quality = promise.commitment.quality
    untold = sorted({name for c in quality.good for name in _untold(c, stop)}) if quality else []
    if untold:
        return Ruling(Verdict.UNVERIFIED, f"the source does not tell {', '.join(untold)}", stop)
    return _missed(clock, life, stop.at, "not as promised", stop)


def _untold(condition: Condition, event: Event) -> list[str]:
    """Attributes the condition asks for and the event does not have, if those that it has are as wanted."""
    told = {name: wanted for name, wanted in condition.where.items() if event.attributes.get(name) is not None}
    if condition.kind != event.kind or not fits(told, event.attributes):
        return []
    return [name for name in condition.where if name not in told]


def _declined(clock: Clock, life: Life) -> Event | None:
    """A declined request cancels what depends on it, whenever it was declined; see `cancels_of`."""
    if not life.history.of_kind("request.declined"):
        return None
    return next((e for e in cancels_of(clock.promise, life.history) if e.kind == "request.declined"), None)


def _missed(clock: Clock, life: Life, deadline: datetime, reason: str, ended: Event) -> Ruling:
    if _excused(clock, life, deadline):
        return Ruling(Verdict.EXCUSED, f"approved exception; {reason}", ended)
    return Ruling(Verdict.MISSED, reason, ended)


def _excused(clock: Clock, life: Life, deadline: datetime) -> bool:
    return excused_by(clock.promise.name, life.history, deadline) is not None
