"""From a clock to a verdict, with its receipt. Pure: the same clock and agreement give the same verdict to the byte.

Ties (all documented in docs/policy.md): a stop at the very deadline is in time; a cancel counts only strictly before the
deadline, afterwards the promise is missed; a declined request cancels at any time, an approved exception excuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.outcome import FactRef, Interval, Obligation, Receipt, Verdict
from schemas.policy import Condition, Quality
from streams.agreement import Agreement
from streams.completeness import Completeness, complete_until
from streams.cycles import Clock, cancels_of
from streams.deadline import MICROSECOND
from streams.exceptions import excused_by
from streams.life import Life
from streams.standstill import gaps_of, intervals_of
from streams.terms import Terms, owner_at, side_at, terms
from streams.timeline import Event, matches


@dataclass(frozen=True, slots=True)
class _Ruling:
    verdict: Verdict
    reason: str
    ended: Event | None = None
    uncertain: bool = False


def judge(clock: Clock, life: Life, agreement: Agreement, completeness: Completeness, as_of: datetime) -> Obligation:
    """The obligation of one clock as of `as_of`."""
    commitment = clock.commitment
    stop, cancel = (clock.stops[0].at if clock.stops else None), (clock.cancel.at if clock.cancel else None)
    end = min((at for at in (stop, cancel) if at is not None), default=None)
    known_until = max(end, clock.started_at) if end else as_of
    # without a clock of its own: due when its sibling is, so with the sibling's pauses and on its debtor's calendar
    sibling = agreement.in_force(commitment.sibling, clock.started_at) if commitment.sibling else None
    timed = clock if sibling is None else replace(clock, commitment=sibling)
    gaps = gaps_of(timed, life, known_until, ended=end is not None)
    owed = terms(timed, life, agreement, gaps, known_until)
    deadline = owed.when.deadline
    ruling = _rule(clock, life, deadline, completeness, as_of)
    ended_at = max(ruling.ended.at, clock.started_at) if ruling.ended else None
    until = ended_at or as_of
    decided = min(until, deadline or until)
    side = side_at(clock, life, decided)
    pieces = intervals_of(clock, life, gaps, until, ended=ended_at is not None, side=side, calendar=owed.calendar)
    return Obligation(
        obligation_id=_id(clock, life),
        tenant=life.tenant,
        commitment=commitment.name,
        commitment_version=commitment.version,
        side=side,
        owner=owner_at(clock, life, decided),
        team=life.roster.team(clock.started_at),
        recruiter=life.roster.owner("recruiter", None, clock.started_at),
        hiring_manager=life.roster.owner("hiring_manager", None, clock.started_at),
        requisition_id=life.requisition_id,
        application_id=life.application_id,
        interview_id=clock.interview_id,
        verdict=ruling.verdict,
        reason=ruling.reason,
        started_at=clock.started_at,
        due_soon_at=owed.when.due_soon_at if commitment.quality is None else None,
        deadline=deadline,
        ended_at=ended_at,
        elapsed_us=(until - clock.started_at) // MICROSECOND,
        business_us=sum(i.business_us for i in pieces if i.state == "running"),
        uncertain=ruling.uncertain,
        backfill=clock.start.backfill,
        receipt=Receipt(
            facts=_evidence(clock, ruling),
            intervals=pieces,
            calendar=owed.calendar.name,
            calendar_source=owed.calendar_source,
            calendar_version=owed.calendar.version,
            policy_version=agreement.policy_version,
            people_version=agreement.people.version,
            zone=owed.calendar.zone,
            target=owed.target,
            arithmetic=_arithmetic(clock, owed, ruling, pieces),
        ),
    )


def _id(clock: Clock, life: Life) -> str:
    native = [(whole or "").rpartition("/")[2] for whole in (life.application_id, clock.interview_id)]
    return ":".join(filter(None, (clock.commitment.name, life.requisition_id, *native, clock.person, str(clock.cycle))))


def _rule(clock: Clock, life: Life, deadline: datetime | None, completeness: Completeness, as_of: datetime) -> _Ruling:
    declined = _declined(clock, life)
    if declined is not None:
        why = declined.attributes.get("reason_code", "no reason given")
        return _Ruling(Verdict.CANCELLED, f"request declined: {why}", declined)
    stop = next((e for e in clock.stops if e.undone_at is None or (deadline is not None and e.undone_at > deadline)), None)
    cancel = clock.cancel
    if cancel is not None and (stop is None or cancel.key < stop.key):
        if deadline is None or cancel.at < deadline:
            return _Ruling(Verdict.CANCELLED, f"{cancel.kind} before the deadline", cancel)
        if clock.commitment.quality is not None:  # what is done later belongs to another clock
            return _Ruling(Verdict.CANCELLED, f"{cancel.kind} before anything was done that could be judged", cancel)
        return _missed(clock, life, deadline, f"not done; {cancel.kind} came after the deadline", cancel)
    if clock.commitment.quality is not None:
        return _quality(clock, life, clock.commitment.quality, stop, deadline, as_of)
    if stop is not None:
        return _stopped(clock, life, stop, deadline)
    if deadline is None:
        return _Ruling(Verdict.OPEN, "the clock stands still")
    if as_of <= deadline:
        return _Ruling(Verdict.OPEN, "running")
    if excused_by(clock.commitment.name, life.history.events, deadline) is not None:
        return _Ruling(Verdict.EXCUSED, "approved exception")
    if complete_until(completeness, life.account, clock.commitment.stop) < deadline:
        return _Ruling(Verdict.UNVERIFIED, "the deadline passed while the source was silent")
    return _Ruling(Verdict.OVERDUE, "not done")


def _stopped(clock: Clock, life: Life, stop: Event, deadline: datetime | None) -> _Ruling:
    if deadline is None or stop.at <= deadline:
        return _Ruling(Verdict.MET, "done in time", stop)
    if stop.not_before is not None and stop.not_before <= deadline:
        return _Ruling(Verdict.MET, "done around the deadline, between two polls: decided for the debtor", stop, uncertain=True)
    return _missed(clock, life, deadline, "done late", stop)


def _quality(
    clock: Clock, life: Life, quality: Quality, stop: Event | None, deadline: datetime | None, as_of: datetime
) -> _Ruling:
    """How it was done, judged on the fact that stopped the clock; whether it was in time is the sibling's business."""
    if stop is None:
        if deadline is None or as_of <= deadline:
            return _Ruling(Verdict.OPEN, "nothing to judge yet")
        return _Ruling(Verdict.CANCELLED, "nothing was done that could be judged")
    earlier = next((e for e in life.history.matching(quality.before) if clock.start.key < e.key < stop.key), None)
    if earlier is not None:
        return _missed(clock, life, stop.at, f"came after {earlier.kind}", stop)
    if any(matches(condition, stop) for condition in quality.good):
        return _Ruling(Verdict.MET, "as promised", stop)
    untold = sorted({name for c in quality.good if c.kind == stop.kind for name in _untold(c, stop)})
    if untold:
        return _Ruling(Verdict.UNVERIFIED, f"the source does not tell {', '.join(untold)}", stop)
    return _missed(clock, life, stop.at, "not as promised", stop)


def _untold(condition: Condition, event: Event) -> list[str]:
    """Attributes the condition asks for and the event does not have, if those that it has are as wanted."""
    told = {name: wanted for name, wanted in condition.where.items() if event.attributes.get(name) is not None}
    if not matches(condition.model_copy(update={"where": told}), event):
        return []
    return [name for name in condition.where if name not in told]


def _declined(clock: Clock, life: Life) -> Event | None:
    """A declined request cancels what depends on it, whenever it was declined; see `cancels_of`."""
    return next((e for e in cancels_of(clock.commitment, life.history) if e.kind == "request.declined"), None)


def _missed(clock: Clock, life: Life, deadline: datetime, reason: str, ended: Event) -> _Ruling:
    if excused_by(clock.commitment.name, life.history.events, deadline) is not None:
        return _Ruling(Verdict.EXCUSED, f"approved exception; {reason}", ended)
    return _Ruling(Verdict.MISSED, reason, ended)


def _evidence(clock: Clock, ruling: _Ruling) -> tuple[FactRef, ...]:
    roles = [("start", clock.start), *(("requires", event) for event in clock.required)]
    if ruling.ended is not None:
        cancels = ruling.ended is clock.cancel or ruling.verdict == Verdict.CANCELLED
        roles.append(("cancel" if cancels else "stop", ruling.ended))
    told = [FactRef(role=r, event_id=e.event_id, kind=e.kind, occurred_at=e.at) for r, e in roles]
    told += [FactRef(role="because", event_id=b, kind=e.kind, occurred_at=e.at) for _, e in roles for b in e.because]
    return tuple(told)


def _arithmetic(clock: Clock, owed: Terms, ruling: _Ruling, intervals: Sequence[Interval]) -> tuple[str, ...]:
    zone, when = ZoneInfo(owed.calendar.zone), owed.when

    def local(at: datetime) -> str:
        return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")

    waited = next((e for e in clock.required if e.at == clock.started_at > clock.start.at), None)
    lines = [f"started {local(clock.started_at)} with {clock.start.kind}" + (f", once {waited.kind} was there" if waited else "")]
    if owed.started_at != clock.started_at:
        lines.append(f"started anew {local(owed.started_at)}, when the requisition changed")
    lines.append(f"{owed.target} on {owed.calendar.name} ends {local(when.base)}")
    if when.extended_us:
        lines.append(f"moved by {when.extended_us / 3_600_000_000:.4f} hours in which the clock stood still")
    lines.append(f"deadline {local(when.deadline)}" if when.deadline else "no deadline while the clock stands still")
    if ruling.ended is not None:
        lines.append(f"{ruling.ended.kind} at {local(ruling.ended.at)}")
    running = sum(i.business_us for i in intervals if i.state == "running")
    lines.append(f"working time that counted: {running / 3_600_000_000:.4f} hours")
    lines.append(f"{ruling.verdict}: {ruling.reason}")
    return tuple(lines)
