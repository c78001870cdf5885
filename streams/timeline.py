"""Facts in, ordered events out: the one place that decides which copy of a fact counts and what comes before what.

State is the *set* of facts. `merge` makes a set of any pile of copies; `events` puts it in the documented total order and
adds the moments that follow from facts (`interview.booked`, `interview.ended`, `feedback.completed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.fact import DERIVED_KINDS, FACT_KINDS, ORIGIN_RANK, STAGES, Fact
from schemas.policy import Condition, Wanted
from streams.directory import People

#: Facts of one instant are ordered by kind, in the order a hiring process takes (the order of FACT_KINDS); a derived
#: moment comes right after the kind that causes it. Then by stage, then by id. The order is total.
KIND_RANK: dict[str, int] = {kind: 10 * rank for rank, kind in enumerate(FACT_KINDS)}
KIND_RANK.update({kind: max(KIND_RANK[k] for k in causes) + 1 for kind, causes in DERIVED_KINDS.items()})
STAGE_RANK: dict[object, int] = {stage: rank for rank, stage in enumerate(STAGES)}


@dataclass(frozen=True, slots=True)
class Event:
    """A fact, or a moment derived from facts, in the life of one requisition or application."""

    at: datetime
    event_id: str
    kind: str
    attributes: Mapping[str, Any]
    application_id: str | None = None
    interview_id: str | None = None
    person: str | None = None  #: person key
    actor: str | None = None  #: person key
    not_before: datetime | None = None
    undone_at: datetime | None = None  #: a scorecard that was deleted then
    backfill: bool = False
    because: tuple[str, ...] = ()  #: of a derived moment, the facts it follows from
    key: tuple[datetime, int, int, str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        rank = KIND_RANK[self.kind]
        stage = STAGE_RANK.get(self.attributes.get("stage"), -1)
        object.__setattr__(self, "key", (self.at, rank, stage, self.event_id))


def merge(facts: Iterable[Fact]) -> list[Fact]:
    """The set of facts in any pile of copies: one per `fact_id`, the same for every order and duplication.

    Of copies that differ, the better origin of the time wins, then the earlier time, then the smaller content hash; of equal
    copies the one we learned first. A fact counts as backfilled only if every equal copy was.
    """
    best: dict[str, Fact] = {}
    for fact in facts:
        other = best.get(fact.fact_id)
        best[fact.fact_id] = fact if other is None else _better(fact, other)
    return list(best.values())


def _better(one: Fact, two: Fact) -> Fact:
    if one == two:
        return one
    if one.occurred_at_source != two.occurred_at_source:
        return min(one, two, key=lambda f: ORIGIN_RANK[f.occurred_at_source])
    if one.occurred_at != two.occurred_at:  # two deliveries of one happening: it was there when the first arrived
        return min(one, two, key=lambda f: f.occurred_at)
    hashes = one.content_hash, two.content_hash
    if hashes[0] != hashes[1]:
        return one if hashes[0] < hashes[1] else two
    first = one if one.received_at <= two.received_at else two
    return first.model_copy(update={"backfill": one.backfill and two.backfill})


def matches(condition: Condition, event: Event) -> bool:
    """Whether the event is of the condition's kind and its attributes have the wanted values."""
    return event.kind == condition.kind and fits(condition.where, event.attributes)


def fits(wanted: Wanted, attributes: Mapping[str, Any]) -> bool:
    """Whether every wanted attribute has the wanted value, or one of them; one that is not there has none."""
    for name, allowed in wanted.items():
        value = attributes.get(name)
        if value not in allowed if isinstance(allowed, tuple) else value != allowed:
            return False
    return True


class History:
    """Ordered events of one life, found by condition without looking at all of them."""

    __slots__ = ("_by_kind", "_found", "events")

    def __init__(self, ordered: Sequence[Event]) -> None:
        self.events = ordered
        self._by_kind: dict[str, list[Event]] = {}
        for event in ordered:
            self._by_kind.setdefault(event.kind, []).append(event)
        self._found: dict[int, tuple[Event, ...]] = {}

    def matching(self, conditions: tuple[Condition, ...]) -> tuple[Event, ...]:
        """The events that match any of the conditions, in their order. Asked again of the same tuple it is at hand."""
        found = self._found.get(id(conditions))
        if found is None:
            hits = [e for c in conditions for e in self._by_kind.get(c.kind, ()) if not c.where or matches(c, e)]
            if len(conditions) > 1:
                hits = sorted({e.event_id: e for e in hits}.values(), key=lambda e: e.key)
            found = self._found[id(conditions)] = tuple(hits)
        return found


def events(facts: Iterable[Fact], people: People, as_of: datetime) -> tuple[list[Event], datetime | None]:
    """Ordered events up to `as_of`, and the next instant at which time alone adds one (None if none is known of).

    `facts` is a merged set of one application (or requisition) with those of its requisition. Facts that happened after
    `as_of` are left out; the end of an interview happens when its time comes.
    """
    happened: list[Fact] = []
    future: list[datetime] = []
    for fact in facts:
        if fact.occurred_at <= as_of:
            happened.append(fact)
        else:
            future.append(fact.occurred_at)
    deleted = {
        fact.attributes.get("scorecard_id"): fact.occurred_at
        for fact in sorted(happened, key=lambda f: f.occurred_at, reverse=True)
        if fact.kind == "scorecard.deleted"
    }
    found = [_event(fact, people, deleted) for fact in happened]
    named = min((f for f in happened if f.application_id is None and f.people.get("recruiter")), key=_version_order, default=None)
    if named is not None:
        found.append(_recruiter_named(named))
    interviews = _interviews(happened, people)
    if interviews:
        found = [_linked(event, interviews) for event in found]
        for interview in interviews:
            found += interview.booked
            if interview.held_at is None:
                continue
            if interview.held_at <= as_of:
                found.append(interview.ended())
            else:
                future.append(interview.held_at)
        found += _feedback_completed(interviews, found, as_of)
    found.sort(key=lambda event: event.key)
    return found, min(future, default=None)


def _event(fact: Fact, people: People, deleted: Mapping[object, datetime]) -> Event:
    undone = None
    if fact.kind == "scorecard.submitted":
        undone = deleted.get(fact.attributes.get("scorecard_id"))
    return Event(
        at=fact.occurred_at,
        event_id=fact.fact_id,
        kind=fact.kind,
        attributes=_attributes(fact, people),
        application_id=fact.application_id,
        interview_id=fact.interview_id,
        person=people.key(fact.person) if fact.person else None,
        actor=people.key(fact.actor) if fact.actor else None,
        not_before=fact.occurred_not_before,
        undone_at=undone,
        backfill=fact.backfill,
    )


def _recruiter_named(fact: Fact) -> Event:
    """The first fact of the requisition that names a recruiter: somebody took it."""
    name = f"recruiter.named:{fact.fact_id}"
    return Event(fact.occurred_at, name, "recruiter.named", {}, backfill=fact.backfill, because=(fact.fact_id,))


def _attributes(fact: Fact, people: People) -> Mapping[str, Any]:
    """The fact's attributes; of a scorecard also `own`: whether the interviewer submitted it, where the vendor says who did."""
    if fact.kind != "scorecard.submitted" or fact.actor is None or fact.person is None:
        return fact.attributes
    return {**fact.attributes, "own": people.key(fact.actor) == people.key(fact.person)}


@dataclass(frozen=True, slots=True)
class _Interview:
    """One interview as its latest version says; earlier versions only tell when it was booked and moved."""

    interview_id: str
    application_id: str | None
    known_from: datetime
    starts_at: datetime | None
    held_at: datetime | None  #: its end, if it has a time and was not called off before
    dropped_at: datetime | None
    interviewers: tuple[str, ...]
    scorecards: Mapping[str, str]  #: scorecard id -> interviewer
    step: object
    booked: tuple[Event, ...]
    backfill: bool
    fact_id: str  #: of its latest version

    def ended(self) -> Event:
        assert self.held_at is not None
        return Event(
            at=self.held_at,
            event_id=f"interview.ended:{self.interview_id}",
            kind="interview.ended",
            attributes={"interviewers": self.interviewers},
            application_id=self.application_id,
            interview_id=self.interview_id,
            backfill=self.backfill,
            because=(self.fact_id,),
        )


def _instant(value: object) -> datetime | None:
    """An attribute's time as UTC, None without one. Raises ValueError where it has no zone: nobody can say when it was."""
    if not isinstance(value, str):
        return None
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return at.astimezone(UTC)


def _interviews(facts: list[Fact], people: People) -> list[_Interview]:
    versions: dict[str, list[Fact]] = {}
    dropped: dict[str, list[datetime]] = {}
    for fact in facts:
        if fact.interview_id is None:
            continue
        if fact.kind == "interview.scheduled":
            versions.setdefault(fact.interview_id, []).append(fact)
        elif fact.kind in ("interview.cancelled", "interview.no_show"):
            dropped.setdefault(fact.interview_id, []).append(fact.occurred_at)
    return [_interview(i, sorted(v, key=_version_order), dropped.get(i, []), people) for i, v in sorted(versions.items())]


def _version_order(fact: Fact) -> tuple[datetime, str]:
    return fact.occurred_at, fact.fact_id


def _interview(interview_id: str, versions: list[Fact], dropped: list[datetime], people: People) -> _Interview:
    last, booked = versions[-1], _booked(versions)
    moved_at = booked[-1].at if len(booked) > 1 else None  # moved after it was called off, it takes place after all
    dropped_at = min((at for at in dropped if moved_at is None or at >= moved_at), default=None)
    ends_at = _instant(last.attributes.get("ends_at"))
    called_off = dropped_at is not None and ends_at is not None and dropped_at < ends_at
    raw_cards = last.attributes.get("scorecards")
    cards = raw_cards if isinstance(raw_cards, dict) else {}
    named = last.attributes.get("interviewers")
    return _Interview(
        interview_id=interview_id,
        application_id=last.application_id,
        known_from=versions[0].occurred_at,
        starts_at=_instant(last.attributes.get("starts_at")),
        held_at=None if called_off else ends_at,
        dropped_at=dropped_at,
        interviewers=tuple(dict.fromkeys(people.key(str(ref)) for ref in named)) if isinstance(named, list | tuple) else (),
        scorecards={str(card): people.key(str(ref)) for ref, card in cards.items()},
        step=last.attributes.get("interview_step_id"),
        booked=booked,
        backfill=all(v.backfill for v in versions),
        fact_id=last.fact_id,
    )


def _booked(versions: list[Fact]) -> tuple[Event, ...]:
    """An interview counts as booked when first seen and whenever its time changes; other updates are no booking."""
    found: list[Event] = []
    time: object = None
    for version in versions:
        new_time = version.attributes.get("ends_at")
        if found and new_time == time:
            continue
        created = None if found else _instant(version.attributes.get("created_at"))
        attributes = {"moved": bool(found)}
        found.append(
            Event(
                at=min(created or version.occurred_at, version.occurred_at),
                event_id=f"interview.booked:{version.fact_id}",
                kind="interview.booked",
                attributes=attributes,
                application_id=version.application_id,
                interview_id=version.interview_id,
                backfill=version.backfill,
                because=(version.fact_id,),
            )
        )
        time = new_time
    return tuple(found)


def _linked(event: Event, interviews: list[_Interview]) -> Event:
    """A scorecard with the interview it belongs to.

    In this order: the interview it names; the interview that lists its id; the interviewer's interview at its
    `interviewed_at`; the interviewer's interview of its step; the interviewer's last interview that began before it.
    """
    if event.kind != "scorecard.submitted" or event.interview_id is not None:
        return event
    card = str(event.attributes.get("scorecard_id"))
    listed = [i for i in interviews if card in i.scorecards]
    mine = [i for i in interviews if event.person in i.interviewers]
    when, step = _instant(event.attributes.get("interviewed_at")), event.attributes.get("interview_step_id")
    timed = [i for i in mine if when is not None and i.starts_at == when]
    stepped = [i for i in mine if step is not None and i.step == step]
    begun = [i for i in mine if i.starts_at is not None and i.starts_at <= event.at]
    pool = listed or timed or stepped or begun
    if not pool:
        return event
    chosen = max(pool, key=lambda i: _nearness(i, event.at))
    person = chosen.scorecards.get(card, event.person) if listed else event.person
    return Event(
        at=event.at,
        event_id=event.event_id,
        kind=event.kind,
        attributes=event.attributes,
        application_id=event.application_id,
        interview_id=chosen.interview_id,
        person=person,
        actor=event.actor,
        not_before=event.not_before,
        undone_at=event.undone_at,
        backfill=event.backfill,
    )


def _nearness(interview: _Interview, at: datetime) -> tuple[bool, datetime, str]:
    """Of several candidates the last that had begun by `at`; if none had, the last of all."""
    begun = interview.starts_at is not None and interview.starts_at <= at
    return begun, interview.starts_at or interview.known_from, interview.interview_id


def _feedback_completed(interviews: list[_Interview], found: list[Event], as_of: datetime) -> list[Event]:
    """The moments at which no booked interview is left without the scorecard of each of its interviewers.

    A pair (interview, interviewer) is owed from the booking until its first scorecard (but not before the interview's
    end), or until the interview is called off. A moment counts only if at least one scorecard came in since the last.
    """
    owed = sorted(_owed(interviews, found), key=lambda pair: pair[0])
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


def _owed(interviews: list[_Interview], found: list[Event]) -> Iterator[tuple[datetime, datetime | None, Event | None]]:
    """For each pair: from when it is owed, until when (None: still), and the scorecard that ended it.

    An interview that tells no end, an all-day one, is owed nothing: nobody can say when.
    """
    cards: dict[tuple[str | None, str | None], Event] = {}
    for event in found:
        pair = (event.interview_id, event.person)
        if event.kind == "scorecard.submitted" and (pair not in cards or event.key < cards[pair].key):
            cards[pair] = event
    for interview in interviews:
        if interview.held_at is None and interview.dropped_at is None:
            continue
        begin = min(interview.known_from, interview.held_at or interview.known_from)
        for person in interview.interviewers:
            if interview.held_at is None:
                yield begin, interview.dropped_at, None
                continue
            card = cards.get((interview.interview_id, person))
            yield begin, max(card.at, interview.held_at) if card is not None else None, card


def _completed(at: datetime, cards: list[Event]) -> Event:
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
