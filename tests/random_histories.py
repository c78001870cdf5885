"""Seeded random histories of one requisition with its applications: plausible steps, holes, repeats and plain chaos."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from schemas.fact import FACT_KINDS, Fact, Origin, Watermark
from tests.random_policies import drawn_policy
from tests.stories import ACCOUNT, REQUISITION

FIRST = datetime(2026, 2, 23, tzinfo=UTC)  # leave, both changes of clocks and Easter lie in the seven weeks after it
MINUTE = timedelta(minutes=1)
DAYS = 24
MANAGERS, RECRUITERS = ("mgr", "mgr2", "bob", "leo", "mia", "ida", "sam", "stranger"), ("rec", "rec2", "bob", "zoe")
INTERVIEWERS = ("ada", "bob", "leo", "mia")
#: What usually comes next, with a weight; everything else may happen at any time, too.
STEPS = (
    ("application.stage_changed", 10),
    ("interview.scheduled", 9),
    ("availability.requested", 1),
    ("availability.given", 1),
    ("candidate.informed", 2),
    ("application.screened", 1),
    ("offer.created", 2),
    ("offer.approved", 2),
    ("offer.sent", 1),
    ("offer.accepted", 1),
    ("application.rejected", 1),
    ("application.unrejected", 1),
    ("application.withdrawn", 0.5),
    ("application.hired", 0.5),
    ("interview.cancelled", 1.2),
    ("interview.no_show", 0.5),
    ("scorecard.submitted", 10),
    ("scorecard.deleted", 2.5),
    ("offer.declined", 0.4),
    ("offer.deleted", 0.4),
    ("application.moved", 0.2),
    ("application.deleted", 0.2),
    ("candidate.deleted", 0.1),
    ("application.unhired", 0.3),
    ("exception.requested", 0.8),
    ("exception.approved", 1.2),
    ("request.declined", 0.1),
    ("onboarding.start_set", 1),
    ("onboarding.planned", 0.4),
    ("onboarding.started", 0.6),
    ("onboarding.reviewed", 0.4),
)
OF_REQUISITION = (
    ("requisition.approved", 4),
    ("requisition.intake_held", 2),
    ("requisition.recruiter_assigned", 2),
    ("requisition.updated", 5),
    ("requisition.held", 2),
    ("requisition.resumed", 2),
    ("requisition.closed", 0.6),
    ("requisition.reopened", 0.8),
    ("request.declined", 0.08),
    ("exception.requested", 0.8),
    ("exception.approved", 1),
)
STAGES = ("applied", "screen", "manager_review", "manager_review", "interview", "interview", "debrief", "offer", "hired")


#: What a requisition may say of itself.
TRAITS: dict[str, tuple[Any, ...]] = {
    "priority": ("low", "high", "critical"),
    "level": (3, 4, 5),
    "location": ("nyc", "berlin"),
    "jurisdiction": ("CA-ON", "CA-BC"),
    "posted_publicly": (True, False),
}


@dataclass(frozen=True)
class History:
    """What is judged, by which policy (laid over the demo company's), as of when and by what was known when (None: all)."""

    facts: list[Fact]
    marks: list[Watermark]
    as_of: datetime
    known_at: datetime | None
    policy: dict[str, Any]


class Histories:
    """One random history after the other; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def draw(self) -> History:
        """Facts at whole minutes, how far their kinds were read, and the instants at which to judge them."""
        random = self.random
        self.start = FIRST + timedelta(days=random.randrange(32))
        self.facts: list[Fact] = []
        self.minutes = [0]
        self.interviews: dict[str, list[str]] = {}
        self.late = random.random() < 0.45  # some of it is learned days after
        self._add("requisition.opened", 0, self._traits(), people=self._people())
        at = 0
        for _ in range(random.randrange(12)):
            at = self._later(at)
            kind = self._one_of(OF_REQUISITION)
            people = self._people() if kind == "requisition.updated" or random.random() < 0.2 else {}
            self._add(kind, at, self._said(kind), people=people)
        for number in range(1, random.choice((1, 2, 3, 3, 4))):
            self._application(f"a{number}")
        as_of = self.start + random.randrange(3 * 1440, DAYS * 1440) * MINUTE
        known_at = as_of + random.randrange(-4 * 1440, 1440) * MINUTE if self.late and random.random() < 0.8 else None
        policy = drawn_policy(random, self.start)
        random.shuffle(self.facts)
        return History(self.facts, self._watermarks(as_of), as_of, known_at, policy)

    def _application(self, name: str) -> None:
        random = self.random
        at = self._later(0)
        people = self._people() if random.random() < 0.3 else {}
        self._add("application.created", at, {"prospect": random.random() < 0.1}, application=name, people=people)
        for _ in range(random.randrange(4, 18)):
            at = self._later(at)
            kind = self._one_of(STEPS)
            if kind.startswith(("interview.", "scorecard.")):
                self._about_interview(kind, name, at)
            else:
                self._add(kind, at, self._said(kind), application=name)

    def _about_interview(self, kind: str, application: str, at: int) -> None:
        random = self.random
        interview = f"{application}i{random.randrange(1, 3)}"
        said: dict[str, Any] = {}
        person = actor = None
        if kind == "interview.scheduled":
            said = self._booking(interview, at)
        elif kind == "scorecard.submitted":
            person = random.choice(self.interviews.get(interview, INTERVIEWERS))
            actor = random.choice((person, person, "rec", None))
            said = {"scorecard_id": f"{interview}-{person}-{random.randrange(2)}"}
            said |= {n: random.random() < 0.8 for n in ("complete", "rated", "reasoned") if random.random() < 0.9}
            if random.random() < 0.6:  # most vendors name no interview on a scorecard
                said |= {n: v for n, v in self._told_of(application).items() if random.random() < 0.4}
                interview = ""
        elif kind == "scorecard.deleted":
            cards = [f for f in self.facts if f.kind == "scorecard.submitted" and f.application_id == f"{ACCOUNT}/{application}"]
            said = {"scorecard_id": random.choice(cards).attributes["scorecard_id"] if cards else "none"}
        self._add(kind, at, said, application=application, interview=interview, person=person, actor=actor)

    def _booking(self, interview: str, at: int) -> dict[str, Any]:
        random = self.random
        starts = self.start + (at + random.randrange(-600, 4 * 1440)) * MINUTE
        who = self.interviews[interview] = random.sample(INTERVIEWERS, random.randrange(1, 3))
        said: dict[str, Any] = {"starts_at": starts.isoformat(), "ends_at": (starts + 45 * MINUTE).isoformat()}
        said["interviewers"] = [f"{ACCOUNT}/{w}" for w in who]
        if random.random() < 0.05:
            del said["ends_at"]
        if random.random() < 0.3:
            said["interview_step_id"] = random.randrange(3)
        if random.random() < 0.1:
            said["created_at"] = (self.start + (at - random.randrange(2000)) * MINUTE).isoformat()
        if random.random() < 0.2:
            said["scorecards"] = {f"{ACCOUNT}/{w}": f"{interview}-{w}-{random.randrange(2)}" for w in who}
        return said

    def _told_of(self, application: str) -> dict[str, Any]:
        """What a scorecard says of one of the interviews instead of its id."""
        booked = [f for f in self.facts if f.kind == "interview.scheduled" and f.application_id == f"{ACCOUNT}/{application}"]
        said: dict[str, Any] = self.random.choice(booked).attributes if booked else {}
        return {name: said[of] for name, of in (("interviewed_at", "starts_at"), ("interview_step_id",) * 2) if of in said}

    def _traits(self) -> dict[str, Any]:
        random = self.random
        return {name: random.choice(values) for name, values in TRAITS.items() if random.random() < 0.5}

    def _said(self, kind: str) -> dict[str, Any]:
        random = self.random
        if kind == "application.stage_changed":
            return {"stage": random.choice(STAGES)}
        if kind == "request.declined":
            return {"reason_code": "illegal"} | ({"commitment": "review_candidate"} if random.random() < 0.5 else {})
        if kind == "requisition.updated":
            return self._traits() if random.random() < 0.7 else {}
        if kind == "onboarding.start_set":
            day = self.start + random.randrange(25 * 1440) * MINUTE
            return {"starts_on": random.choice((f"{day:%Y-%m-%d}", day.isoformat()))}
        if kind.startswith("exception."):
            begin = self.start + random.randrange(0, 10 * 1440) * MINUTE
            said = {"exception_id": random.choice("xy"), "from": begin.isoformat()}
            said["until"] = (begin + random.randrange(2 * 1440, 15 * 1440) * MINUTE).isoformat()
            return said | ({"commitment": random.choice(("any", "submit_feedback"))} if random.random() < 0.5 else {})
        return {}

    def _add(self, kind: str, at: int, said: dict[str, Any], **about: Any) -> None:
        random = self.random
        interview, application = about.get("interview"), about.get("application")
        actor = about.get("actor") or (random.choice(("rec", "mgr", "ada")) if kind.startswith("exception.") else None)
        moment = self.start + at * MINUTE
        polled = random.random() < 0.12
        self.minutes.append(at)
        fact = Fact(
            fact_id=f"f{random.randrange(10**9):09}-{len(self.facts)}",
            kind=kind,
            tenant="t",
            account=ACCOUNT,
            system="greenhouse",
            occurred_at=moment,
            occurred_at_source=Origin.POLL if polled else Origin.OBJECT,
            occurred_not_before=moment - random.randrange(60, 2000) * MINUTE if polled else None,
            received_at=self._learned(moment),
            requisition_id=REQUISITION,
            application_id=f"{ACCOUNT}/{application}" if application else None,
            interview_id=f"{ACCOUNT}/{interview}" if interview else None,
            person=f"{ACCOUNT}/{about['person']}" if about.get("person") else None,
            actor=f"{ACCOUNT}/{actor}" if actor else None,
            people=about.get("people", {}),
            attributes=said,
        )
        self.facts.append(fact)
        if random.random() < 0.1:  # told a second time: by another way that knows its time less well, or just again
            other = moment + random.randrange(-500, 500) * MINUTE
            worse = {"occurred_at": other, "occurred_at_source": Origin.DELIVERY, "occurred_not_before": None}
            learned = {"received_at": self._learned(max(moment, other))}
            self.facts.append(fact.model_copy(update=(worse if random.random() < 0.7 else {}) | learned))

    def _learned(self, moment: datetime) -> datetime:
        return moment + self.random.randrange(7 * 1440) * MINUTE if self.late and self.random.random() < 0.25 else moment

    def _people(self) -> dict[str, tuple[str, ...]]:
        random = self.random
        found: dict[str, tuple[str, ...]] = {}
        if random.random() < 0.9:
            found["hiring_manager"] = (f"{ACCOUNT}/{random.choice(MANAGERS)}",)
        if random.random() < 0.7:
            found["recruiter"] = (f"{ACCOUNT}/{random.choice(RECRUITERS)}",)
        return found

    def _later(self, at: int) -> int:
        """Some hours or days on, now and then in the very minute of something else."""
        random = self.random
        if random.random() < 0.08:
            return max(at, random.choice(self.minutes))
        return at + 1 + int(random.expovariate(1 / random.choice((60, 900, 2500))))

    def _one_of(self, weighted: tuple[tuple[str, float], ...]) -> str:
        kinds, weights = zip(*weighted, strict=True)
        return str(self.random.choices(kinds, weights)[0])

    def _watermarks(self, as_of: datetime) -> list[Watermark]:
        if self.random.random() < 0.5:
            return []
        found = []
        for kind in self.random.sample(sorted(FACT_KINDS), 12):
            until = as_of - self.random.randrange(-600, 6 * 1440) * MINUTE
            learned = as_of - self.random.randrange(3 * 1440) * MINUTE
            found.append(Watermark(account=ACCOUNT, kinds=(kind,), complete_until=until, received_at=learned))
        return found
