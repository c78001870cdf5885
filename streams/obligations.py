"""The core: facts in, obligations and holders out. One pure function, for the stream, the command line and every test.

`evaluate` takes everything at once. The tracker keeps facts apart by application and calls its two halves,
`evaluate_application` and `evaluate_requisition`; together they give what `evaluate` gives, a property test holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

from schemas.fact import Fact, Watermark
from schemas.outcome import ApplicationState, Obligation, Verdict
from schemas.policy import Policy, Target
from streams.agreement import Agreement, Promise
from streams.calendars import Calendars
from streams.completeness import Completeness, from_watermarks
from streams.cycles import clocks
from streams.deadline import MICROSECOND, delayed
from streams.directory import People
from streams.event import Event
from streams.history import History
from streams.holders import holdings
from streams.life import Life
from streams.receipt import Held, Said
from streams.roster import Roster, Traits
from streams.terms import applies
from streams.timeline import events, merge
from streams.verdict import judge


@dataclass(frozen=True)
class Evaluation:
    """What the facts say as of one instant.

    `next_due`: the next instant at which time alone may change something (a deadline, the end of an interview, a delayed
    start), None if nothing is due: then only a fact or a watermark can.
    """

    said: tuple[Said, ...] = ()
    held: tuple[Held, ...] = ()
    next_due: datetime | None = None

    def __add__(self, other: Evaluation) -> Evaluation:
        return Evaluation(self.said + other.said, self.held + other.held, _earliest(self.next_due, other.next_due))

    @cached_property
    def obligations(self) -> tuple[Obligation, ...]:
        """Every obligation with its receipt."""
        return tuple(one.obligation() for one in self.said)

    @cached_property
    def applications(self) -> tuple[ApplicationState, ...]:
        """Every application with its holders."""
        return tuple(one.state() for one in self.held)


def evaluate(
    facts: Iterable[Fact],
    policy: Policy,
    calendars: Calendars,
    people: People,
    completeness: Iterable[Watermark],
    as_of: datetime,
    known_at: datetime | None = None,
) -> Evaluation:
    """Every obligation and every application's holders that `facts` give, judged at `as_of`.

    `as_of` cuts what happened, `known_at` what was learned (None: no cut). Facts in any order, any number of times, give
    the same result to the byte. Facts without a requisition take that of their application, interview or candidate where
    another fact tells it; those that still have none are left out (`routed` shows which).
    """
    agreement = Agreement(policy, calendars, people)
    known = [fact for fact in facts if known_at is None or fact.received_at <= known_at]
    marks = from_watermarks(completeness, known_at)
    by_requisition: dict[str, list[Fact]] = {}
    for fact in routed(known):
        if fact.requisition_id is not None:
            by_requisition.setdefault(fact.requisition_id, []).append(fact)
    found: list[Evaluation] = []
    for _, copies in sorted(by_requisition.items()):
        own, of_applications = apart(merge(copies))
        digests = [d for them in of_applications.values() for f in them if (d := digest(f, agreement)) is not None]
        found.append(evaluate_requisition(own, digests, agreement, marks, as_of))
        for _, them in sorted(of_applications.items()):
            found.append(evaluate_application(own, them, agreement, marks, as_of))
    return Evaluation(
        tuple(said for one in found for said in one.said),
        tuple(held for one in found for held in one.held),
        min((one.next_due for one in found if one.next_due is not None), default=None),
    )


def evaluate_application(
    requisition_facts: Sequence[Fact],
    application_facts: Sequence[Fact],
    agreement: Agreement,
    completeness: Completeness,
    as_of: datetime,
) -> Evaluation:
    """Obligations on one application and its interviews, and who held its ball. Facts are merged sets."""
    if not application_facts:
        return Evaluation()
    facts = [*requisition_facts, *application_facts]
    requisition_id = next(f.requisition_id for f in application_facts if f.requisition_id)
    application_id = next(f.application_id for f in application_facts if f.application_id)
    found, ahead = events(facts, agreement.people, as_of)
    roster = Roster((f for f in facts if f.occurred_at <= as_of), agreement.people)
    life = Life(
        tenant=application_facts[0].tenant,
        requisition_id=requisition_id,
        application_id=application_id,
        history=History(found),
        roster=roster,
        traits=Traits([f for f in requisition_facts if f.occurred_at <= as_of]),
        holdings=holdings(found, agreement.holder_rules, roster),
    )
    said, due = _judge(agreement.of_applications, life, agreement, completeness, as_of)
    return Evaluation(said, (Held(life),) if life.holdings else (), _earliest(ahead, due))


def evaluate_requisition(
    requisition_facts: Sequence[Fact],
    digest_facts: Sequence[Fact],
    agreement: Agreement,
    completeness: Completeness,
    as_of: datetime,
) -> Evaluation:
    """Obligations on the requisition itself; `digest_facts` are what `digest` kept of its applications' facts."""
    facts = [*requisition_facts, *digest_facts]
    if not facts:
        return Evaluation()
    found, ahead = events(facts, agreement.people, as_of)
    life = Life(
        tenant=facts[0].tenant,
        requisition_id=next(f.requisition_id for f in facts if f.requisition_id),
        application_id=None,
        history=History(found),
        roster=Roster((f for f in requisition_facts if f.occurred_at <= as_of), agreement.people),
        traits=Traits([f for f in requisition_facts if f.occurred_at <= as_of]),
        holdings=(),
    )
    said, due = _judge(agreement.of_requisitions, life, agreement, completeness, as_of)
    return Evaluation(said, (), _earliest(ahead, due))


def digest(fact: Fact, agreement: Agreement) -> Fact | None:
    """What the requisition has to know of an application's fact: a slim copy without people, or None if nothing."""
    if fact.application_id is None:
        return None
    for condition in agreement.digested.get(fact.kind, ()):
        if condition.match(fact.kind, fact.attributes):
            asked = {name for where in condition.wheres[fact.kind] or () for name, _ in where}
            kept = {name: value for name, value in fact.attributes.items() if name in asked}
            return fact.model_copy(update={"people": {}, "attributes": kept, "candidate_id": None})
    return None


def apart(facts: Iterable[Fact]) -> tuple[list[Fact], dict[str, list[Fact]]]:
    """One requisition's facts: its own, and those of each of its applications."""
    own: list[Fact] = []
    of_applications: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.application_id is None:
            own.append(fact)
        else:
            of_applications.setdefault(fact.application_id, []).append(fact)
    return own, of_applications


def routed(facts: Iterable[Fact]) -> list[Fact]:
    """Facts with the requisition and application that the other facts tell; the stream does this in its link table."""
    facts = sorted(facts, key=lambda f: (f.occurred_at, f.fact_id))  # of several requisitions the last one named counts
    application_of: dict[str | None, str] = {
        f.interview_id: f.application_id for f in facts if f.interview_id and f.application_id
    }
    requisition_of: dict[str | None, str] = {
        f.application_id: f.requisition_id for f in facts if f.application_id and f.requisition_id
    }
    of_candidate: dict[str, set[str]] = {}
    for fact in facts:
        if fact.candidate_id and fact.application_id:
            of_candidate.setdefault(fact.candidate_id, set()).add(fact.application_id)
    found: list[Fact] = []
    for fact in facts:
        applications: list[str | None] = [fact.application_id or application_of.get(fact.interview_id)]
        if applications == [None] and fact.requisition_id is None and fact.candidate_id:
            applications = [*sorted(of_candidate.get(fact.candidate_id, ()))] or [None]
        for application in applications:
            requisition = fact.requisition_id or requisition_of.get(application)
            if (application, requisition) == (fact.application_id, fact.requisition_id):
                found.append(fact)
            else:
                found.append(fact.model_copy(update={"application_id": application, "requisition_id": requisition}))
    return found


def _judge(
    promises: Iterable[Promise], life: Life, agreement: Agreement, completeness: Completeness, as_of: datetime
) -> tuple[tuple[Said, ...], datetime | None]:
    found: list[Said] = []
    due: datetime | None = None
    delay = partial(_delay, life, agreement)
    for promise in promises:
        for clock in clocks(promise, life, delay):
            started_at = clock.started_at
            if agreement.in_force(promise.name, started_at) is not promise:
                continue
            if promise.applies and not applies(promise, life, agreement, started_at):
                continue
            if started_at > as_of:
                due = _earliest(due, started_at)
                continue
            judged = judge(clock, life, agreement, completeness, as_of)
            found.append(Said(judged, life, agreement))
            if judged.ruling.verdict == Verdict.OPEN and judged.deadline is not None:
                # in time at the very deadline, so overdue from the next microsecond on
                due = _earliest(due, judged.deadline + MICROSECOND)
    return tuple(found), due


def _delay(life: Life, agreement: Agreement, promise: Promise, event: Event, target: Target) -> datetime:
    """A delayed start, counted on the debtor's calendar."""
    debtor = life.roster.owner(promise.owner or "recruiter", promise.fallback_owner, event.at)
    team = life.roster.team(event.at)
    calendar, _ = agreement.people.calendar_for(debtor, team, agreement.calendars, event.at, event.at)
    return delayed(event.at, target, calendar)


def _earliest(one: datetime | None, two: datetime | None) -> datetime | None:
    return two if one is None or (two is not None and two < one) else one
