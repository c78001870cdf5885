"""The agreement both sides are judged by: policy, calendars and people, as loaded and checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schemas.outcome import Side
from schemas.policy import Commitment, Condition, HolderRule, Policy
from streams.calendars import Calendars, content_version
from streams.conditions import Conditions
from streams.directory import People

#: Conditions with the instant from which they are in force, newest first.
Versions = tuple[tuple[datetime, Conditions], ...]
#: What each version of a commitment waits for, with the instant from which it is in force, newest first; () if none waits.
Waits = tuple[tuple[datetime, tuple[Versions, ...]], ...]


class Promise:
    """A stanza of the policy with its conditions ready to be matched, and at hand what is asked of it for every clock."""

    def __init__(
        self,
        commitment: Commitment,
        waits_for: Waits,
        known: dict[str, Conditions],
        ends: datetime | None,
    ) -> None:
        """`known`: conditions made so far, see `_conditions`; `ends`: when a later stanza of its name switches it off."""
        quality = commitment.quality
        self.commitment = commitment
        self.name = commitment.name
        self.version = commitment.version
        self.effective_from = commitment.effective_from
        self.ends = ends
        self.of_requisition = commitment.subject == "requisition"
        self.of_interviewer = commitment.subject == "interviewer"
        self.cycles = str(commitment.cycles)
        self.sibling = commitment.sibling
        self.judges_quality = quality is not None
        self.owner = commitment.owner
        self.fallback_owner = commitment.fallback_owner
        self.start = _conditions(commitment.start, known)
        #: each alternative of `start` by itself, in order of preference
        self.in_order = tuple(_conditions((condition,), known) for condition in commitment.start)
        #: one of them starts the clock some time after the fact
        self.delays = any(condition.delay is not None for condition in commitment.start)
        self.stop = _conditions(commitment.stop, known)
        self.cancel = _conditions(commitment.cancel, known)
        self.pause = _conditions(commitment.pause, known)
        self.resume = _conditions(commitment.resume, known)
        self.before = _conditions(quality.before if quality else (), known)  #: of a quality: what must not have come first
        self.good = _conditions(quality.good if quality else (), known)
        self.waits_for = waits_for  #: the clock starts only when of each group, as agreed when it was asked, one event is there
        self.side: Side | None = None if commitment.side == "holder" else commitment.side  #: None: whoever holds the ball
        self.runs_with_holder = commitment.clock == "holder"  #: runs only while one of `runs_with` holds the ball
        self.runs_with = frozenset(map(str, Side)) if self.side is None else frozenset((str(self.side),))
        self.applies = commitment.applies
        self.target = commitment.target
        self.targets = commitment.targets
        self.warn_at = commitment.warn_at
        self.on_change = str(commitment.on_change)


class HolderChange:
    """A row of the policy's holder table: who has the ball once a fact of this kind and condition happened."""

    def __init__(self, rule: HolderRule) -> None:
        self.holder = str(rule.holder)
        self.state = rule.state
        self.condition = Conditions((rule.when,))


@dataclass(frozen=True, slots=True, repr=False)
class Agreement:
    """Everything `evaluate` needs to know that is not a fact; made by `streams.check.load_agreement`."""

    policy: Policy
    calendars: Calendars
    people: People
    policy_version: str = field(init=False)  #: the policy's version and the hash of its content
    stamp: str = field(init=False)  #: of which agreement a verdict is: policy and people; calendars say it themselves
    #: enabled stanzas by name, newest effective_from first: the first whose time has come judges an obligation
    promises: dict[str, tuple[Promise, ...]] = field(init=False, compare=False)
    of_requisitions: tuple[Promise, ...] = field(init=False, compare=False)
    of_applications: tuple[Promise, ...] = field(init=False, compare=False)  #: and of their interviewers
    #: the holder table by fact kind, in the policy's order
    holder_rules: dict[str, tuple[HolderChange, ...]] = field(init=False, compare=False)
    #: by kind of an application's fact, what a requisition's commitments look for
    digested: dict[str, tuple[Conditions, ...]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        content = content_version(self.policy.model_dump(mode="json"))
        object.__setattr__(self, "policy_version", f"{self.policy.version}+{content}")
        object.__setattr__(self, "stamp", f"{self.policy_version} {self.people.version}")
        object.__setattr__(self, "promises", _promises(self.policy))
        every = [promise for versions in self.promises.values() for promise in versions]
        own = tuple(p for p in every if p.of_requisition)
        object.__setattr__(self, "of_requisitions", own)
        object.__setattr__(self, "of_applications", tuple(p for p in every if p not in own))
        rules: dict[str, tuple[HolderChange, ...]] = {}
        for rule in self.policy.holders:
            rules[rule.when.kind] = (*rules.get(rule.when.kind, ()), HolderChange(rule))
        object.__setattr__(self, "holder_rules", rules)
        digested: dict[str, tuple[Conditions, ...]] = {}
        for commitment in self.policy.enabled():
            if commitment.subject == "requisition":
                # never to cancel: what ends one application (or is declined of it) ends no promise on the requisition
                for condition in (*commitment.start, *commitment.stop, *commitment.requires):
                    digested[condition.kind] = (*digested.get(condition.kind, ()), Conditions((condition,)))
        object.__setattr__(self, "digested", digested)

    def __repr__(self) -> str:
        return f"Agreement({self.stamp})"  # its content is some 60 kB

    def in_force(self, name: str, at: datetime) -> Promise | None:
        """The stanza of a commitment that judges an obligation started at `at`; None if none was in force, or it was over."""
        for promise in self.promises.get(name, ()):
            if promise.effective_from <= at:
                return promise if promise.ends is None or at < promise.ends else None
        return None


def _promises(policy: Policy) -> dict[str, tuple[Promise, ...]]:
    stanzas: dict[str, list[Commitment]] = {}
    for commitment in sorted(policy.enabled(), key=lambda c: c.effective_from, reverse=True):
        stanzas.setdefault(commitment.name, []).append(commitment)
    ends: dict[str, list[datetime]] = {}
    for commitment in policy.commitments:
        if not commitment.enabled:
            ends.setdefault(commitment.name, []).append(commitment.effective_from)
    known: dict[str, Conditions] = {}
    waits = {name: _waits(versions, stanzas, known) for name, versions in stanzas.items()}
    return {
        name: tuple(Promise(commitment, waits[name], known, _end(commitment, ends.get(name, ()))) for commitment in versions)
        for name, versions in stanzas.items()
    }


def _end(commitment: Commitment, ends: Iterable[datetime]) -> datetime | None:
    return min((at for at in ends if at > commitment.effective_from), default=None)


def _waits(versions: list[Commitment], stanzas: Mapping[str, list[Commitment]], known: dict[str, Conditions]) -> Waits:
    found = tuple((commitment.effective_from, _waits_for(commitment, stanzas, known)) for commitment in versions)
    return found if any(groups for _, groups in found) else ()


def _waits_for(
    commitment: Commitment, stanzas: Mapping[str, list[Commitment]], known: dict[str, Conditions]
) -> tuple[Versions, ...]:
    groups: list[Versions] = [((commitment.effective_from, _conditions((one,), known)),) for one in commitment.requires]
    if commitment.contingent_on is not None and commitment.contingent_on in stanzas:
        others = stanzas[commitment.contingent_on]
        groups.append(tuple((other.effective_from, _conditions(other.stop, known)) for other in others))
    return tuple(groups)


def _conditions(given: tuple[Condition, ...], known: dict[str, Conditions]) -> Conditions:
    """The same object for the same conditions, so that what they match in a history is looked up once."""
    text = repr([(c.kind, sorted(c.where.items())) for c in given])
    return known.setdefault(text, Conditions(given))
