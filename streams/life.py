"""What one requisition or application went through, ready to be judged."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.fact import DERIVED_KINDS
from schemas.outcome import Holding
from streams.roster import Roster, Traits
from streams.timeline import Event, History


@dataclass(frozen=True, slots=True)
class Life:
    """The events of a subject, with who had which role, what the requisition was like, and who held the ball."""

    tenant: str
    requisition_id: str
    application_id: str | None
    history: History
    roster: Roster
    traits: Traits
    holdings: tuple[Holding, ...]

    def is_over(self, event: Event, *, silent: bool = False) -> bool:
        """Whether the application had ended when a derived moment came: it starts nothing any more.

        A rejected candidate's interview may still be in the calendar, and a scorecard may come late; nobody owes for it.
        `silent`: ask of any event, as for promises that repeat while the application lives.
        """
        if event.kind not in DERIVED_KINDS and not silent:
            return False
        before = [h for h in self.holdings if h.start <= event.at]
        return bool(before) and before[-1].holder == "nobody"

    @property
    def account(self) -> str:
        """The source account that tells of this requisition."""
        return self.requisition_id.partition("/")[0]
