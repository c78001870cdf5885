"""Seeded random histories of one requisition with its applications: plausible steps, holes, repeats and plain chaos."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from schemas.fact import FACT_KINDS, Fact, Origin, Watermark
from tests.stories import ACCOUNT, REQUISITION

FIRST = datetime(2026, 2, 23, tzinfo=UTC)  # leave, both changes of clocks and Easter lie in the seven weeks after it
MINUTE = timedelta(minutes=1)
DAYS = 24
MANAGERS, RECRUITERS, INTERVIEWERS = ("mgr", "mgr2", "bob", "leo", "stranger"), ("rec", "rec2", "bob"), ("ada", "bob", "leo")
#: What usually comes next, with a weight; everything else may happen at any time, too.
STEPS = (
    ("application.stage_changed", 10),
    ("interview.scheduled", 5),
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
    ("interview.cancelled", 0.7),
    ("interview.no_show", 0.5),
    ("scorecard.submitted", 6),
    ("scorecard.deleted", 0.7),
    ("offer.declined", 0.4),
    ("offer.deleted", 0.4),
    ("application.moved", 0.2),
    ("application.deleted", 0.2),
    ("candidate.deleted", 0.1),
    ("application.unhired", 0.3),
    ("exception.requested", 0.6),
    ("exception.approved", 0.8),
    ("request.declined", 0.1),
)
OF_REQUISITION = (
    ("requisition.approved", 4),
    ("requisition.intake_held", 2),
    ("requisition.recruiter_assigned", 2),
    ("requisition.updated", 3),
    ("requisition.held", 2),
    ("requisition.resumed", 2),
    ("requisition.closed", 0.6),
    ("requisition.reopened", 0.8),
    ("request.declined", 0.08),
    ("exception.requested", 0.4),
    ("exception.approved", 0.4),
)
STAGES = ("applied", "screen", "manager_review", "manager_review", "interview", "interview", "debrief", "offer", "hired")


class Histories:
    """One random history after the other; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def draw(self) -> tuple[list[Fact], list[Watermark], datetime]:
        """Facts at whole minutes, how far their kinds were read, and the instant at which to judge them."""
        random = self.random
        self.start = FIRST + timedelta(days=random.randrange(40))
        self.facts: list[Fact] = []
        self.minutes = [0]
        self.interviews: dict[str, list[str]] = {}
        self._add("requisition.opened", 0, {}, people=self._people())
        at = 0
        for _ in range(random.randrange(8)):
            at = self._later(at)
            kind = self._one_of(OF_REQUISITION)
            people = self._people() if kind == "requisition.updated" or random.random() < 0.2 else {}
            self._add(kind, at, self._said(kind), people=people)
        for number in range(1, random.randrange(1, 4)):
            self._application(f"a{number}")
        as_of = self.start + random.randrange(3 * 1440, DAYS * 1440) * MINUTE
        return self.facts, self._watermarks(as_of), as_of

    def _application(self, name: str) -> None:
        random = self.random
        at = self._later(0)
        people = self._people() if random.random() < 0.3 else {}
        self._add("application.created", at, {"prospect": random.random() < 0.1}, application=name, people=people)
        for _ in range(random.randrange(14)):
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
            starts = self.start + (at + random.randrange(-600, 4 * 1440)) * MINUTE
            who = self.interviews[interview] = random.sample(INTERVIEWERS, random.randrange(1, 3))
            said = {"starts_at": starts.isoformat(), "ends_at": (starts + 45 * MINUTE).isoformat()}
            said["interviewers"] = [f"{ACCOUNT}/{w}" for w in who]
        elif kind == "scorecard.submitted":
            person = random.choice(self.interviews.get(interview, INTERVIEWERS))
            actor = random.choice((person, person, "rec", None))
            said = {"scorecard_id": f"{interview}-{person}-{random.randrange(2)}"}
            said |= {n: random.random() < 0.8 for n in ("complete", "rated", "reasoned") if random.random() < 0.9}
        elif kind == "scorecard.deleted":
            cards = [f.attributes["scorecard_id"] for f in self.facts if f.kind == "scorecard.submitted"]
            said = {"scorecard_id": random.choice(cards or ["none"])}
        self._add(kind, at, said, application=application, interview=interview, person=person, actor=actor)

    def _said(self, kind: str) -> dict[str, Any]:
        random = self.random
        if kind == "application.stage_changed":
            return {"stage": random.choice(STAGES)}
        if kind == "request.declined":
            return {"reason_code": "illegal"} | ({"commitment": "review_candidate"} if random.random() < 0.5 else {})
        if kind.startswith("exception."):
            begin = self.start + random.randrange(0, 10 * 1440) * MINUTE
            said = {"exception_id": random.choice("xy"), "from": begin.isoformat()}
            said["until"] = (begin + random.randrange(1440, 9 * 1440) * MINUTE).isoformat()
            return said | ({"commitment": random.choice(("any", "submit_feedback"))} if random.random() < 0.5 else {})
        return {}

    def _add(self, kind: str, at: int, said: dict[str, Any], **about: Any) -> None:
        random = self.random
        interview, application = about.get("interview"), about.get("application")
        actor = about.get("actor") or (random.choice(("rec", "mgr", "ada")) if kind.startswith("exception.") else None)
        moment = self.start + at * MINUTE
        polled = random.random() < 0.08
        self.minutes.append(at)
        self.facts.append(
            Fact(
                fact_id=f"f{random.randrange(10**9):09}-{len(self.facts)}",
                kind=kind,
                tenant="t",
                account=ACCOUNT,
                system="greenhouse",
                occurred_at=moment,
                occurred_at_source=Origin.POLL if polled else Origin.OBJECT,
                occurred_not_before=moment - random.randrange(60, 2000) * MINUTE if polled else None,
                received_at=moment,
                requisition_id=REQUISITION,
                application_id=f"{ACCOUNT}/{application}" if application else None,
                interview_id=f"{ACCOUNT}/{interview}" if interview else None,
                person=f"{ACCOUNT}/{about['person']}" if about.get("person") else None,
                actor=f"{ACCOUNT}/{actor}" if actor else None,
                people=about.get("people", {}),
                attributes=said,
            )
        )

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
            found.append(Watermark(account=ACCOUNT, kinds=(kind,), complete_until=until, received_at=as_of))
        return found
