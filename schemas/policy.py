"""The policy file: commitments of both sides, and the holder table. `docs/policy.md` explains each key by example."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

from pydantic import Field, model_validator

from schemas.base import Agreed, Number, Positive, Switch, Whole, WrittenInstant
from schemas.outcome import Side

Scalar = str | int | float | bool


class Condition(Agreed):
    """Matches a fact (or derived moment) by kind, and by attributes where given: a value, or any of a list of values."""

    kind: str
    where: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)  #: see docs/policy.md for the attributes
    delay: Target | None = None  #: for start only: the clock starts this much after the fact


class Target(Agreed):
    """How long: exactly one of the five.

    `business_hours` counts time inside the debtor's windows; `business_days` is due at the same local time n working days
    later; `calendar_days` the same on all days; `elapsed_hours` is wall-clock; `until` names an attribute of the starting
    fact that holds the instant or day it is due (a day: its first instant in the debtor's zone).
    """

    business_hours: Positive | None = None
    business_days: Whole | None = None
    calendar_days: Whole | None = None
    elapsed_hours: Positive | None = None
    until: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        if len(self.model_fields_set & set(type(self).model_fields)) != 1:
            raise ValueError("a target has exactly one of business_hours, business_days, calendar_days, elapsed_hours, until")
        return self

    @cached_property
    def text(self) -> str:
        """As the policy writes it, such as `business_days: 2`."""
        unit = next(iter(self.model_fields_set))
        value = getattr(self, unit)
        return f"{unit}: {value}" if isinstance(value, str) else f"{unit}: {value:g}"

    def __str__(self) -> str:
        return self.text


Wanted = dict[str, Scalar | tuple[Scalar, ...]]  #: attribute -> the value, or any of the values, it must have


class TargetRule(Agreed):
    """A target for requisitions with certain attributes (priority, level, location, …) or of a `team`."""

    when: Wanted = Field(min_length=1)
    target: Target


class Quality(Agreed):
    """A promise about how, not when: judged on the fact that stopped it. What is not told is unknown, not good.

    Kept if the fact matches one of `good`; broken if it does not, or came after one of `before`; unknown (`unverified`) if
    an attribute that `good` asks for is not there.
    """

    good: tuple[Condition, ...] = Field(min_length=1)
    before: tuple[Condition, ...] = ()


class Commitment(Agreed):
    """One promise. Every obligation is this stanza applied to one subject."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = "1"
    effective_from: WrittenInstant = datetime(1970, 1, 1, tzinfo=UTC)  #: judges obligations that start from here on
    enabled: Switch = True  #: False: off; a later stanza of a name that is on ends it from its `effective_from` on
    description: str = ""
    side: Side | Literal["holder"]  #: `holder`: whichever side holds the ball at the deadline
    applies: Wanted = Field(default_factory=dict)  #: only to requisitions with these attributes (or of this `team`)
    subject: Literal["requisition", "application", "interviewer"]
    owner: str | None = None  #: role in the people snapshot who owes; `interviewer`: the subject's own person; not for `holder`
    fallback_owner: str | None = None
    start: tuple[Condition, ...] = Field(min_length=1)  #: in order of preference: the first that ever happened counts
    requires: tuple[Condition, ...] = ()  #: contingent on the other side: the clock starts when each of these is there too
    contingent_on: str | None = None  #: the same for another commitment: the clock waits until that promise was kept
    stop: tuple[Condition, ...] = Field(min_length=1)  #: any of them keeps the promise
    stop_count: Whole = 1  #: for a requisition: so many different applications
    cancel: tuple[Condition, ...] = ()
    pause: tuple[Condition, ...] = ()
    resume: tuple[Condition, ...] = ()
    #: `once`: one obligation; `each`: a start after the end opens the next; `latest`: a later start starts it anew;
    #: `repeats`: what stops one clock starts the next
    cycles: Literal["once", "each", "latest", "repeats"] = "each"
    clock: Literal["holder", "always"] = "always"  #: `holder`: runs only while this side holds the ball
    target: Target | None = None  #: where no rule of `targets` matches
    targets: tuple[TargetRule, ...] = ()  #: the first whose attributes match at the start counts
    #: when attributes change on the way: keep the target (`pinned`), judge by the new one from the start on (`retroactive`),
    #: by the new one for what is left (`forward`), or start anew with it (`reset`)
    on_change: Literal["pinned", "retroactive", "forward", "reset"] = "pinned"
    sibling: str | None = None  #: no clock of its own: due when that commitment of the same subject is
    quality: Quality | None = None
    warn_at: Number = Field(default=0.75, gt=0, lt=1)  #: due soon after this share of the target
    objective: Number = Field(gt=0, le=1)  #: the adherence both sides agreed to reach
    weight: Number = Field(default=1.0, ge=0)  #: in the side score
    minimum_n: Whole | None = None  #: instead of the policy's

    @model_validator(mode="after")
    def _due_somehow(self) -> Commitment:
        if (self.target is None) == (self.sibling is None):
            raise ValueError("a commitment has either a target or a sibling whose deadline is its own")
        if self.owner is None and self.side != "holder":
            raise ValueError("a commitment needs an owner: the role who owes (only side: holder has none)")
        return self


class HolderRule(Agreed):
    """When a fact matches, the application is in `state` (None: unchanged) and `holder` holds the ball."""

    when: Condition
    state: str | None = None
    holder: Literal["talent_acquisition", "hiring_manager", "candidate", "paused", "resume", "nobody"]


class Policy(Agreed):
    """The mutual agreement."""

    version: str
    reporting_zone: str  #: IANA zone in which months begin and end
    minimum_n: Whole = 5  #: below it no adherence is coloured, no index is given
    holders: tuple[HolderRule, ...] = Field(min_length=1)
    commitments: tuple[Commitment, ...] = Field(min_length=1)

    def enabled(self) -> tuple[Commitment, ...]:
        return tuple(c for c in self.commitments if c.enabled)

    def agreed(self) -> tuple[Commitment, ...]:
        """The stanzas that say something: those that are on, and those that switch an earlier one off."""
        since: dict[str, datetime] = {}
        for one in self.enabled():
            since[one.name] = min(one.effective_from, since.get(one.name, one.effective_from))
        return tuple(c for c in self.commitments if c.enabled or (c.name in since and since[c.name] < c.effective_from))

    def minimum_for(self, commitment: Commitment) -> int:
        """Under so many obligations of the commitment nothing is said of its adherence."""
        return commitment.minimum_n or self.minimum_n


Condition.model_rebuild()
Quality.model_rebuild()
