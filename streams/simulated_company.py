"""The demo's company: who works in which seat, how punctual they are, and the requisitions they fill. Pure and seeded.

In: the people and calendars of `deploy/`, a seed, a stretch of time. Out: requisitions and the people who work on them. Every
person acts in the working time of their own calendar; how often they keep their word is a habit of their team or their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from schemas.directory import Team
from streams.calendars import Calendar, Calendars
from streams.directory import People
from streams.errors import InvalidConfiguration

#: The account of deploy/sources.yaml whose people, ids and formats are simulated.
ACCOUNT = "greenhouse"
TITLES = (
    "Accountant", "Account Executive", "Backend Engineer", "Data Analyst", "Data Engineer", "Designer", "Engineering Manager",
    "Financial Controller", "Frontend Engineer", "Legal Counsel", "Logistics Planner", "Machine Learning Engineer",
    "Office Manager", "Payroll Specialist", "Product Manager", "Sales Engineer", "Site Reliability Engineer",
    "Support Engineer", "Technical Writer", "Warehouse Lead",
)  # fmt: skip
#: Probability that an act comes within the time both sides agreed to.
IN_TIME = (0.05, 0.96, 0.4)
PUNCTUAL, SHINING, SLIPPING, SLOW_RECRUITER = (0.86, 0.93), 0.975, 0.62, 0.5

#: Which hiring team of people.yaml, counted from 0.
SLIPS, SHINES = 1, 2

Fate = Literal["filled", "closed_early", "declined", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much to simulate; the defaults are the demo's six months."""

    requisitions: int = 40
    applications: int = 2500  #: about so many: a requisition that closes takes no more
    weeks: int = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class HiringTeam:
    """A team with its seats filled; people are directory keys. `punctual` is the habit of its manager and interviewers."""

    key: str
    department: str
    location: str
    manager: str
    interviewers: tuple[str, ...]
    recruiters: tuple[str, ...]
    punctual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Requisition:
    """One job to fill. `slate_at` is when the recruiter has the third good candidate; instants are aware UTC."""

    id: int
    title: str
    team: HiringTeam
    manager: str
    interviewers: tuple[str, ...]
    recruiter: str
    openings: int
    fate: Fate
    opened_at: datetime
    approved_at: datetime
    intake_at: datetime | None  #: None: nobody recorded the intake
    held: tuple[datetime, datetime] | None
    slate_at: datetime
    ends_at: datetime | None  #: when a requisition that is not filled is declined or closed


@dataclass(frozen=True, slots=True)
class Desk:
    """What every simulated act needs: the dice, and whose working time it is."""

    dice: Random
    people: People
    calendars: Calendars
    habits: Mapping[str, float] = field(default_factory=dict)  #: person key -> probability to be in time

    def calendar(self, person: str, at: datetime) -> Calendar:
        return self.people.calendar_for(person, None, self.calendars, at, at)[0]

    def within(
        self,
        person: str,
        start: datetime,
        days: int,
        punctual: float | None = None,
        share: tuple[float, float, float] = IN_TIME,
    ) -> datetime:
        """When `person` has done what is due `days` working days after `start`: mostly before, else up to five times later.

        `share` of the time that is taken by who is in time: least, most, usual.
        """
        calendar = self.calendar(person, start)
        opening = calendar.next_opening(start)
        budget = calendar.working_us(opening, calendar.add_business_days(opening, days))
        kept = self.dice.random() < (self.habits.get(person, 0.9) if punctual is None else punctual)
        taken = self.dice.triangular(*share) if kept else min(5.0, 1.05 + self.dice.expovariate(1.4))
        return calendar.add_working(opening, max(1, int(budget * taken))).replace(microsecond=0)


def hiring_teams(people: People, dice: Random) -> tuple[HiringTeam, ...]:
    """The teams that hire, in the file's order, with their seats and habits.

    Seats follow the order people.yaml promises: a hiring team's first person is its manager, the others interview; recruiters
    are those of the TA team at the same location, but for its last person, the coordinator. The team at `SLIPS`
    slips, the one at `SHINES` shines and has one recruiter only. Raises InvalidConfiguration if nobody recruits or nobody hires.
    """
    members: dict[str, list[str]] = {}
    for person in people.people.values():
        members.setdefault(person.team, []).append(person.key)
    desks = {team.location: members[team.key] for team in people.teams.values() if is_recruiting(team) and team.key in members}
    hiring = [team for team in people.teams.values() if not is_recruiting(team) and len(members.get(team.key, ())) > 1]
    if not desks or not hiring:
        raise InvalidConfiguration(["people.yaml: the demo needs a TA team (key ta-...) and a hiring team of two or more"])
    default = next(iter(desks.values()))
    return tuple(
        HiringTeam(
            key=team.key,
            department=team.department,
            location=team.location or "head office",
            manager=members[team.key][0],
            interviewers=tuple(members[team.key][1:]),
            recruiters=tuple(recruiters[:1] if place == SHINES else recruiters[:-1] or recruiters),
            punctual={SLIPS: SLIPPING, SHINES: SHINING}.get(place, dice.uniform(*PUNCTUAL)),
        )
        for place, team in enumerate(hiring)
        for recruiters in [desks.get(team.location, default)]
    )


def is_recruiting(team: Team) -> bool:
    """Whether a team of people.yaml is a Talent Acquisition team."""
    return team.key.startswith("ta-")


def habits(teams: tuple[HiringTeam, ...], dice: Random) -> dict[str, float]:
    """How often each person is in time. The last recruiter of the last team is the slow one."""
    known: dict[str, float] = {}
    for team in teams:
        for person in (team.manager, *team.interviewers):
            known[person] = min(0.99, max(0.3, team.punctual + dice.uniform(-0.04, 0.04)))
        for person in team.recruiters:
            known.setdefault(person, dice.uniform(0.84, 0.96))
    known[teams[-1].recruiters[-1]] = SLOW_RECRUITER
    return known


def open_requisitions(desk: Desk, teams: tuple[HiringTeam, ...], scale: Scale, start: datetime) -> list[Requisition]:
    """All requisitions of the stretch, oldest first; every team gets some, the slipping, the shining and the first team more."""
    preferred = [teams[place] for place in (SLIPS, SHINES, 0) if place < len(teams)]
    order = [*preferred, *(team for team in teams if team not in preferred)]
    drawn = desk.dice.choices(order, [3 if team in preferred else 1 for team in order], k=scale.requisitions)
    seats = [*order, *preferred * 2, *order, *preferred * 2, *drawn][: scale.requisitions]
    desk.dice.shuffle(seats)
    fates: dict[int, Fate] = {5: "declined", 8: "closed_early", 11: "held", 19: "closed_early"}
    step = timedelta(weeks=scale.weeks) * 0.93 / scale.requisitions
    return [
        open_requisition(desk, team, 370_001 + 13 * number, start + step * number, fates.get(number, "filled"))
        for number, team in enumerate(seats)
    ]


def open_requisition(desk: Desk, team: HiringTeam, number: int, around: datetime, fate: Fate) -> Requisition:
    """One requisition opened in the manager's working time soon after `around`, up to the day its first slate is there."""
    dice = desk.dice
    recruiter = dice.choice(team.recruiters)
    opened = desk.within(team.manager, around, 3, 1.0)
    approved = desk.within(team.manager, opened, 2)
    held = None
    ready = approved
    if fate == "held":
        ready = desk.calendar(recruiter, approved).add_business_days(approved, 11)
        held = (desk.calendar(recruiter, approved).add_business_days(approved, 1), ready)
    intake = desk.within(recruiter, ready, 3, 0.92) if dice.random() < 0.95 else None
    begin = intake or desk.calendar(recruiter, ready).add_business_days(ready, 3)
    slate = desk.within(recruiter, begin, 7)
    days = {"declined": 1, "closed_early": 14}.get(fate)
    ends = desk.calendar(recruiter, slate).add_business_days(begin if fate == "declined" else slate, days) if days else None
    return Requisition(
        id=number,
        title=dice.choice(TITLES),
        team=team,
        manager=team.manager,
        interviewers=team.interviewers,
        recruiter=recruiter,
        openings=dice.choice((1, 1, 1, 2)),
        fate=fate,
        opened_at=opened,
        approved_at=approved,
        intake_at=intake,
        held=held,
        slate_at=slate,
        ends_at=ends,
    )
