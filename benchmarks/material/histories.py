"""Applications as facts, of any length, for the people of deploy/people.yaml. Deterministic.

15 facts are an application from the first day to the hire: screen, review, a first interview, a panel of two, debrief, offer.
Longer ones have more rounds of interviews of ten facts each, every round with clocks of its own, so that the number of
obligations grows with the number of facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.fact import Fact, Origin, fact_id

ACCOUNT = "greenhouse"
FIRST = datetime(2025, 3, 3, 8, tzinfo=UTC)  #: a Monday
HOUR = timedelta(hours=1)
PANEL = ("1012", "1013", "1014")


class Teller:
    """Facts of one subject, each some hours after the one before."""

    def __init__(self, requisition: str, application: str | None, at: datetime) -> None:
        self.requisition, self.application, self.at = requisition, application, at
        self.told = 0

    def say(self, kind: str, after: float, **more: Any) -> Fact:
        """The next fact, `after` hours later; `more` are fields of the fact."""
        self.at += after * HOUR
        self.told += 1
        application = f"{ACCOUNT}/{self.application}" if self.application else None
        return Fact(
            fact_id=fact_id("demo", ACCOUNT, kind, [self.requisition, self.application or "", self.told], self.at),
            kind=kind,
            tenant="demo",
            account=ACCOUNT,
            system="greenhouse",
            occurred_at=self.at,
            occurred_at_source=Origin.EVENT,
            received_at=self.at + timedelta(seconds=2),
            requisition_id=f"{ACCOUNT}/{self.requisition}",
            application_id=application,
            candidate_id=f"{ACCOUNT}/c{self.application}" if application else None,
            **more,
        )

    def stage(self, stage: str, after: float) -> Fact:
        return self.say("application.stage_changed", after, attributes={"stage": stage, "stage_name": stage.title()})

    def interview(self, number: int, interviewers: tuple[str, ...], after: float, ahead: float) -> Iterator[Fact]:
        """Booked `ahead` hours before it takes place; each interviewer's scorecard follows within the working day."""
        starts = self.at + (after + ahead) * HOUR
        identity = f"{ACCOUNT}/{self.application}i{number}"
        who = [f"{ACCOUNT}/{one}" for one in interviewers]
        said = {
            "starts_at": starts.isoformat(),
            "ends_at": (starts + HOUR).isoformat(),
            "interviewers": who,
            "status": "scheduled",
        }
        yield self.say("interview.scheduled", after, interview_id=identity, attributes=said)
        for place, person in enumerate(who):
            card = {"scorecard_id": f"{identity}-{place}", "complete": True, "rated": True, "reasoned": place == 0}
            wait = ahead + 3 if place == 0 else 1.5
            yield self.say("scorecard.submitted", wait, interview_id=identity, person=person, actor=person, attributes=card)


def requisition(name: str, start: datetime = FIRST) -> list[Fact]:
    """A requisition's own facts: opened with its people, approved, intake held."""
    tell = Teller(name, None, start)
    people = {"hiring_manager": (f"{ACCOUNT}/1011",), "recruiter": (f"{ACCOUNT}/1001",)}
    return [
        tell.say("requisition.opened", 0, people=people),
        tell.say("requisition.approved", 20),
        tell.say("requisition.intake_held", 28),
    ]


def application(requisition_name: str, name: str, facts: int, start: datetime = FIRST + 60 * HOUR) -> list[Fact]:
    """So many facts of one application, in order of time; fewer than 15 are the first ones of a normal story."""
    tell = Teller(requisition_name, name, start)
    rounds, updates = divmod(max(0, facts - 15), 10)
    return list(_story(tell, rounds, updates))[:facts]


def _story(tell: Teller, rounds: int, updates: int) -> Iterator[Fact]:
    yield tell.say("application.created", 0, attributes={"prospect": False})
    yield tell.stage("screen", 22)
    yield tell.stage("manager_review", 6)
    for _ in range(updates):  # most of what an ATS tells is that something changed somewhere
        yield tell.say("application.updated", 2)
    yield tell.stage("interview", 25)
    yield from tell.interview(0, PANEL[:1], 5, 44)
    yield from tell.interview(1, PANEL[1:], 4, 46)
    for number in range(2, 2 + rounds):
        yield from _round(tell, number)
    yield tell.stage("debrief", 4)
    yield tell.stage("offer", 24)
    yield tell.say("offer.created", 3)
    yield tell.say("offer.sent", 20)
    yield tell.say("offer.accepted", 30)
    yield tell.say("application.hired", 2)


def _round(tell: Teller, number: int) -> Iterator[Fact]:
    """Ten facts: once more to the manager, then slots, an interview that is read again, and three scorecards."""
    yield tell.stage("manager_review", 24)
    yield tell.stage("interview", 20)
    yield tell.say("availability.requested", 2)
    yield tell.say("availability.given", 6)
    booked, *cards = tell.interview(number, PANEL, 1, 40)
    yield booked
    yield booked.model_copy(update={"fact_id": booked.fact_id[::-1], "occurred_at": booked.occurred_at + HOUR})
    yield from cards
    yield tell.say("application.updated", 1)
