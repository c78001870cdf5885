"""The agreement both sides are judged by: policy, calendars and people, as loaded and checked together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.policy import Commitment, Condition, HolderRule, Policy
from streams.calendars import Calendars, content_version
from streams.directory import People


@dataclass(frozen=True, slots=True)
class Agreement:
    """Everything `evaluate` needs to know that is not a fact; made by `streams.check.load_agreement`."""

    policy: Policy
    calendars: Calendars
    people: People
    policy_version: str = field(init=False)  #: the policy's version and the hash of its content
    #: enabled stanzas by name, newest effective_from first: the first whose time has come judges an obligation
    stanzas: dict[str, tuple[Commitment, ...]] = field(init=False, repr=False)
    #: the holder table by fact kind, in the policy's order
    holder_rules: dict[str, tuple[HolderRule, ...]] = field(init=False, repr=False)

    #: by commitment, what its clock waits for: groups of conditions, of each of which one has to be there
    waits_for: dict[str, tuple[tuple[Condition, ...], ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        content = content_version(self.policy.model_dump(mode="json"))
        object.__setattr__(self, "policy_version", f"{self.policy.version}+{content}")
        stanzas: dict[str, tuple[Commitment, ...]] = {}
        for commitment in sorted(self.policy.enabled(), key=lambda c: c.effective_from, reverse=True):
            stanzas[commitment.name] = (*stanzas.get(commitment.name, ()), commitment)
        object.__setattr__(self, "stanzas", stanzas)
        rules: dict[str, tuple[HolderRule, ...]] = {}
        for rule in self.policy.holders:
            rules[rule.when.kind] = (*rules.get(rule.when.kind, ()), rule)
        object.__setattr__(self, "holder_rules", rules)
        waits_for: dict[str, tuple[tuple[Condition, ...], ...]] = {}
        for name, (newest, *_) in stanzas.items():
            groups: list[tuple[Condition, ...]] = [(condition,) for condition in newest.requires]
            if newest.contingent_on in stanzas:
                groups.append(stanzas[newest.contingent_on][0].stop)
            waits_for[name] = tuple(groups)
        object.__setattr__(self, "waits_for", waits_for)

    def in_force(self, name: str, at: datetime) -> Commitment | None:
        """The stanza of a commitment that judges an obligation started at `at`; None if none was in force."""
        return next((c for c in self.stanzas.get(name, ()) if c.effective_from <= at), None)
