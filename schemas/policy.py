"""The policy file: commitments of both sides, and the holder table. `docs/policy.md` explains each key by example."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, model_validator

from schemas.base import Agreed, Instant
from schemas.outcome import Side

Scalar = str | int | float | bool


class Condition(Agreed):
    """Matches a fact (or derived moment) by kind, and by attributes where given: a value, or any of a list of values."""

    kind: str
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    delay: Target | None = None  #: for start only: the clock starts this much after the fact


class Target(Agreed):
    """How long: exactly one of the four units.

    `business_hours` counts time inside the debtor's windows; `business_days` is due at the same local time n working days
    later; `calendar_days` the same on all days; `elapsed_hours` is wall-clock.
    """

    business_hours: float | None = Field(default=None, gt=0)
    business_days: int | None = Field(default=None, gt=0)
    calendar_days: int | None = Field(default=None, gt=0)
    elapsed_hours: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        if len(self.model_fields_set & set(type(self).model_fields)) != 1:
            raise ValueError("a target has exactly one of business_hours, business_days, calendar_days, elapsed_hours")
        return self

    def __str__(self) -> str:
        unit = next(iter(self.model_fields_set))
        return f"{unit}: {getattr(self, unit):g}"


class Commitment(Agreed):
    """One promise. Every obligation is this stanza applied to one subject."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = "1"
    effective_from: Instant = datetime(1970, 1, 1, tzinfo=UTC)  #: judges obligations that start from here on
    enabled: bool = True
    description: str = ""
    side: Side
    subject: Literal["requisition", "application", "interviewer"]
    owner: str  #: role in the people snapshot who owes; `interviewer` is the subject's own person
    fallback_owner: str | None = None
    start: tuple[Condition, ...] = Field(min_length=1)  #: in order of preference: the first that ever happened counts
    requires: tuple[Condition, ...] = ()  #: contingent on the other side: the clock starts when each of these is there too
    stop: tuple[Condition, ...] = Field(min_length=1)  #: any of them keeps the promise
    stop_count: int = Field(default=1, ge=1)  #: for a requisition: so many different applications
    cancel: tuple[Condition, ...] = ()
    pause: tuple[Condition, ...] = ()
    resume: tuple[Condition, ...] = ()
    cycles: Literal["once", "each"] = "each"  #: whether a start after the end opens a new obligation
    clock: Literal["holder", "always"] = "always"  #: `holder`: runs only while this side holds the ball
    target: Target
    warn_at: float = Field(default=0.75, gt=0, lt=1)  #: due soon after this share of the target
    objective: float = Field(gt=0, le=1)  #: the adherence both sides agreed to reach
    weight: float = Field(default=1.0, ge=0)  #: in the side score


class HolderRule(Agreed):
    """When a fact matches, the application is in `state` (None: unchanged) and `holder` holds the ball."""

    when: Condition
    state: str | None = None
    holder: Literal["talent_acquisition", "hiring_manager", "candidate", "paused", "resume", "nobody"]


class Policy(Agreed):
    """The mutual agreement."""

    version: str
    reporting_zone: str  #: IANA zone in which months begin and end
    minimum_n: int = Field(default=5, ge=1)  #: below it no adherence is coloured, no index is given
    holders: tuple[HolderRule, ...] = Field(min_length=1)
    commitments: tuple[Commitment, ...] = Field(min_length=1)

    def enabled(self) -> tuple[Commitment, ...]:
        return tuple(c for c in self.commitments if c.enabled)


Condition.model_rebuild()
