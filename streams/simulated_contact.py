"""Who tells a simulated candidate where things stand, and when: mails and calls, as the company's mail gateway sees them. Pure.

In: the desk and the finished story of one application. Out: its `informed` happenings. Whoever decided tells a rejection, the
manager an offer to come; a phone screen is contact, too; and who holds the ball writes when nothing has been heard for days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from streams.simulated_company import Desk
from streams.simulated_story import ENDINGS, Happening, What

#: A sign of life comes on the last of the days that silence may last, if at all in time; shares as in `Desk.within`.
SILENCE_DAYS, SIGN_OF_LIFE = 5, (0.7, 0.97, 0.85)
TELL_DAYS = 2
#: From these the candidate hears by themselves, or the next silence is counted.
CONTACT = frozenset({What.APPLIED, What.UNREJECTED, What.INTERVIEW_SET, What.INTERVIEW_MOVED})
CALL = timedelta(minutes=12)


@dataclass(slots=True)
class _Ball:
    """Who holds it, and when they will write if nothing else is heard until then."""

    holder: str | None = None
    write_at: datetime | None = None


def contacts(desk: Desk, story: list[Happening], closed: datetime | None) -> list[Happening]:
    """The happenings in which somebody informs the candidate, in order of time; `closed`: when the requisition did."""
    gone = min((h.at for h in story if h.what in (What.WITHDREW, What.HIRED)), default=None)
    told = [h for h in _news(desk, story) if gone is None or h.at < gone]
    heard = sorted([*_events(story), *((h.at, h, True) for h in told)], key=lambda event: event[0])
    return sorted([*told, *_signs_of_life(desk, heard, closed)], key=lambda happening: happening.at)


def _news(desk: Desk, story: Iterable[Happening]) -> Iterator[Happening]:
    """What is told because something was decided or talked about."""
    for h in story:
        if h.what is What.STAGE and h.stage == "screen":
            yield _informed(h, h.at + CALL, h.by)
        elif h.what is What.REJECTED or (h.what is What.STAGE and h.stage == "offer"):
            yield _informed(h, desk.within(h.by, h.at, TELL_DAYS), h.by)


def _events(story: Iterable[Happening]) -> Iterator[tuple[datetime, Happening, bool]]:
    """(when, what, whether the candidate hears of it): each happening, and the end of each interview that was held."""
    held: dict[int, Happening] = {}
    for h in story:
        if h.interview and h.what is What.INTERVIEW_DELETED:
            held.pop(h.interview.id, None)
        elif h.interview:
            held[h.interview.id] = h
        yield h.at, h, h.what in CONTACT or _sent(h)
    for h in held.values():
        if h.interview:
            yield h.interview.ends_at, h, True


def _sent(h: Happening) -> bool:
    return h.what is What.OFFER_UPDATED and h.offer is not None and h.offer.sent_at == h.at


def _signs_of_life(desk: Desk, heard: Iterable[tuple[datetime, Happening, bool]], closed: datetime | None) -> Iterator[Happening]:
    ball = _Ball()
    for at, h, contact in heard:
        while ball.holder and ball.write_at and ball.write_at < min(at, closed or at):
            yield _informed(h, ball.write_at, ball.holder)
            ball.write_at = desk.within(ball.holder, ball.write_at, SILENCE_DAYS, share=SIGN_OF_LIFE)
        ball.holder = _holder(h, ball.holder)
        if contact and ball.holder:
            ball.write_at = desk.within(ball.holder, at, SILENCE_DAYS, share=SIGN_OF_LIFE)


def _holder(h: Happening, before: str | None) -> str | None:
    """Who has the ball after it: the candidate and nobody write to nobody."""
    recruiter, manager = h.requisition.recruiter, h.requisition.manager
    if h.what in ENDINGS or (h.offer and _sent(h)):
        return None
    if h.what is What.STAGE:
        return manager if h.stage in ("manager_review", "debrief") else recruiter
    if h.what in (What.INTERVIEW_SET, What.INTERVIEW_MOVED, What.AVAILABILITY_REQUESTED):
        return manager if before else None
    if h.what in (What.INTERVIEW_DELETED, What.AVAILABILITY_GIVEN, What.OFFER_CREATED):
        return recruiter if before else None
    return recruiter if h.what in (What.APPLIED, What.UNREJECTED) else before


def _informed(h: Happening, at: datetime, by: str) -> Happening:
    return replace(h, at=at, what=What.INFORMED, by=by, stage=None, reason=None, interview=None, scorecard=None, offer=None)
