"""What one requisition or application went through, ready to be judged."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.outcome import Holding
from streams.roster import Roster, Traits
from streams.timeline import History


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

    @property
    def account(self) -> str:
        """The source account that tells of this requisition."""
        return self.requisition_id.partition("/")[0]
