"""A simulated company's months of hiring: everything that happened, in order of time. Pure; the same seed, the same history.

In: who works there and when (deploy/people.yaml, deploy/calendars.yaml), a scale, an end and a seed. Out: the happenings of
every requisition and application up to that end. `streams/simulated_feed.py` turns them into what a vendor would send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from streams.calendars import Calendars
from streams.directory import People
from streams.simulated_company import Desk, HiringTeam, Requisition, Scale, habits, hiring_teams, open_requisitions
from streams.simulated_contact import contacts
from streams.simulated_ending import cut
from streams.simulated_story import Application, Happening, Numbers, Story, What

#: Hours of the day at which people apply, with their weights: evenings and weekends too.
APPLY_HOURS = (*range(7, 24),)
APPLY_WEIGHTS = (1, 2, 4, 5, 5, 5, 6, 5, 4, 4, 4, 4, 5, 6, 5, 3, 1)
#: How much more is told than asked for, since a requisition that closes takes no more applications.
LOST_TO_CLOSING = 1.14


@dataclass(frozen=True, slots=True)
class History:
    """All that happened in [start, end), oldest first."""

    start: datetime
    end: datetime
    teams: tuple[HiringTeam, ...]
    requisitions: tuple[Requisition, ...]
    happenings: tuple[Happening, ...]

    def statistics(self) -> dict[str, int]:
        """How often each thing happened."""
        return dict(sorted(Counter(str(happening.what) for happening in self.happenings).items()))


def simulate(people: People, calendars: Calendars, end: datetime, seed: int, scale: Scale | None = None) -> History:
    """The history of `scale.weeks` weeks up to `end` (aware). Only `Random(seed)` decides; whole seconds throughout."""
    scale = scale or Scale()
    end = end.replace(microsecond=0)
    start = end - timedelta(weeks=scale.weeks)
    dice = Random(seed)  # noqa: S311 - a simulation, not a secret
    teams = hiring_teams(people, dice)
    desk = Desk(dice, people, calendars, habits(teams, dice))
    requisitions = open_requisitions(desk, teams, scale, start)
    numbers = Numbers()
    each = scale.applications * LOST_TO_CLOSING / len(requisitions)
    told: list[Happening] = []
    for requisition in requisitions:
        stories = [Story(desk, numbers, application).tell() for application in applications(desk, numbers, requisition, each)]
        told += live(desk, requisition, [withdraw(desk, story) for story in stories])
    kept = sorted((happening for happening in told if happening.at < end), key=lambda happening: happening.at)
    return History(start, end, teams, tuple(requisitions), tuple(kept))


def applications(desk: Desk, numbers: Numbers, requisition: Requisition, each: float) -> list[Application]:
    """Who applies to a requisition: the first slate, found by the recruiter, and those who come by themselves over weeks."""
    dice = desk.dice
    begin = requisition.intake_at or requisition.approved_at
    calendar = desk.calendar(requisition.recruiter, begin)
    found = []
    for place in range(dice.choice((3, 3, 4, 5))):
        applied = calendar.share_instant(begin, requisition.slate_at, dice.uniform(0.05, 0.8)).replace(microsecond=0)
        presented = requisition.slate_at + timedelta(minutes=7 * (place - 2))
        found.append((applied, max(presented, applied + timedelta(minutes=1))))
    sourced = [_application(desk, numbers, requisition, applied, presented) for applied, presented in found]
    zone = ZoneInfo(desk.calendar(requisition.manager, begin).zone)
    inbound = []
    for _ in range(int(each * dice.uniform(0.55, 1.35))):
        day = requisition.approved_at.astimezone(zone) + timedelta(days=min(90.0, dice.expovariate(1 / 19)))
        hour = dice.choices(APPLY_HOURS, APPLY_WEIGHTS)[0]
        at = day.replace(hour=hour, minute=dice.randrange(60), second=dice.randrange(60), microsecond=0)
        applied = max(at.astimezone(requisition.approved_at.tzinfo), requisition.approved_at + timedelta(minutes=30))
        inbound.append(_application(desk, numbers, requisition, applied, None))
    return sorted([*sourced, *inbound], key=lambda application: (application.applied_at, application.id))


def _application(
    desk: Desk, numbers: Numbers, requisition: Requisition, applied: datetime, presented: datetime | None
) -> Application:
    return Application(
        id=numbers.next(),
        candidate_id=numbers.next(),
        requisition=requisition,
        applied_at=applied,
        prospect=presented is None and desk.dice.random() < 0.02,
        sourced_until=presented,
    )


def withdraw(desk: Desk, story: list[Happening]) -> list[Happening]:
    """Some candidates lose patience: their story ends when they say so, if it had not ended before."""
    if desk.dice.random() > 0.09:
        return story
    first = story[0]
    at = (first.at + timedelta(days=desk.dice.uniform(1, 30))).replace(microsecond=0)
    reason = desk.dice.choice(("Took another offer", "Withdrew", "Compensation"))
    return cut(story, replace(first, at=at, what=What.WITHDREW, reason=reason))


def live(desk: Desk, requisition: Requisition, stories: list[list[Happening]]) -> list[Happening]:
    """A requisition from its opening to its close, with the stories of its applications, cut off where it closed."""
    event = Happening(at=requisition.opened_at, what=What.JOB_CREATED, requisition=requisition, by=requisition.manager)
    recruiter = requisition.recruiter

    def at(what: What, moment: datetime, by: str, reason: str | None = None) -> Happening:
        return replace(event, what=what, at=moment, by=by, reason=reason)

    assigned = desk.within(recruiter, requisition.approved_at, 1)
    own = [event, at(What.JOB_APPROVED, requisition.approved_at, requisition.manager)]
    own.append(at(What.RECRUITER_ASSIGNED, assigned, recruiter))
    if requisition.intake_at:
        own.append(at(What.INTAKE_HELD, requisition.intake_at, recruiter))
    if requisition.held:
        own += [at(what, moment, recruiter) for what, moment in zip((What.HELD, What.RESUMED), requisition.held, strict=True)]
    if requisition.fate == "declined" and requisition.ends_at:
        own.append(at(What.DECLINED, requisition.ends_at, recruiter, "discriminatory_criterion"))
    if desk.dice.random() < 0.3:
        own.append(at(What.JOB_UPDATED, assigned + timedelta(days=desk.dice.uniform(2, 9)), recruiter))
    closed = closing(desk, requisition, stories)
    told = [happening for story in stories for happening in [*story, *edits(desk, story), *contacts(desk, story, None)]]
    if closed is None:
        return [*own, *told]
    told = [happening for story in stories for happening in close_story(desk, story, closed)]
    return [*[happening for happening in own if happening.at < closed], *told, at(What.JOB_CLOSED, closed, recruiter)]


def closing(desk: Desk, requisition: Requisition, stories: list[list[Happening]]) -> datetime | None:
    """When the requisition closes: some days after it was declined or given up, or once its openings are filled."""
    if requisition.ends_at:
        return desk.within(requisition.recruiter, requisition.ends_at, 2, 1.0)
    hires = sorted(happening.at for story in stories for happening in story if happening.what is What.HIRED)
    if len(hires) < requisition.openings:
        return None
    return desk.within(requisition.recruiter, hires[requisition.openings - 1], 2, 1.0)


def close_story(desk: Desk, story: list[Happening], closed: datetime) -> list[Happening]:
    """The story of an application whose requisition closed: mostly rejected shortly before, else left as it stood."""
    if story[0].at >= closed - timedelta(minutes=2):
        return []
    before = (closed - timedelta(minutes=desk.dice.uniform(3, 90))).replace(microsecond=0)
    ending = replace(story[0], at=max(before, story[0].at + timedelta(seconds=30)), what=What.REJECTED, reason="Position filled")
    if desk.dice.random() < 0.8:
        story = cut(story, ending)
    else:
        story = [h for h in cut(story, replace(ending, at=closed)) if h.at != closed or h.what is not What.REJECTED]
    return [*story, *edits(desk, story), *contacts(desk, story, closed)]


def edits(desk: Desk, story: Iterable[Happening]) -> list[Happening]:
    """Now and then somebody corrects a candidate's data; noise that no clock may mind."""
    first = next(iter(story))
    if desk.dice.random() > 0.05:
        return []
    at = (first.at + timedelta(hours=desk.dice.uniform(1, 60))).replace(microsecond=0)
    return [replace(first, at=at, what=What.EDITED)]
