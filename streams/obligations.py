"""The core: facts in, obligations and holders out. One pure function, for the stream, the command line and every test.

`evaluate` takes everything at once. The tracker keeps facts apart by application and calls its two halves,
`evaluate_application` and `evaluate_requisition`; together they give what `evaluate` gives, a property test holds that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from schemas.fact import Fact, Watermark
from schemas.outcome import ApplicationState, Obligation, Verdict
from schemas.policy import Commitment, Policy, Target
from streams.agreement import Agreement
from streams.calendars import Calendars
from streams.completeness import Completeness, from_watermarks
from streams.cycles import clocks
from streams.deadline import delayed
from streams.directory import People
from streams.holders import ended_at, holdings
from streams.life import Life
from streams.roster import Roster, Traits
from streams.terms import applies
from streams.timeline import Event, History, events, fits, merge
from streams.verdict import judge


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the facts say as of one instant.

    `next_due`: the next instant at which time alone may change something (a deadline, the end of an interview, a delayed
    start), None if nothing is due: then only a fact or a watermark can.
    """

    obligations: tuple[Obligation, ...] = ()
    applications: tuple[ApplicationState, ...] = ()
    next_due: datetime | None = None

    def __add__(self, other: Evaluation) -> Evaluation:
        return Evaluation(
            self.obligations + other.obligations,
            self.applications + other.applications,
            _earliest(self.next_due, other.next_due),
        )


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
    total = Evaluation()
    for _, copies in sorted(by_requisition.items()):
        own, of_applications = apart(merge(copies))
        digests = [d for them in of_applications.values() for f in them if (d := digest(f, policy)) is not None]
        total += evaluate_requisition(own, digests, agreement, marks, as_of)
        for _, them in sorted(of_applications.items()):
            total += evaluate_application(own, them, agreement, marks, as_of)
    return total


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
        traits=Traits(f for f in requisition_facts if f.occurred_at <= as_of),
        holdings=holdings(found, agreement.holder_rules, roster),
    )
    judged, due = _judge(("application", "interviewer"), life, agreement, completeness, as_of)
    return Evaluation(judged, _application(life), _earliest(ahead, due))


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
        traits=Traits(f for f in requisition_facts if f.occurred_at <= as_of),
        holdings=(),
    )
    judged, due = _judge(("requisition",), life, agreement, completeness, as_of)
    return Evaluation(judged, (), _earliest(ahead, due))


def digest(fact: Fact, policy: Policy) -> Fact | None:
    """What the requisition has to know of an application's fact: a slim copy without people, or None if nothing."""
    if fact.application_id is None:
        return None
    for commitment in policy.enabled():
        if commitment.subject != "requisition":
            continue
        # never to cancel: what ends one application (or is declined of it) ends no promise on the requisition
        for condition in (*commitment.start, *commitment.stop, *commitment.requires):
            if condition.kind == fact.kind and fits(condition.where, fact.attributes):
                kept = {name: value for name, value in fact.attributes.items() if name in condition.where}
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
    subjects: tuple[str, ...], life: Life, agreement: Agreement, completeness: Completeness, as_of: datetime
) -> tuple[tuple[Obligation, ...], datetime | None]:
    found: list[Obligation] = []
    due: datetime | None = None
    for stanzas in agreement.stanzas.values():
        for commitment in stanzas:
            if commitment.subject not in subjects:
                continue
            delay = partial(_delay, commitment, life, agreement)
            for clock in clocks(commitment, agreement.waits_for[commitment.name], life, delay):
                if agreement.in_force(commitment.name, clock.started_at) is not commitment:
                    continue
                if not applies(commitment, life, agreement, clock.started_at):
                    continue
                if clock.started_at > as_of:
                    due = _earliest(due, clock.started_at)
                    continue
                obligation = judge(clock, life, agreement, completeness, as_of)
                found.append(obligation)
                if obligation.verdict == Verdict.OPEN and obligation.deadline is not None:
                    # in time at the very deadline, so overdue from the next microsecond on
                    due = _earliest(due, obligation.deadline + timedelta(microseconds=1))
    return tuple(found), due


def _delay(commitment: Commitment, life: Life, agreement: Agreement, event: Event, target: Target) -> datetime:
    """A delayed start, counted on the debtor's calendar."""
    debtor = life.roster.owner(commitment.owner or "recruiter", commitment.fallback_owner, event.at)
    team = life.roster.team(event.at)
    calendar, _ = agreement.people.calendar_for(debtor, team, agreement.calendars, event.at, event.at)
    return delayed(event.at, target, calendar)


def _application(life: Life) -> tuple[ApplicationState, ...]:
    if not life.holdings or life.application_id is None:
        return ()
    first = life.holdings[0]
    return (
        ApplicationState(
            tenant=life.tenant,
            application_id=life.application_id,
            requisition_id=life.requisition_id,
            team=life.roster.team(first.start),
            state=life.holdings[-1].state,
            created_at=first.start,
            ended_at=ended_at(life.holdings),
            requisition_opened_at=_first(life, "requisition.opened"),
            accepted_at=_first(life, "offer.accepted") or _first(life, "application.hired"),
            holdings=life.holdings,
        ),
    )


def _first(life: Life, kind: str) -> datetime | None:
    return next((event.at for event in life.history.events if event.kind == kind), None)


def _earliest(one: datetime | None, two: datetime | None) -> datetime | None:
    return min((at for at in (one, two) if at is not None), default=None)
