"""From a clock to a verdict, with its receipt. Pure: the same clock and agreement give the same verdict to the byte.

Ties (all documented in docs/policy.md): a stop at the very deadline is in time; a cancel counts only strictly before the
deadline, afterwards the promise is missed; a declined request cancels at any time, an approved exception excuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from schemas.outcome import FactRef, Holding, Interval, Obligation, Receipt, Verdict
from streams.agreement import Agreement
from streams.calendars import Calendar
from streams.completeness import Completeness, complete_until
from streams.cycles import Clock
from streams.deadline import MICROSECOND, Due, Gap, due
from streams.exceptions import excused_by
from streams.roster import Roster
from streams.timeline import Event, matches, matching


@dataclass(frozen=True, slots=True)
class Life:
    """What one requisition or application went through, ready to be judged."""

    tenant: str
    requisition_id: str
    application_id: str | None
    events: Sequence[Event]
    roster: Roster
    holdings: tuple[Holding, ...]

    @property
    def account(self) -> str:
        return self.requisition_id.partition("/")[0]


@dataclass(frozen=True, slots=True)
class _Ruling:
    verdict: Verdict
    reason: str
    ended: Event | None = None
    uncertain: bool = False


def judge(clock: Clock, life: Life, agreement: Agreement, completeness: Completeness, as_of: datetime) -> Obligation:
    """The obligation of one clock as of `as_of`."""
    commitment = clock.commitment
    team = life.roster.team(clock.started_at)
    debtor = clock.person or life.roster.owner(commitment.owner, commitment.fallback_owner, clock.started_at)
    first_stop = clock.stops[0].at if clock.stops else None
    end = min((at for at in (first_stop, clock.cancel.at if clock.cancel else None) if at is not None), default=None)
    gaps = _gaps(clock, life, max(end, clock.started_at) if end else as_of, ended=end is not None)
    calendar, source, when = _due(clock, debtor, team, agreement, gaps)
    ruling = _rule(clock, life, when.deadline, completeness, as_of)
    ended_at = max(ruling.ended.at, clock.started_at) if ruling.ended else None
    until = ended_at or as_of
    owner = clock.person or life.roster.owner(commitment.owner, commitment.fallback_owner, min(until, when.deadline or until))
    intervals = _intervals(clock, life, gaps, until, ended_at is not None, calendar)
    return Obligation(
        obligation_id=":".join(filter(None, (commitment.name, life.requisition_id, _native(clock, life), str(clock.cycle)))),
        tenant=life.tenant,
        commitment=commitment.name,
        commitment_version=commitment.version,
        side=commitment.side,
        owner=owner,
        team=team,
        requisition_id=life.requisition_id,
        application_id=life.application_id,
        interview_id=clock.interview_id,
        verdict=ruling.verdict,
        reason=ruling.reason,
        started_at=clock.started_at,
        due_soon_at=when.due_soon_at,
        deadline=when.deadline,
        ended_at=ended_at,
        elapsed_us=(until - clock.started_at) // MICROSECOND,
        business_us=sum(i.business_us for i in intervals if i.state == "running"),
        uncertain=ruling.uncertain,
        backfill=clock.start.backfill,
        receipt=Receipt(
            facts=_evidence(clock, ruling),
            intervals=intervals,
            calendar=calendar.name,
            calendar_source=source,
            calendar_version=calendar.version,
            policy_version=agreement.policy_version,
            people_version=agreement.people.version,
            zone=calendar.zone,
            target=str(commitment.target),
            arithmetic=_arithmetic(clock, when, ruling, calendar, intervals),
        ),
    )


def _native(clock: Clock, life: Life) -> str:
    application = (life.application_id or "").rpartition("/")[2]
    return ":".join(filter(None, (application, clock.subject)))


def _due(clock: Clock, debtor: str, team: str, agreement: Agreement, gaps: Sequence[Gap]) -> tuple[Calendar, str, Due]:
    """Calendar and deadline of who owes at the start. Leave that was learned before the deadline moves it, later does not."""
    target, warn_at, at = clock.commitment.target, clock.commitment.warn_at, clock.started_at
    calendar, source = agreement.people.calendar_for(debtor, team, agreement.calendars, at, at)
    while True:
        when = due(at, target, warn_at, gaps, calendar)
        known_at = max(at, when.deadline or when.base)
        moved, source = agreement.people.calendar_for(debtor, team, agreement.calendars, at, known_at)
        if moved.version == calendar.version:
            return calendar, source, when
        calendar = moved  # only ever by more leave, so this ends


def _rule(clock: Clock, life: Life, deadline: datetime | None, completeness: Completeness, as_of: datetime) -> _Ruling:
    declined = next((e for e in life.events if _declines(clock, e)), None)
    if declined is not None:
        return _Ruling(
            Verdict.CANCELLED, f"request declined: {declined.attributes.get('reason_code', 'no reason given')}", declined
        )
    stop = next((e for e in clock.stops if e.undone_at is None or (deadline is not None and e.undone_at > deadline)), None)
    cancel = clock.cancel
    if cancel is not None and (stop is None or cancel.key < stop.key):
        if deadline is None or cancel.at < deadline:
            return _Ruling(Verdict.CANCELLED, f"{cancel.kind} before the deadline", cancel)
        return _missed(clock, life, deadline, f"not done; {cancel.kind} came after the deadline", cancel)
    if stop is not None:
        if deadline is None or stop.at <= deadline:
            return _Ruling(Verdict.MET, "done in time", stop)
        if stop.not_before is not None and stop.not_before <= deadline:
            return _Ruling(
                Verdict.MET, "done around the deadline, between two polls: decided for the debtor", stop, uncertain=True
            )
        return _missed(clock, life, deadline, "done late", stop)
    if deadline is None:
        return _Ruling(Verdict.OPEN, "the clock stands still")
    if as_of <= deadline:
        return _Ruling(Verdict.OPEN, "running")
    if excused_by(clock.commitment.name, life.events, deadline) is not None:
        return _Ruling(Verdict.EXCUSED, "approved exception")
    if complete_until(completeness, life.account, clock.commitment.stop) < deadline:
        return _Ruling(Verdict.UNVERIFIED, "the deadline passed while the source was silent")
    return _Ruling(Verdict.OVERDUE, "not done")


def _declines(clock: Clock, event: Event) -> bool:
    """A declined request cancels what depends on it, whenever it was declined."""
    if event.kind != "request.declined" or not any(c.kind == "request.declined" for c in clock.commitment.cancel):
        return False
    named = event.attributes.get("commitment")
    return named is None or named == clock.commitment.name


def _missed(clock: Clock, life: Life, deadline: datetime, reason: str, ended: Event) -> _Ruling:
    if excused_by(clock.commitment.name, life.events, deadline) is not None:
        return _Ruling(Verdict.EXCUSED, f"approved exception; {reason}", ended)
    return _Ruling(Verdict.MISSED, reason, ended)


def _gaps(clock: Clock, life: Life, until: datetime, *, ended: bool) -> list[Gap]:
    """Where this clock stands still up to `until`, disjoint and in order; an open gap of an ended clock ends with it."""
    commitment = clock.commitment
    found: list[Gap] = []
    if commitment.clock == "holder" and life.application_id is not None:
        found += [(h.start, h.end) for h in life.holdings if h.holder != commitment.side]
    paused_at: datetime | None = None
    for event in matching((*commitment.pause, *commitment.resume), life.events):
        pauses = any(matches(condition, event) for condition in commitment.pause)
        if pauses and paused_at is None:
            paused_at = event.at
        elif not pauses and paused_at is not None:
            found.append((paused_at, event.at))
            paused_at = None
    if paused_at is not None:
        found.append((paused_at, None))
    return _union(found, clock.started_at, until, ended=ended)


def _union(gaps: list[Gap], start: datetime, until: datetime, *, ended: bool) -> list[Gap]:
    merged: list[Gap] = []
    for begin, end in sorted(gaps, key=lambda gap: gap[0]):
        if begin >= until and (ended or begin > until):
            continue
        if ended:
            end = until if end is None else min(end, until)
        begin = max(begin, start)
        if end is not None and end <= begin:
            continue
        last_end = merged[-1][1] if merged else None
        if merged and (last_end is None or begin <= last_end):
            if last_end is not None and (end is None or end > last_end):
                merged[-1] = (merged[-1][0], end)
            continue
        merged.append((begin, end))
    return merged


def _intervals(
    clock: Clock, life: Life, gaps: Sequence[Gap], until: datetime, ended: bool, calendar: Calendar
) -> tuple[Interval, ...]:
    """[start, end) of the clock cut at gaps and at changes of the holder; the pieces add up to its elapsed time."""
    cuts = {clock.started_at, until}
    cuts.update(at for gap in gaps for at in gap if at is not None)
    cuts.update(h.start for h in life.holdings)
    edges = sorted(at for at in cuts if clock.started_at <= at <= until)
    found: list[Interval] = []
    for begin, end in pairwise(edges):
        holder = next((h.holder for h in reversed(life.holdings) if h.start <= begin), str(clock.commitment.side))
        still = any(g[0] <= begin and (g[1] is None or begin < g[1]) for g in gaps)
        state: Literal["running", "waiting", "paused"]
        state = "running" if not still else ("paused" if holder in ("paused", clock.commitment.side) else "waiting")
        last = end == until and not ended
        business = calendar.working_us(begin, end)
        found.append(Interval(start=begin, end=None if last else end, state=state, holder=holder, business_us=business))
    return tuple(found)


def _evidence(clock: Clock, ruling: _Ruling) -> tuple[FactRef, ...]:
    role = {Verdict.CANCELLED: "cancel"}.get(ruling.verdict, "stop")
    if ruling.ended is not None and ruling.ended is clock.cancel:
        role = "cancel"
    roles = [("start", clock.start), *(("requires", event) for event in clock.required)]
    if ruling.ended is not None:
        roles.append((role, ruling.ended))
    return tuple(FactRef(role=r, event_id=e.event_id, kind=e.kind, occurred_at=e.at) for r, e in roles)


def _arithmetic(clock: Clock, when: Due, ruling: _Ruling, calendar: Calendar, intervals: Sequence[Interval]) -> tuple[str, ...]:
    zone = ZoneInfo(calendar.zone)

    def local(at: datetime) -> str:
        return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")

    lines = [f"started {local(clock.started_at)} with {clock.start.kind}"]
    lines.append(f"{clock.commitment.target} on {calendar.name} ends {local(when.base)}")
    if when.extended_us:
        lines.append(f"moved by {when.extended_us / 3_600_000_000:.4f} hours in which the clock stood still")
    lines.append(f"deadline {local(when.deadline)}" if when.deadline else "no deadline while the clock stands still")
    if ruling.ended is not None:
        lines.append(f"{ruling.ended.kind} at {local(ruling.ended.at)}")
    running = sum(i.business_us for i in intervals if i.state == "running")
    lines.append(f"working time that counted: {running / 3_600_000_000:.4f} hours")
    lines.append(f"{ruling.verdict}: {ruling.reason}")
    return tuple(lines)
