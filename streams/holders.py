"""Who holds the ball of an application, from its events and the policy's holder table; never derived from obligations.

From creation to its end every instant is held by exactly one of talent_acquisition, hiring_manager, candidate, paused,
nobody, so the intervals add up to its elapsed time exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from schemas.fact import DERIVED_KINDS
from schemas.outcome import Holding
from schemas.policy import HolderRule
from streams.roster import Roster
from streams.timeline import Event, matches

#: Of facts of one instant the later in this order has the last word (design: total precedence).
PRECEDENCE = {"resume": 0, "talent_acquisition": 1, "hiring_manager": 2, "candidate": 3, "paused": 4, "nobody": 5}
ROLE_OF = {"talent_acquisition": "recruiter", "hiring_manager": "hiring_manager"}


@dataclass(slots=True)
class _Ball:
    """Where the ball is: what the application says, under what its requisition says."""

    holder: str = "talent_acquisition"  #: until a fact says otherwise
    state: str = "unknown"
    paused: bool = False
    closed: bool = False
    closed_state: str = "closed"

    def take(self, rule: HolderRule, event: Event) -> None:
        """Facts of the requisition lie over the application's own: a hold or a close ends, and the ball is where it was."""
        of_requisition = event.application_id is None
        if event.kind in DERIVED_KINDS and self.now()[0] == "nobody":
            return  # an interview's end or a late scorecard brings nobody back to life
        if rule.holder == "paused":
            self.paused = True
        elif rule.holder == "resume":
            self.paused = self.closed = False
        elif of_requisition and rule.holder == "nobody":
            self.closed, self.closed_state = True, rule.state or "closed"
        else:
            self.holder, self.state = rule.holder, rule.state or self.state

    def now(self) -> tuple[str, str]:
        if self.closed or self.holder == "nobody":
            return "nobody", self.closed_state if self.closed else self.state
        return ("paused" if self.paused else self.holder), self.state


Rules = Mapping[str, tuple[HolderRule, ...]]  #: by fact kind, see `Agreement.holder_rules`


def holdings(events: Iterable[Event], rules: Rules, roster: Roster) -> tuple[Holding, ...]:
    """The holders of one application in order, each interval [start, end); the last is open (end None) while it lives.

    `events` are those of the application and its requisition, ordered. An application begins with its first own event;
    what happened to the requisition before only sets the scene. Once nobody holds the ball for good, the last interval
    is that of nobody and has no length: its start is the end of the application's life.
    """
    ball, found = _Ball(), list[Holding]()
    begun = False
    for at, together in groupby(events, key=lambda event: event.at):
        hits = [(rule, event) for event in together if (rule := _rule(rules, event)) is not None]
        hits.sort(key=lambda hit: PRECEDENCE[hit[0].holder])
        for rule, event in hits:
            ball.take(rule, event)
            begun = begun or event.application_id is not None
        if not begun or not hits:
            continue
        cause = hits[-1][1]
        holder, state = ball.now()
        person = roster.who(ROLE_OF.get(holder), at)
        previous = found[-1] if found else None
        if previous and (previous.holder, previous.state, previous.person) == (holder, state, person):
            continue
        if previous:
            found[-1] = previous.model_copy(update={"end": at})
        found.append(Holding(start=at, end=None, holder=holder, person=person, cause=cause.event_id, state=state))
    return tuple(found)


def _rule(rules: Rules, event: Event) -> HolderRule | None:
    return next((rule for rule in rules.get(event.kind, ()) if matches(rule.when, event)), None)


def ended_at(found: tuple[Holding, ...]) -> datetime | None:
    """The end of the application's life: when nobody took the ball for good; None while somebody holds it."""
    if found and found[-1].holder == "nobody":
        return found[-1].start
    return None
