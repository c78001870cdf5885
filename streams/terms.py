"""The terms of one clock: who owes, on which calendar, which target applies, and so when it is due.

Pure. Everything is pinned at the start, but for two things the policy may want otherwise: leave that was learned before the
deadline moves it, and a target may follow attributes that change on the way (`on_change`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.outcome import Side
from schemas.policy import Commitment, Target
from streams.agreement import Agreement
from streams.calendars import Calendar
from streams.cycles import Clock
from streams.deadline import Due, Gap, due, used_share
from streams.life import Life
from streams.timeline import fits

ROLES = {Side.TALENT_ACQUISITION: "recruiter", Side.HIRING_MANAGER: "hiring_manager"}


@dataclass(frozen=True, slots=True)
class Terms:
    """When a clock is due, and on whose calendar that was counted."""

    calendar: Calendar
    calendar_source: str
    when: Due
    target: str  #: as the policy writes it
    started_at: datetime  #: later than the clock's start where a change started it anew


def side_at(clock: Clock, life: Life, at: datetime) -> Side:
    """The side that owes at `at`; with `side: holder` the one that holds the ball then, or held it last."""
    if clock.commitment.side != "holder":
        return Side(clock.commitment.side)
    sides = [Side(h.holder) for h in life.holdings if h.start <= at and h.holder in set(Side)]
    return sides[-1] if sides else Side.TALENT_ACQUISITION


def owner_at(clock: Clock, life: Life, at: datetime) -> str:
    """The key of the person who owes at `at`."""
    commitment = clock.commitment
    if clock.person is not None:
        return clock.person
    role = commitment.owner or ROLES[side_at(clock, life, at)]
    return life.roster.owner(role, commitment.fallback_owner, at)


def applies(commitment: Commitment, life: Life, agreement: Agreement, at: datetime) -> bool:
    """Whether the commitment is for requisitions like this one, as it was at `at`."""
    return not commitment.applies or fits(commitment.applies, _traits(life, agreement, at))


def terms(clock: Clock, life: Life, agreement: Agreement, gaps: Sequence[Gap], until: datetime) -> Terms:
    """The terms of `clock`, with what is known up to `until` (its end, or as_of)."""
    at = clock.started_at
    debtor, team = owner_at(clock, life, at), life.roster.team(at)
    calendar, source = agreement.people.calendar_for(debtor, team, agreement.calendars, at, at)
    while True:
        found = _on(calendar, source, clock, life, agreement, gaps, until)
        known_at = max(at, found.when.deadline or found.when.base)
        moved, source = agreement.people.calendar_for(debtor, team, agreement.calendars, at, known_at)
        if moved.version == calendar.version:
            return found
        calendar = moved  # only ever by more leave, so this ends


def _on(
    calendar: Calendar, source: str, clock: Clock, life: Life, agreement: Agreement, gaps: Sequence[Gap], until: datetime
) -> Terms:
    commitment = clock.commitment
    start = clock.started_at
    target = _target(commitment, life, agreement, start)
    when = due(start, target, commitment.warn_at, gaps, calendar, clock.start.attributes)
    if not commitment.targets or commitment.on_change == "pinned":
        return Terms(calendar, source, when, str(target), start)
    for change in life.traits.changes(start, until):
        new = _target(commitment, life, agreement, change)
        if when.deadline is not None and change >= when.deadline:
            break  # what changes after the deadline does not undo a breach
        if new == target:
            continue
        used = used_share(start, change, when, gaps)
        target, start = new, change if commitment.on_change == "reset" else start
        when = due(start, target, commitment.warn_at, gaps, calendar, clock.start.attributes)
        if commitment.on_change == "forward":
            when = when.left_after(start, change, used, commitment.warn_at, gaps)
    return Terms(calendar, source, when, str(target), start)


def _target(commitment: Commitment, life: Life, agreement: Agreement, at: datetime) -> Target:
    if commitment.targets:
        traits = _traits(life, agreement, at)
        for rule in commitment.targets:
            if fits(rule.when, traits):
                return rule.target
    assert commitment.target is not None  # a sibling has a target, `check` holds that
    return commitment.target


def _traits(life: Life, agreement: Agreement, at: datetime) -> dict[str, object]:
    team = agreement.people.teams.get(life.roster.team(at))
    known = {"team": team.key, "department": team.department, "location": team.location} if team else {}
    return {**known, **life.traits.at(at)}
