"""How a simulated application's story is cut short: the candidate withdraws, or the requisition closes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from streams.simulated_story import ENDINGS, Happening, What


def cut(story: Iterable[Happening], ending: Happening) -> list[Happening]:
    """The story up to `ending`: what was still to happen does not, but interviews already held are still assessed.

    A story that had ended before gets no second ending. Interviews ahead are deleted a minute before it.
    """
    told = list(story)
    kept = [happening for happening in told if happening.at < ending.at]
    booked = {
        happening.interview.id: happening.interview
        for happening in kept
        if happening.interview and happening.what in (What.INTERVIEW_SET, What.INTERVIEW_MOVED)
    }
    for happening in kept:
        if happening.what is What.INTERVIEW_DELETED and happening.interview:
            booked.pop(happening.interview.id, None)
    held = {number for number, interview in booked.items() if interview.ends_at <= ending.at}
    later = [
        happening
        for happening in told
        if happening.at >= ending.at and happening.scorecard and happening.scorecard.interview.id in held
    ]
    if not alive(kept):
        return [*kept, *later]
    before = ending.at - timedelta(minutes=1)
    ahead = [interview for number, interview in booked.items() if number not in held]
    deleted = [replace(ending, at=before, what=What.INTERVIEW_DELETED, reason=None, interview=interview) for interview in ahead]
    return sorted([*kept, *deleted, ending, *later], key=lambda happening: happening.at)


def alive(story: Iterable[Happening]) -> bool:
    """Whether an application still runs after these happenings."""
    state = True
    for happening in story:
        if happening.what in ENDINGS:
            state = False
        elif happening.what is What.UNREJECTED:
            state = True
    return state
