"""Interviews from the facts about them: when they were booked and held, whose scorecard belongs to which, when all were in.

Pure. An interview is what its latest version says; earlier versions only tell when it was booked and moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.fact import Fact
from streams.directory import People
from streams.event import Event
from streams.wall_clock import instant_told

INTERVIEW_KINDS = frozenset({"interview.scheduled", "interview.cancelled", "interview.no_show"})


@dataclass(slots=True)
class _Interview:
    interview_id: str
    application_id: str | None
    known_from: datetime
    starts_at: datetime | None
    held_at: datetime | None  #: its end, if it has a time and was not called off before
    dropped_at: datetime | None
    interviewers: tuple[str, ...]
    scorecards: Mapping[str, str]  #: scorecard id -> interviewer
    step: Any
    booked: tuple[Event, ...]
    backfill: bool
    fact_id: str  #: of its latest version

    def ended(self, at: datetime) -> Event:
        return Event(
            at=at,
            event_id=f"interview.ended:{self.interview_id}",
            kind="interview.ended",
            attributes={"interviewers": self.interviewers},
            application_id=self.application_id,
            interview_id=self.interview_id,
            backfill=self.backfill,
            because=(self.fact_id,),
        )


class Interviews:
    """The interviews of one application (or requisition)."""

    def __init__(self, facts: Iterable[Fact], people: People) -> None:
        """`facts`: those of INTERVIEW_KINDS, merged."""
        versions: dict[str, list[Fact]] = {}
        dropped: dict[str, list[datetime]] = {}
        for fact in facts:
            assert fact.interview_id is not None
            if fact.kind == "interview.scheduled":
                versions.setdefault(fact.interview_id, []).append(fact)
            else:
                dropped.setdefault(fact.interview_id, []).append(fact.occurred_at)
        self._all = [
            _interview(name, sorted(them, key=version_order), dropped.get(name, []), people)
            for name, them in sorted(versions.items())
        ]
        self._listing: dict[str, list[_Interview]] = {}
        self._with: dict[str, list[_Interview]] = {}
        for interview in self._all:
            for card in interview.scorecards:
                self._listing.setdefault(card, []).append(interview)
            for person in interview.interviewers:
                self._with.setdefault(person, []).append(interview)

    def linked(self, event: Event) -> Event:
        """A scorecard with the interview it belongs to.

        In this order: the interview it names; the interview that lists its id; the interviewer's interview at its
        `interviewed_at`; the interviewer's interview of its step; the interviewer's last interview that began before it.
        """
        if event.interview_id is not None:
            return event
        card = str(event.attributes.get("scorecard_id"))
        listed = self._listing.get(card, ())
        pool = listed or self._of_interviewer(event)
        if not pool:
            return event
        chosen = max(pool, key=lambda interview: _nearness(interview, event.at))
        return Event(
            event.at,
            event.event_id,
            event.kind,
            event.attributes,
            event.application_id,
            chosen.interview_id,
            chosen.scorecards.get(card, event.person) if listed else event.person,
            event.actor,
            event.not_before,
            event.undone_at,
            event.backfill,
        )

    def _of_interviewer(self, event: Event) -> Sequence[_Interview]:
        mine = self._with.get(event.person or "", ())
        when, step = _instant(event.attributes.get("interviewed_at")), event.attributes.get("interview_step_id")
        timed = [i for i in mine if when is not None and i.starts_at == when]
        stepped = [i for i in mine if step is not None and i.step == step]
        return timed or stepped or [i for i in mine if i.starts_at is not None and i.starts_at <= event.at]

    def moments(self, found: Sequence[Event], as_of: datetime) -> tuple[list[Event], datetime | None]:
        """What follows from the interviews up to `as_of`, and the end of the next one that is still ahead.

        `found`: the other events, scorecards linked.
        """
        added: list[Event] = []
        following: datetime | None = None
        for interview in self._all:
            added += interview.booked
            held_at = interview.held_at
            if held_at is None:
                continue
            if held_at <= as_of:
                added.append(interview.ended(held_at))
            elif following is None or held_at < following:
                following = held_at
        return added + self._feedback_completed(found, as_of), following

    def _feedback_completed(self, found: Sequence[Event], as_of: datetime) -> list[Event]:
        """The moments at which no booked interview is left without the scorecard of each of its interviewers.

        A pair (interview, interviewer) is owed from the booking until its first scorecard (but not before the interview's
        end), or until the interview is called off. A moment counts only if at least one scorecard came in since the last.
        """
        owed = sorted(self._owed(found), key=lambda pair: pair[0])
        moments: list[Event] = []
        until: datetime | None = None
        cards: list[Event] = []
        for index, (_begin, end, card) in enumerate(owed):
            if end is None or end > as_of:
                break
            until = end if until is None else max(until, end)
            cards += [card] if card is not None else []
            following = owed[index + 1][0] if index + 1 < len(owed) else None
            if cards and (following is None or following > until):
                moments.append(_completed(until, cards))
                until, cards = None, []
        return moments

    def _owed(self, found: Sequence[Event]) -> Iterator[tuple[datetime, datetime | None, Event | None]]:
        """For each pair: from when it is owed, until when (None: still), and the scorecard that ended it.

        An interview that tells no end, an all-day one, is owed nothing: nobody can say when.
        """
        cards: dict[tuple[str | None, str | None], Event] = {}
        for event in found:
            if event.kind != "scorecard.submitted":
                continue
            pair = (event.interview_id, event.person)
            if pair not in cards or event.key < cards[pair].key:
                cards[pair] = event
        for interview in self._all:
            held_at = interview.held_at
            if held_at is None and interview.dropped_at is None:
                continue
            begin = min(interview.known_from, held_at or interview.known_from)
            for person in interview.interviewers:
                if held_at is None:
                    yield begin, interview.dropped_at, None
                    continue
                card = cards.get((interview.interview_id, person))
                yield begin, max(card.at, held_at) if card is not None else None, card


def version_order(fact: Fact) -> tuple[datetime, str]:
    """Of facts about one thing the later in this order is its newer version."""
    return fact.occurred_at, fact.fact_id


def _instant(value: object) -> datetime | None:
    """An attribute's time as UTC, None without one. Raises ValueError where it has no zone."""
    return instant_told(value) if isinstance(value, str) else None


def _interview(interview_id: str, versions: list[Fact], dropped: list[datetime], people: People) -> _Interview:
    last, booked = versions[-1], _booked(versions)
    moved_at = booked[-1].at if len(booked) > 1 else None  # moved after it was called off, it takes place after all
    dropped_at = min((at for at in dropped if moved_at is None or at >= moved_at), default=None)
    said = last.attributes
    ends_at = _instant(said.get("ends_at"))
    called_off = dropped_at is not None and ends_at is not None and dropped_at < ends_at
    raw_cards, named = said.get("scorecards"), said.get("interviewers")
    cards = raw_cards if isinstance(raw_cards, dict) else {}
    return _Interview(
        interview_id=interview_id,
        application_id=last.application_id,
        known_from=versions[0].occurred_at,
        starts_at=_instant(said.get("starts_at")),
        held_at=None if called_off else ends_at,
        dropped_at=dropped_at,
        interviewers=tuple(dict.fromkeys(people.key(str(ref)) for ref in named)) if isinstance(named, list | tuple) else (),
        scorecards={str(card): people.key(str(ref)) for ref, card in cards.items()},
        step=said.get("interview_step_id"),
        booked=booked,
        backfill=all(v.backfill for v in versions),
        fact_id=last.fact_id,
    )


def _booked(versions: Sequence[Fact]) -> tuple[Event, ...]:
    """An interview counts as booked when first seen and whenever its time changes; other updates are no booking.

    At the latest when it was created, or began: what took place had been booked, if only recorded afterwards.
    """
    found: list[Event] = []
    time: Any = None
    for version in versions:
        new_time = version.attributes.get("ends_at")
        if found and new_time == time:
            continue
        told = () if found else (_instant(version.attributes.get(name)) for name in ("created_at", "starts_at"))
        at = min([version.occurred_at, *(at for at in told if at is not None)])
        found.append(
            Event(
                at=at,
                event_id=f"interview.booked:{version.fact_id}",
                kind="interview.booked",
                attributes={"moved": bool(found)},
                application_id=version.application_id,
                interview_id=version.interview_id,
                not_before=version.occurred_not_before if at == version.occurred_at else None,
                backfill=version.backfill,
                because=(version.fact_id,),
            )
        )
        time = new_time
    return tuple(found)


def _nearness(interview: _Interview, at: datetime) -> tuple[bool, bool, datetime, str]:
    """Of several candidates one that was not called off, the last that had begun by `at`; if none had, the last of all."""
    called_off = interview.held_at is None and interview.dropped_at is not None
    begun = interview.starts_at is not None and interview.starts_at <= at
    return not called_off, begun, interview.starts_at or interview.known_from, interview.interview_id


def _completed(at: datetime, cards: Sequence[Event]) -> Event:
    application_id = cards[0].application_id
    return Event(
        at=at,
        event_id=f"feedback.completed:{application_id}:{at.isoformat()}",
        kind="feedback.completed",
        attributes={},
        application_id=application_id,
        backfill=any(card.backfill for card in cards),
        because=tuple(sorted(card.event_id for card in cards)),
    )
