"""Who holds the ball of an application, from its events and the policy's holder table; never derived from obligations.

From creation to its end every instant is held by exactly one of talent_acquisition, hiring_manager, candidate, paused,
nobody, so the intervals add up to its elapsed time exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from schemas.fact import DERIVED_KINDS
from streams.agreement import HolderChange
from streams.event import Event
from streams.roster import Roster

#: Of facts of one instant the later in this order has the last word. Pauses, and closes of the requisition, lie over what an
#: application says itself: they and what ends them come first, as events are ordered (held, resumed, closed, reopened).
PRECEDENCE = {"talent_acquisition": 1, "hiring_manager": 2, "candidate": 3, "nobody": 4}
ROLE_OF = {"talent_acquisition": "recruiter", "hiring_manager": "hiring_manager"}


class Hold:
    """Who held the ball in [start, end); `end` None: still. What `schemas.outcome.Holding` says, in the making."""

    def __init__(self, start: datetime, end: datetime | None, holder: str, person: str | None, cause: str, state: str) -> None:
        self.start = start
        self.end = end
        self.holder = holder
        self.person = person
        self.cause = cause
        self.state = state


class _Ball:
    """Where the ball is: what the application says, under what its requisition says."""

    def __init__(self) -> None:
        self.holder = "talent_acquisition"  #: until a fact says otherwise
        self.state = "unknown"
        self.paused = False
        self.closed = False
        self.closed_state = "closed"

    def take(self, rule: HolderChange, event: Event) -> None:
        """Facts of the requisition lie over the application's own: a hold or a close ends, and the ball is where it was."""
        if event.kind in DERIVED_KINDS and (self.closed or self.holder == "nobody"):
            return  # an interview's end or a late scorecard brings nobody back to life
        if rule.holder == "paused":
            self.paused = True
        elif rule.holder == "resume":
            self.paused = self.closed = False
        elif event.application_id is None and rule.holder == "nobody":
            self.closed, self.closed_state = True, rule.state or "closed"
        else:
            self.holder, self.state = rule.holder, rule.state or self.state

    def now(self) -> tuple[str, str]:
        if self.holder == "nobody":  # whatever becomes of its requisition then
            return "nobody", self.state
        if self.closed:
            return "nobody", self.closed_state
        return ("paused" if self.paused else self.holder), self.state


Rules = Mapping[str, tuple[HolderChange, ...]]  #: by fact kind, see `Agreement.holder_rules`


def holdings(events: Iterable[Event], rules: Rules, roster: Roster) -> list[Hold]:
    """The holders of one application in order, each interval [start, end); the last is open (end None) while it lives.

    `events` are those of the application and its requisition, ordered. An application begins with its first own event;
    what happened to the requisition before only sets the scene. Once nobody holds the ball for good, the last interval
    is that of nobody and has no length: its start is the end of the application's life.
    """
    ball, found = _Ball(), list[Hold]()
    together: list[tuple[HolderChange, Event]] = []
    begun = False
    for event in events:
        for rule in rules.get(event.kind, ()):
            if rule.condition.match(event.kind, event.attributes):
                if together and together[0][1].at != event.at:
                    begun = _at_once(together, ball, found, roster, begun=begun)
                    together = []
                together.append((rule, event))
                break
    if together:
        _at_once(together, ball, found, roster, begun=begun)
    return _by_person(found, roster) if any(roster.changes(role) for role in ROLE_OF.values()) else found


def _at_once(together: list[tuple[HolderChange, Event]], ball: _Ball, found: list[Hold], roster: Roster, *, begun: bool) -> bool:
    """What happened at one instant; returns whether the application has begun."""
    if len(together) > 1:
        together.sort(key=_precedence)
    for rule, event in together:
        ball.take(rule, event)
        begun = begun or event.application_id is not None
    if not begun:
        return False
    at, cause = together[-1][1].at, together[-1][1].event_id
    holder, state = ball.now()
    role = ROLE_OF.get(holder)
    person = roster.who(role, at) if role else None
    if found:
        last = found[-1]
        if last.holder == holder and last.state == state and last.person == person:
            return True
        if last.holder == holder == "nobody":  # its life is over since then; what comes later only says how it ended
            last.state = state
            return True
        last.end = at
    found.append(Hold(at, None, holder, person, cause, state))
    return True


def _precedence(hit: tuple[HolderChange, Event]) -> int:
    rule, event = hit
    lies_over = rule.holder == "nobody" and event.application_id is None
    return 0 if lies_over else PRECEDENCE.get(rule.holder, 0)


def _by_person(found: Sequence[Hold], roster: Roster) -> list[Hold]:
    """Holdings cut where the role passes to somebody else: everybody is charged for the time they held the ball themselves."""
    cut: list[Hold] = []
    for hold in found:
        last, role = cut[-1] if cut else None, ROLE_OF.get(hold.holder)
        if last is not None and (last.holder, last.state, last.person) == (hold.holder, hold.state, hold.person):
            last.end = hold.end  # passed on before, and then the ball came to where it was
        else:
            cut.append(hold)
        for at, cause in roster.changes(role):
            last, person = cut[-1], roster.who(role, at)
            if last.start < at and (last.end is None or at < last.end) and person != last.person:
                cut.append(Hold(at, last.end, hold.holder, person, cause, hold.state))
                last.end = at
    return cut


def ended_at(found: Sequence[Hold]) -> datetime | None:
    """The end of the application's life: when nobody took the ball for good; None while somebody holds it."""
    if found and found[-1].holder == "nobody":
        return found[-1].start
    return None
