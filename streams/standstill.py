"""Where a clock stands still, and its life cut into intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Literal

from schemas.outcome import Interval, Side
from streams.calendars import Calendar
from streams.cycles import Clock
from streams.deadline import Gap
from streams.life import Life
from streams.timeline import matches


def gaps_of(clock: Clock, life: Life, until: datetime, *, ended: bool) -> list[Gap]:
    """Where this clock stands still up to `until`, disjoint and in order; an open gap of an ended clock ends with it."""
    commitment = clock.commitment
    found: list[Gap] = []
    if commitment.clock == "holder" and life.application_id is not None:
        runs_with = set(Side) if commitment.side == "holder" else {commitment.side}
        found += [(h.start, h.end) for h in life.holdings if h.holder not in runs_with]
    if commitment.pause:
        found += _pauses(clock, life)
    return _union(found, clock.started_at, until, ended=ended)


def _pauses(clock: Clock, life: Life) -> list[Gap]:
    commitment = clock.commitment
    found: list[Gap] = []
    paused_at: datetime | None = None
    both = [*life.history.matching(commitment.pause), *life.history.matching(commitment.resume)]
    for event in sorted(both, key=lambda e: e.key):
        pauses = any(matches(condition, event) for condition in commitment.pause)
        if pauses and paused_at is None:
            paused_at = event.at
        elif not pauses and paused_at is not None:
            found.append((paused_at, event.at))
            paused_at = None
    if paused_at is not None:
        found.append((paused_at, None))
    return found


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


def intervals_of(
    clock: Clock, life: Life, gaps: Sequence[Gap], until: datetime, *, ended: bool, side: Side, calendar: Calendar
) -> tuple[Interval, ...]:
    """[start, `until`) cut at gaps and at changes of the holder; the pieces add up to the clock's elapsed time.

    `side` stands for the holder where the subject has none (a requisition).
    """
    cuts = {clock.started_at, until}
    cuts.update(at for gap in gaps for at in gap if at is not None)
    cuts.update(h.start for h in life.holdings)
    edges = sorted(at for at in cuts if clock.started_at <= at <= until)
    found: list[Interval] = []
    for begin, end in pairwise(edges):
        holder = next((h.holder for h in reversed(life.holdings) if h.start <= begin), str(side))
        still = any(g[0] <= begin and (g[1] is None or begin < g[1]) for g in gaps)
        state: Literal["running", "waiting", "paused"]
        state = "running" if not still else ("paused" if holder in ("paused", side) else "waiting")
        last = end == until and not ended
        business = calendar.working_us(begin, end)
        found.append(Interval(start=begin, end=None if last else end, state=state, holder=holder, business_us=business))
    return tuple(found)
