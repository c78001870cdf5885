"""What a life is made of: events, and the one total order they are in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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


class Event:
    """A fact, or a moment derived from facts, in the life of one requisition or application. Never changed once made."""

    def __init__(
        self,
        at: datetime,
        event_id: str,
        kind: str,
        attributes: Mapping[str, Any],
        application_id: str | None = None,
        interview_id: str | None = None,
        person: str | None = None,
        actor: str | None = None,
        not_before: datetime | None = None,
        undone_at: datetime | None = None,
        backfill: bool = False,
        because: tuple[str, ...] = (),
    ) -> None:
        self.at = at
        self.event_id = event_id
        self.kind = kind
        self.attributes = attributes
        self.application_id = application_id
        self.interview_id = interview_id
        self.person = person  #: person key
        self.actor = actor  #: person key
        self.not_before = not_before
        self.undone_at = undone_at  #: a scorecard that was deleted then
        self.backfill = backfill
        self.because = because  #: of a derived moment, the facts it follows from
        stage = STAGE_RANK.get(attributes.get("stage"), -1) if attributes else -1
        self.key: Key = (at, KIND_RANK[kind], stage, event_id)
