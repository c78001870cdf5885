"""What a life is made of: events, and the one total order they are in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from schemas.fact import DERIVED_KINDS, FACT_KINDS, STAGES

#: Facts of one instant are ordered by kind, in the order a hiring process takes (the order of FACT_KINDS); a derived
#: moment comes right after the kind that causes it. Then by stage, then by id. The order is total.
KIND_RANK: dict[str, int] = {kind: 10 * rank for rank, kind in enumerate(FACT_KINDS)}
KIND_RANK.update({kind: max(KIND_RANK[k] for k in causes) + 1 for kind, causes in DERIVED_KINDS.items()})
STAGE_RANK: dict[object, int] = {stage: rank for rank, stage in enumerate(STAGES)}

Key = tuple[datetime, int, int, str]
key_of = attrgetter("key")


@dataclass(slots=True)
class Event:
    """A fact, or a moment derived from facts, in the life of one requisition or application. Never changed once made.

    (Not frozen: a frozen one takes four times as long to make, and every evaluation makes one for each fact.)
    """

    at: datetime
    event_id: str
    kind: str
    attributes: Mapping[str, Any]
    application_id: str | None = None
    interview_id: str | None = None
    person: str | None = None  #: person key
    actor: str | None = None  #: person key
    not_before: datetime | None = None
    undone_at: datetime | None = None  #: a scorecard that was deleted then
    backfill: bool = False
    because: tuple[str, ...] = ()  #: of a derived moment, the facts it follows from
    key: Key = field(init=False, compare=False)

    def __post_init__(self) -> None:
        stage = STAGE_RANK.get(self.attributes.get("stage"), -1) if self.attributes else -1
        self.key = (self.at, KIND_RANK[self.kind], stage, self.event_id)
