"""The agreement both sides are judged by: policy, calendars and people, as loaded and checked together."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.policy import Commitment, HolderRule, Policy
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
