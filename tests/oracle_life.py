"""The life of an application for tests/oracle.py, minute by minute: what happened, what it was like, who held the ball."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from schemas.fact import FACT_KINDS, STAGES, Fact
from tests.oracle_week import FILE, KEYS, minute_of, person_at

ORDER: list[str] = list(FACT_KINDS)
CAUSE = {
    "recruiter.named": ("requisition.opened", "requisition.updated"),
    "interview.booked": ("interview.scheduled",),
    "interview.ended": ("interview.scheduled",),
    "feedback.completed": ("interview.scheduled", "scorecard.submitted"),
}
RANK = {"resume": 0, "paused": 0, "talent_acquisition": 1, "hiring_manager": 2, "candidate": 3, "nobody": 4}
SIDES = {"talent_acquisition": "recruiter", "hiring_manager": "hiring_manager"}
OVER = "nobody"
HELD = (None, "talent_acquisition", "hiring_manager", "candidate", "paused", OVER)
ORIGINS = ("event", "object", "request", "poll", "delivery")
Stanza = dict[str, Any]


@dataclass
class Moment:
    minute: int
    kind: str
    fact_id: str
    said: dict[str, Any]
    application: str | None = None
    interview: str | None = None
    person: str | None = None
    actor: str | None = None
    not_before: int | None = None
    undone: int | None = None

    @property
    def order(self) -> tuple[int, float, int, str]:
        causes = CAUSE.get(self.kind)
        rank = float(ORDER.index(self.kind)) if causes is None else max(ORDER.index(k) for k in causes) + 0.5
        stage = self.said.get("stage")
        return self.minute, rank, STAGES.index(stage) if stage in STAGES else -1, self.fact_id


def wanted(where: Stanza, said: Stanza) -> bool:
    return all(said.get(name) in (w if isinstance(w, list) else [w]) for name, w in where.items())


def fits(conditions: list[Stanza], moment: Moment) -> bool:
    return any(c["kind"] == moment.kind and wanted(c.get("where", {}), moment.said) for c in conditions)


def told_once(facts: list[Fact]) -> list[Fact]:
    """One copy of each fact: the better origin of its time, then the earlier time."""
    found = []
    for _, copies in groupby(sorted(facts, key=lambda f: f.fact_id), key=lambda f: f.fact_id):
        found.append(min(copies, key=lambda f: (ORIGINS.index(f.occurred_at_source), f.occurred_at)))
    return found


@dataclass
class Interview:
    """What its last version says, and when it was booked, moved and called off."""

    name: str
    booked: list[Fact]  #: the version with which it was first seen, and each that moved it
    first: int
    starts: int | None
    ends: int | None
    off: int | None  #: called off before its end; of one without an end at any time
    who: list[str]
    cards: dict[str, str]  #: scorecard -> whose it is
    step: Any

    @property
    def called_off(self) -> bool:
        return self.off is not None


def interviews_of(facts: list[Fact]) -> list[Interview]:
    found = []
    for name in sorted({f.interview_id for f in facts if f.interview_id}):
        about = [f for f in facts if f.interview_id == name]
        versions = sorted((f for f in about if f.kind == "interview.scheduled"), key=lambda f: (f.occurred_at, f.fact_id))
        if not versions:
            continue
        times = [v.attributes.get("ends_at") for v in versions]
        booked = [v for n, v in enumerate(versions) if n == 0 or times[n] != times[n - 1]]
        said: Any = versions[-1].attributes
        starts, ends = (minute_of(said[n]) if said.get(n) else None for n in ("starts_at", "ends_at"))
        since = minute_of(booked[-1].occurred_at) if len(booked) > 1 else 0  # booked anew after it was called off
        calls = [minute_of(f.occurred_at) for f in about if f.kind in ("interview.cancelled", "interview.no_show")]
        off = min((m for m in calls if since <= m), default=None)
        off = None if off is not None and ends is not None and off >= ends else off
        who = list(dict.fromkeys(KEYS.get(w, w) for w in said["interviewers"]))
        cards = {card: KEYS.get(w, w) for w, card in said.get("scorecards", {}).items()}
        first, step = minute_of(versions[0].occurred_at), said.get("interview_step_id")
        found.append(Interview(name, booked, first, starts, ends, off, who, cards, step))
    return found


class Life:
    """One application with its requisition, or (application None) the requisition alone, up to `now`."""

    def __init__(self, facts: list[Fact], application: str | None, now: int, holders: list[Stanza], seen: set[str]) -> None:
        self.application, self.now, self.seen = application, now, seen
        own = [f for f in facts if minute_of(f.occurred_at) <= now and f.application_id in (None, application)]
        self.people = sorted((minute_of(f.occurred_at), f.fact_id, f.people) for f in own if f.people)
        self.traits = sorted(
            (minute_of(f.occurred_at), f.fact_id, f.attributes)
            for f in own
            if f.application_id is None and f.attributes and f.kind.startswith("requisition.")
        )
        self.moments = [self._moment(f, own) for f in own]
        named = [f for f in own if f.application_id is None and f.people.get("recruiter")]
        for f in sorted(named, key=lambda f: (f.occurred_at, f.fact_id))[:1]:
            polled = minute_of(f.occurred_not_before) if f.occurred_not_before else None
            self.moments.append(Moment(minute_of(f.occurred_at), "recruiter.named", f.fact_id, {}, not_before=polled))
        if application is not None:
            self._interviews(interviews_of(own))
        self.moments.sort(key=lambda m: m.order)
        self.holders = self._hold(holders) if application is not None else bytearray()

    @staticmethod
    def _moment(fact: Fact, own: list[Fact]) -> Moment:
        said = dict(fact.attributes)
        undone = None
        person, actor = (KEYS.get(who or "", who) for who in (fact.person, fact.actor))
        if fact.kind == "scorecard.submitted":
            gone = [f for f in own if f.kind == "scorecard.deleted" and f.attributes["scorecard_id"] == said["scorecard_id"]]
            undone = min((minute_of(f.occurred_at) for f in gone), default=None)
            if actor is not None:
                said["own"] = actor == person
        not_before = minute_of(fact.occurred_not_before) if fact.occurred_not_before else None
        about = (fact.application_id, fact.interview_id, person, actor, not_before, undone)
        return Moment(minute_of(fact.occurred_at), fact.kind, fact.fact_id, said, *about)

    # -- interviews ------------------------------------------------------------------------------------------------------

    def _interviews(self, interviews: list[Interview]) -> None:
        """When interviews were booked, when they ended, and when the last scorecard of what is booked came in."""
        self.moments = [self._linked(m, interviews) if m.kind == "scorecard.submitted" else m for m in self.moments]
        owed: list[tuple[int, int | None, bool]] = []  # from, until, with a scorecard
        for interview in interviews:
            for n, version in enumerate(interview.booked):
                at = minute_of(version.occurred_at)
                told = () if n else [version.attributes.get(name) for name in ("created_at", "starts_at")]
                before = version.occurred_not_before
                polled = minute_of(before) if before and not any(when and minute_of(when) < at for when in told) else None
                at = min([at, *(minute_of(when) for when in told if when)])
                self._derive(at, "interview.booked", version.fact_id, interview.name, {"moved": n > 0}, polled)
            end, off = interview.ends, interview.off
            if end is None:
                self.seen.add("an interview without an end")
            if off is None and end is not None and end <= self.now:
                self._derive(end, "interview.ended", interview.name, interview.name, {"interviewers": interview.who})
            for person in interview.who:
                if off is not None:
                    owed.append((interview.first, off, False))
                elif end is not None:
                    cards = [m.minute for m in self._cards(interview.name, person)]
                    owed.append((min(interview.first, end), max(end, min(cards)) if cards else None, bool(cards)))
        self._complete(owed)

    def _cards(self, interview: str, person: str) -> list[Moment]:
        return [m for m in self.moments if (m.kind, m.interview, m.person) == ("scorecard.submitted", interview, person)]

    def _linked(self, card: Moment, interviews: list[Interview]) -> Moment:
        """The interview it names; else the one that lists it; else the interviewer's at the time it tells; else of the step it
        tells; else that had begun. Of several one that was not called off, that had begun, the last."""
        if card.interview is not None:
            return card
        name = card.said["scorecard_id"]
        mine = [i for i in interviews if card.person in i.who]
        told, step = card.said.get("interviewed_at"), card.said.get("interview_step_id")
        ways = {
            "by its listing": [i for i in interviews if name in i.cards],
            "by the interview's time": [i for i in mine if told is not None and i.starts == minute_of(told)],
            "by the step": [i for i in mine if step is not None and i.step == step],
            "to the last that began": [i for i in mine if i.starts is not None and i.starts <= card.minute],
        }
        for way, candidates in ways.items():
            if candidates:
                if len({i.name for i in candidates}) > 1 and any(i.called_off for i in candidates):
                    self.seen.add("a scorecard linked past an interview that was called off")
                chosen = max(candidates, key=lambda i: self._near(i, card.minute))
                self.seen.add(f"a scorecard linked {way}")
                return replace(card, interview=chosen.name, person=chosen.cards.get(name, card.person))
        return card

    @staticmethod
    def _near(interview: Interview, minute: int) -> tuple[bool, bool, int, str]:
        begun = interview.starts is not None and interview.starts <= minute
        at = interview.first if interview.starts is None else interview.starts
        return not interview.called_off, begun, at, interview.name

    def _complete(self, owed: list[tuple[int, int | None, bool]]) -> None:
        cards = 0
        for minute in sorted({m for begin, end, _ in owed for m in (begin, end) if m is not None and m <= self.now}):
            cards += sum(card for _, end, card in owed if end == minute)
            if cards and not any(begin <= minute and (end is None or end > minute) for begin, end, _ in owed):
                self._derive(minute, "feedback.completed", str(minute), None, {})
                cards = 0

    def _derive(
        self, at: int, kind: str, fact_id: str, interview: str | None, said: Stanza, not_before: int | None = None
    ) -> None:
        self.moments.append(Moment(at, kind, fact_id, said, self.application, interview, not_before=not_before))

    # -- who and what it was, at a minute ----------------------------------------------------------------------------------

    def pauses(self, stanza: Stanza) -> bytearray:
        """The minutes in which a stanza is paused."""
        found, paused, since = bytearray(self.now + 1), False, 0
        for moment in self.moments:
            if not paused and fits(stanza.get("pause", []), moment):
                paused, since = True, moment.minute
            elif paused and fits(stanza.get("resume", []), moment):
                paused = False
                found[since : moment.minute] = b"\x01" * (moment.minute - since)
        if paused:
            found[since:] = b"\x01" * (self.now + 1 - since)
        return found

    def _hold(self, rules: list[Stanza]) -> bytearray:
        """The holder of each minute as its place in HELD; 0 before the application is there."""
        found = bytearray()
        holder, paused, closed, begun, now = "talent_acquisition", False, False, False, 0
        for minute, together in groupby(self.moments, key=lambda m: m.minute):
            found += bytes([now]) * (minute - len(found))
            hits = []
            for moment in together:
                rule = next((r for r in rules if fits([r["when"]], moment)), None)
                if rule is not None:
                    over = rule["holder"] == OVER and moment.application is None  # as holds, in the order of kinds
                    hits.append((0 if over else RANK[rule["holder"]], rule["holder"], moment))
            for _, to, moment in sorted(hits, key=lambda hit: hit[0]):
                begun = begun or moment.application is not None
                if moment.kind in CAUSE and (closed or holder == OVER):
                    continue
                if to == "paused":
                    paused = True
                elif to == "resume":
                    paused = closed = False
                elif to == OVER and moment.application is None:
                    closed = True
                else:
                    holder = to
            state = OVER if closed or holder == OVER else ("paused" if paused else holder)
            now = HELD.index(state) if begun else 0
        return found + bytes([now]) * (self.now + 1 - len(found))

    def holder(self, minute: int) -> str | None:
        return HELD[self.holders[minute]] if self.holders else None

    def changes_of_holder(self) -> list[tuple[int, str, str | None]]:
        """When the ball went to whom: the side, and who had its role."""
        found: list[tuple[int, str, str | None]] = []
        for minute in sorted({m.minute for m in self.moments} | {minute for minute, _, _ in self.people}):
            holder = self.holder(minute)
            if holder is None:
                continue
            held = holder, self.who(SIDES.get(holder), minute)
            if not found or found[-1][1:] != held:
                found.append((minute, *held))
        return found

    def who(self, role: str | None, at: float) -> str | None:
        named = [(minute, people[role][0]) for minute, _, people in self.people if role and people.get(role)]
        before = [who for minute, who in named if minute <= at]
        ref = before[-1] if before else (named[0][1] if named else None)
        return KEYS.get(ref, ref) if ref else None

    def team(self, at: int, by: int | None = None) -> str | None:
        """Whose team it is at a minute, by the people file as it was at another."""
        manager = self.who("hiring_manager", at)
        told = person_at(manager, at if by is None else by)
        return str(told["team"]) if told else None

    def like(self, at: int, started: int) -> Stanza:
        """What the requisition was like: its own attributes, the latest of each; before the first fact what that says.

        Of the people file what was in force at the start of the clock.
        """
        told: Stanza = next((t for t in FILE["teams"] if t["key"] == self.team(at, started)), {})
        known = {"team": told.get("key"), "department": told.get("department"), "location": told.get("location")}
        for n, (minute, _, attributes) in enumerate(self.traits):
            if n == 0 or minute <= at:
                known.update(attributes)
        return known

    def changes(self, after: int, until: int) -> list[int]:
        """When what it is like may have changed."""
        minutes = {minute for minute, _, _ in self.traits}
        minutes |= {minute for minute, _, people in self.people if people.get("hiring_manager")}
        return sorted(minute for minute in minutes if after < minute <= until)
