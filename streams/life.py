"""What one requisition or application went through, ready to be judged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from schemas.fact import DERIVED_KINDS
from streams.event import Event
from streams.history import History
from streams.holders import Hold
from streams.roster import Roster, Traits

if TYPE_CHECKING:
    from streams.terms import Owed


@dataclass(slots=True)
class Life:
    """The events of a subject, with who had which role, what the requisition was like, and who held the ball."""

    tenant: str
    requisition_id: str
    application_id: str | None
    history: History
    roster: Roster
    traits: Traits
    holdings: Sequence[Hold]
    account: str = field(init=False)  #: the source account that tells of this requisition
    owed: dict[object, Owed] = field(default_factory=dict)  #: terms that siblings share, see `terms.owed`
    _parties: dict[datetime, tuple[str, str, str]] = field(default_factory=dict)
    _since: list[datetime] = field(init=False)

    def __post_init__(self) -> None:
        self.account = self.requisition_id.partition("/")[0]
        self._since = [hold.start for hold in self.holdings]

    def parties(self, at: datetime) -> tuple[str, str, str]:
        """Team, recruiter and hiring manager at `at`; who is not known is `unassigned`."""
        found = self._parties.get(at)
        if found is None:
            recruiter, manager = self.roster.owner("recruiter", None, at), self.roster.owner("hiring_manager", None, at)
            found = self._parties[at] = self.roster.team(at), recruiter, manager
        return found

    def place(self, at: datetime) -> int:
        """The index of who holds the ball at `at`; -1 before anybody did."""
        return bisect_right(self._since, at) - 1

    def during(self, begin: datetime, end: datetime) -> Sequence[Hold]:
        """Who held the ball in [begin, end), in order: whoever had it at `begin`, and who got it before `end`."""
        return self.holdings[max(0, self.place(begin)) : bisect_left(self._since, end)]

    def is_over(self, event: Event, *, silent: bool = False) -> bool:
        """Whether the application had ended when a derived moment came: it starts nothing any more.

        A rejected candidate's interview may still be in the calendar, and a scorecard may come late; nobody owes for it.
        `silent`: ask of any event, as for promises that repeat while the application lives.
        """
        if not silent and event.kind not in DERIVED_KINDS:
            return False
        place = self.place(event.at)
        return place >= 0 and self.holdings[place].holder == "nobody"
