"""Where a clock stands still, and its life cut into pieces. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from streams.agreement import Promise
from streams.deadline import Gap
from streams.life import Life

Piece = tuple[datetime, datetime, str, str]  #: begin, end, state (running, waiting or paused), holder


def gaps_of(promise: Promise, life: Life, start: datetime, until: datetime, *, ended: bool) -> list[Gap]:
    """Where a clock started at `start` stands still up to `until`, disjoint and in order.

    An open gap of a clock that ended ends with it.
    """
    found: list[Gap] = []
    if promise.runs_with_holder and life.application_id is not None:
        runs_with, holdings = promise.runs_with, life.holdings
        for index in range(max(0, life.place(start)), len(holdings)):
            hold = holdings[index]
            if hold.start > until:
                break
            if hold.holder not in runs_with:
                found.append((hold.start, hold.end))
    if life.history.matching(promise.pause):
        found += _pauses(promise, life)
        found.sort(key=lambda gap: gap[0])
    return _union(found, start, until, ended=ended) if found else found


def _pauses(promise: Promise, life: Life) -> list[Gap]:
    pauses = life.history.matching(promise.pause)
    both = sorted(
        [*((e.key, e.at, True) for e in pauses), *((e.key, e.at, False) for e in life.history.matching(promise.resume))]
    )
    found: list[Gap] = []
    paused_at: datetime | None = None
    for _, at, stops in both:
        if stops and paused_at is None:
            paused_at = at
        elif not stops and paused_at is not None:
            found.append((paused_at, at))
            paused_at = None
    if paused_at is not None:
        found.append((paused_at, None))
    return found


def _union(gaps: Sequence[Gap], start: datetime, until: datetime, *, ended: bool) -> list[Gap]:
    merged: list[Gap] = []
    for begin, end in gaps:
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


def pieces(life: Life, start: datetime, until: datetime, gaps: Sequence[Gap], side: str) -> list[Piece]:
    """[start, `until`) cut at gaps and at changes of the holder; the pieces add up to the clock's elapsed time.

    `side` stands for the holder where the subject has none (a requisition).
    """
    holdings = life.holdings
    place = life.place(start)
    cuts = {at for gap in gaps for at in gap if at is not None and start < at < until}
    cuts.update(hold.start for hold in life.during(start, until) if hold.start > start)
    edges = [*sorted(cuts), until]
    found: list[Piece] = []
    gap, begin = 0, start
    for end in edges:
        if end <= begin:
            continue
        while place + 1 < len(holdings) and holdings[place + 1].start <= begin:
            place += 1
        holder = holdings[place].holder if place >= 0 else side
        while gap < len(gaps) and (ends := gaps[gap][1]) is not None and ends <= begin:
            gap += 1
        still = gap < len(gaps) and gaps[gap][0] <= begin
        state = "running" if not still else ("paused" if holder in ("paused", side) else "waiting")
        found.append((begin, end, state, holder))
        begin = end
    return found
