"""The story of one simulated application, from the day somebody applies to its end: pure, in order of time.

In: the desk (dice, working times), a requisition, and when its candidate applied. Out: happenings, oldest first. The story
knows nothing of vendors or deliveries: `streams/greenhouse_payloads.py` says it in Greenhouse's words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from streams.simulated_company import Desk, Requisition


class What(StrEnum):
    """What can happen in the simulated company."""

    JOB_CREATED = "job_created"
    JOB_APPROVED = "job_approved"
    JOB_UPDATED = "job_updated"
    JOB_CLOSED = "job_closed"
    RECRUITER_ASSIGNED = "recruiter_assigned"
    INTAKE_HELD = "intake_held"
    HELD = "held"
    RESUMED = "resumed"
    DECLINED = "declined"
    APPLIED = "applied"
    STAGE = "stage"
    REJECTED = "rejected"
    UNREJECTED = "unrejected"
    WITHDREW = "withdrew"
    EDITED = "edited"
    AVAILABILITY_REQUESTED = "availability_requested"
    AVAILABILITY_GIVEN = "availability_given"
    INTERVIEW_SET = "interview_set"
    INTERVIEW_MOVED = "interview_moved"
    INTERVIEW_DELETED = "interview_deleted"
    SCORECARD = "scorecard"
    OFFER_CREATED = "offer_created"
    OFFER_APPROVED = "offer_approved"
    OFFER_UPDATED = "offer_updated"
    HIRED = "hired"
    INFORMED = "informed"


#: After one of these an application has no further course.
ENDINGS = frozenset({What.REJECTED, What.WITHDREW, What.HIRED})
#: For how many interviews the recruiter asks the manager for slots; for the others the calendar is open to them.
ASKED_FOR_SLOTS = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    id: int
    candidate_id: int
    requisition: Requisition
    applied_at: datetime
    prospect: bool = False
    sourced_until: datetime | None = None  #: for the first slate: when the recruiter presents this candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Interview:
    id: int
    round: int
    set_at: datetime
    starts_at: datetime
    ends_at: datetime
    interviewers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    id: int
    interview: Interview
    interviewer: str
    submitted_by: str  #: somebody else where the coordinator types it in on the interviewer's behalf
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    id: int
    version: int
    status: str  #: Created, Accepted, Rejected or Deprecated
    created_at: datetime
    sent_at: datetime | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened at `at`, done by the person `by`; what it carries depends on `what`."""

    at: datetime
    what: What
    requisition: Requisition
    by: str
    application: Application | None = None
    stage: str | None = None  #: canonical, but for `final_interview`, the second round
    reason: str | None = None
    interview: Interview | None = None
    scorecard: Scorecard | None = None
    offer: Offer | None = None


@dataclass(slots=True)
class Numbers:
    """Native ids as a vendor gives them out: unique over all kinds, rising."""

    last: int = 40_000_000

    def next(self) -> int:
        self.last += 1
        return self.last


@dataclass(slots=True)
class Story:
    """Writes the happenings of one application; each step returns when it was done, or None if the story ended there."""

    desk: Desk
    numbers: Numbers
    application: Application
    happenings: list[Happening] = field(default_factory=list)

    def tell(self) -> list[Happening]:
        """The whole story, as if the requisition never closed and the candidate never withdrew."""
        self.note(What.APPLIED, self.application.applied_at, self.application.requisition.recruiter)
        submitted = self.screen()
        accepted = self.review(submitted) if submitted else None
        decided = self.interviews(accepted) if accepted else None
        if decided:
            self.offer(decided)
        return sorted(self.happenings, key=lambda happening: happening.at)

    def note(self, what: What, at: datetime, by: str, **carried: object) -> datetime:
        application = self.application
        entry = Happening(at=at, what=what, requisition=application.requisition, by=by, application=application)
        self.happenings.append(replace(entry, **carried))  # type: ignore[arg-type]
        return at

    def screen(self) -> datetime | None:
        """The recruiter reads the application, phones the good ones and submits them to the manager, the first slate first."""
        application, dice, desk = self.application, self.desk.dice, self.desk
        recruiter, requisition = application.requisition.recruiter, application.requisition
        if application.sourced_until:
            return self.note(What.STAGE, application.sourced_until, recruiter, stage="manager_review")
        screened = desk.within(recruiter, application.applied_at, 2)
        if application.prospect or dice.random() > 0.29:
            if dice.random() < 0.2 and not application.prospect:
                self.note(What.STAGE, screened, recruiter, stage="screen")
                screened = desk.within(recruiter, screened, 2)
            self.note(What.REJECTED, screened, recruiter, reason="Lacking skill(s)/qualification(s)")
            if dice.random() > 0.012 or application.prospect:
                return None
            screened = self.note(What.UNREJECTED, desk.within(recruiter, screened, 2), recruiter)
        phoned = desk.within(recruiter, screened, 1) if dice.random() < 0.1 else screened
        self.note(What.STAGE, phoned, recruiter, stage="screen")
        submitted = desk.within(recruiter, max(phoned, requisition.slate_at), 2)
        return self.note(What.STAGE, submitted, recruiter, stage="manager_review")

    def review(self, submitted: datetime) -> datetime | None:
        """The manager says yes or no to a submitted candidate."""
        manager = self.application.requisition.manager
        reviewed = self.desk.within(manager, submitted, 2)
        if self.desk.dice.random() < 0.55:
            return self.note(What.STAGE, reviewed, manager, stage="interview")
        self.note(What.REJECTED, reviewed, manager, reason="Not the profile we need")
        return None

    def interviews(self, accepted: datetime) -> datetime | None:
        """Two rounds, each decided once the scorecards are in; then perhaps a debrief. None if the manager declined."""
        dice, requisition = self.desk.dice, self.application.requisition
        colleagues = [person for person in requisition.interviewers if person != requisition.manager]
        for number, chance in ((1, 0.52), (2, 0.5)):
            panel = dice.sample(colleagues, min(len(colleagues), number if number == 1 else dice.choice((1, 2, 2, 3))))
            decided = self.decide(self.round(number, accepted, (requisition.manager, *panel)))
            if dice.random() > chance:
                self.note(What.REJECTED, decided, requisition.manager, reason="Another candidate was stronger")
                return None
            if number == 1:
                accepted = self.note(What.STAGE, decided, requisition.manager, stage="final_interview")
        if dice.random() < 0.4:
            self.note(What.STAGE, decided, requisition.manager, stage="debrief")
            decided = self.desk.within(requisition.manager, decided, 1)
        return self.note(What.STAGE, decided, requisition.manager, stage="offer")

    def round(self, number: int, since: datetime, panel: tuple[str, ...]) -> list[datetime]:
        """TA schedules one interview, it is perhaps moved or cancelled, and held; when each scorecard came in."""
        desk, dice, requisition = self.desk, self.desk.dice, self.application.requisition
        recruiter = requisition.recruiter
        asked = dice.random() < ASKED_FOR_SLOTS
        ready = self.availability(since) if asked else since
        set_at = desk.within(recruiter, ready, 1)
        interview = self.book(number, set_at, panel, 4 if asked else 5)
        if dice.random() < 0.07:
            gone = self.between(recruiter, set_at, interview.starts_at)
            self.note(What.INTERVIEW_SET, set_at, recruiter, interview=interview)
            self.note(What.INTERVIEW_DELETED, gone, recruiter, interview=interview)
            interview = self.book(number, desk.within(recruiter, gone, 1), panel)
        self.note(What.INTERVIEW_SET, interview.set_at, recruiter, interview=interview)
        if dice.random() < 0.14:
            moved_at = self.between(recruiter, interview.set_at, interview.starts_at)
            later = self.slot(requisition.manager, interview.starts_at + timedelta(days=dice.choice((1, 1, 2, 3))))
            interview = replace(interview, starts_at=later, ends_at=later + (interview.ends_at - interview.starts_at))
            self.note(What.INTERVIEW_MOVED, moved_at, recruiter, interview=interview)
        return [self.feedback(interview, person) for person in panel]

    def availability(self, since: datetime) -> datetime:
        """The recruiter asks the manager for interview slots within the half hour; when the manager has given them."""
        desk, requisition = self.desk, self.application.requisition
        calendar = desk.calendar(requisition.recruiter, since)
        asked = calendar.add_working(calendar.next_opening(since), desk.dice.randrange(300, 1800) * 1_000_000)
        self.note(What.AVAILABILITY_REQUESTED, asked.replace(microsecond=0), requisition.recruiter)
        return self.note(What.AVAILABILITY_GIVEN, desk.within(requisition.manager, asked, 1), requisition.manager)

    def book(self, number: int, set_at: datetime, panel: tuple[str, ...], days: int = 5) -> Interview:
        """An interview in the manager's working time, mostly within `days`: five were promised, less what slots took."""
        starts = self.slot(panel[0], self.desk.within(panel[0], set_at + timedelta(hours=3), days))
        length = timedelta(minutes=45 if number == 1 else 60)
        return Interview(
            id=self.numbers.next(), round=number, set_at=set_at, starts_at=starts, ends_at=starts + length, interviewers=panel
        )

    def slot(self, person: str, at: datetime) -> datetime:
        """The quarter of an hour at or after `at` in which the person works."""
        calendar = self.desk.calendar(person, at)
        at = calendar.next_opening(at)
        behind = timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
        return calendar.next_opening(at - behind + (timedelta(minutes=15) if behind else timedelta()))

    def between(self, person: str, start: datetime, end: datetime) -> datetime:
        """Some moment between two, in the person's working time if there is any."""
        moment = self.desk.calendar(person, start).share_instant(start, end, self.desk.dice.uniform(0.2, 0.8))
        return moment.replace(microsecond=0)

    def feedback(self, interview: Interview, person: str) -> datetime:
        """One interviewer's scorecard; a few are opened as drafts first, or typed in by the recruiter on their behalf."""
        desk, dice = self.desk, self.desk.dice
        submitted = desk.within(person, interview.ends_at, 1)
        opened = interview.ends_at + (submitted - interview.ends_at) * dice.uniform(0.1, 0.9)
        by = self.application.requisition.recruiter if dice.random() < 0.04 else person
        scorecard = Scorecard(
            id=self.numbers.next(),
            interview=interview,
            interviewer=person,
            submitted_by=by,
            opened_at=opened.replace(microsecond=0),
        )
        return self.note(What.SCORECARD, submitted, by, scorecard=scorecard)

    def decide(self, scorecards: list[datetime]) -> datetime:
        """The manager decides within two working days of the last scorecard; now and then without waiting for it."""
        ready = max(scorecards) if self.desk.dice.random() > 0.04 else min(scorecards)
        return self.desk.within(self.application.requisition.manager, ready, 2)

    def offer(self, decided: datetime) -> None:
        """An offer, perhaps in a second version, then the candidate's answer."""
        desk, dice, requisition = self.desk, self.desk.dice, self.application.requisition
        recruiter = requisition.recruiter
        offer = Offer(id=self.numbers.next(), version=1, status="Created", created_at=desk.within(recruiter, decided, 1))
        self.note(What.OFFER_CREATED, offer.created_at, recruiter, offer=offer)
        approved = self.note(
            What.OFFER_APPROVED, desk.within(requisition.manager, offer.created_at, 1), requisition.manager, offer=offer
        )
        sent = desk.within(recruiter, approved, 1)
        offer = replace(offer, sent_at=sent)
        self.note(What.OFFER_UPDATED, sent, recruiter, offer=offer)
        answered = sent + timedelta(hours=dice.uniform(8, 110))
        if dice.random() < 0.15:
            old = replace(offer, status="Deprecated", resolved_at=answered)
            offer = Offer(id=self.numbers.next(), version=2, status="Created", created_at=answered, sent_at=answered)
            self.note(What.OFFER_UPDATED, answered, recruiter, offer=old)
            self.note(What.OFFER_CREATED, answered + timedelta(seconds=1), recruiter, offer=offer)
            answered += timedelta(hours=dice.uniform(4, 50))
        answered = answered.replace(microsecond=0)
        taken = dice.random() < 0.8
        offer = replace(offer, status="Accepted" if taken else "Rejected", resolved_at=answered)
        self.note(What.OFFER_UPDATED, answered, recruiter, offer=offer)
        if taken:
            self.note(What.HIRED, answered + timedelta(seconds=2), recruiter, offer=offer)
        else:
            self.note(What.WITHDREW, answered + timedelta(minutes=20), recruiter, reason="Took another offer")
