"""The life of an application for tests/oracle.py, minute by minute: working time, what happened, who held the ball."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import yaml

from schemas.fact import FACT_KINDS, STAGES, Fact
from tests.stories import HERE

POLICY = yaml.safe_load((HERE.parent / "deploy/policy.yaml").read_text())
CALENDARS = {c["name"]: c for c in yaml.safe_load((HERE / "company/calendars.yaml").read_text())["calendars"]}
PEOPLE = {p["key"]: p for p in yaml.safe_load((HERE / "company/people.yaml").read_text())["people"]}
KEYS = {f"acme/{native}": key for key, person in PEOPLE.items() for native in person["identities"]["acme"]}
EPOCH = datetime(2026, 2, 1, tzinfo=UTC)  #: minute 0
HORIZON = 200 * 1440
MINUTE = timedelta(minutes=1)
ORDER: list[str] = list(FACT_KINDS)
CAUSE = {
    "recruiter.named": ("requisition.opened", "requisition.updated"),
    "interview.booked": ("interview.scheduled",),
    "interview.ended": ("interview.scheduled",),
    "feedback.completed": ("interview.scheduled", "scorecard.submitted"),
}
RANK = {"resume": 0, "talent_acquisition": 1, "hiring_manager": 2, "candidate": 3, "paused": 4, "nobody": 5}
SIDES = {"talent_acquisition": "recruiter", "hiring_manager": "hiring_manager"}
OVER = "nobody"


def minute_of(at: Any) -> int:
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return int((moment - EPOCH) // MINUTE)


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


def fits(conditions: list[dict[str, Any]], moment: Moment) -> bool:
    for condition in conditions:
        if condition["kind"] == moment.kind:
            wanted = condition.get("where", {})
            if all(moment.said.get(n) in (w if isinstance(w, list) else [w]) for n, w in wanted.items()):
                return True
    return False


# -- working time: every minute by itself --------------------------------------------------------------------------------


class Week:
    """The working minutes of one calendar without days of leave, and the local time of each minute."""

    def __init__(self, name: str, away: tuple[date, ...]) -> None:
        spec = CALENDARS[name]
        zone, region = ZoneInfo(spec["zone"]), spec["holidays"]
        free = holidays.country_holidays(region["country"], subdiv=region["region"], years=[2026])
        days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        self.local = [(EPOCH + m * MINUTE).astimezone(zone) for m in range(HORIZON)]
        self.works = bytearray(HORIZON)
        for minute, local in enumerate(self.local):
            if local.date() in free or local.date() in away:
                continue
            for window in spec["windows"].get(days[local.weekday()], ()):
                begin, end = window.split("-")
                self.works[minute] |= begin <= f"{local:%H:%M}" < end

    def opening(self, minute: int) -> int:
        while not self.works[minute]:
            minute += 1
        return minute

    def days_on(self, start: int, days: int) -> int:
        """The same local time on the n-th working day after the first opening."""
        minute = self.opening(start)
        clock, day = self.local[minute].time(), self.local[minute].date()
        while days:
            minute = self.opening(minute + 1)
            if self.local[minute].date() != day:
                day, days = self.local[minute].date(), days - 1
        while self.local[minute].time() < clock and self.works[minute]:
            minute += 1
        return minute

    def one_more(self, minute: int) -> int:
        return self.opening(minute) + 1


@lru_cache(maxsize=64)
def week(name: str, away: tuple[date, ...]) -> Week:
    return Week(name, away)


def week_of(person: str, known: int) -> Week:
    found: dict[str, Any] = PEOPLE.get(person, {})
    away: list[date] = []
    for leave in found.get("leave", ()):
        if minute_of(leave["learned_at"]) <= known:
            away += [leave["first"] + timedelta(days=n) for n in range((leave["last"] - leave["first"]).days + 1)]
    return week(found.get("calendar", "berlin"), tuple(away))


# -- what happened -------------------------------------------------------------------------------------------------------


class Life:
    """One application with its requisition, or (application None) the requisition alone, up to `now`."""

    def __init__(self, facts: list[Fact], application: str | None, now: int) -> None:
        self.application, self.now = application, now
        self.facts = [f for f in facts if minute_of(f.occurred_at) <= now]
        own = [f for f in self.facts if f.application_id in (None, application)]
        self.people = sorted((minute_of(f.occurred_at), f.fact_id, f.people) for f in own if f.people)
        self.moments = [self._moment(f, own) for f in own]
        named = [f for f in own if f.application_id is None and f.people.get("recruiter")]
        for f in sorted(named, key=lambda f: (f.occurred_at, f.fact_id))[:1]:
            self.moments.append(Moment(minute_of(f.occurred_at), "recruiter.named", f.fact_id, {}))
        if application is not None:
            self._interviews([f for f in own if f.interview_id])
        self.moments.sort(key=lambda m: m.order)
        self.paused = self._pauses()
        self.holders = self._hold() if application is not None else []

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

    def _interviews(self, facts: list[Any]) -> None:
        """When interviews were booked, when they ended, and when the last scorecard of what is booked came in."""
        owed: list[tuple[int, int | None, bool]] = []  # from, until, with a scorecard
        for interview in sorted({f.interview_id or "" for f in facts}):
            about = [f for f in facts if f.interview_id == interview]
            versions = sorted((f for f in about if f.kind == "interview.scheduled"), key=lambda f: (f.occurred_at, f.fact_id))
            if not versions:
                continue
            booked: list[Fact] = []
            for v in versions:
                if not booked or v.attributes["ends_at"] != booked[-1].attributes["ends_at"]:
                    booked.append(v)
            for n, v in enumerate(booked):
                at = minute_of(v.occurred_at)
                self._derive(at, "interview.booked", v.fact_id, interview, {"moved": n > 0})
            last, end = versions[-1], minute_of(versions[-1].attributes["ends_at"])
            called = [minute_of(f.occurred_at) for f in about if f.kind in ("interview.cancelled", "interview.no_show")]
            since = minute_of(booked[-1].occurred_at) if len(booked) > 1 else 0  # booked anew after it was called off
            off = [m for m in called if since <= m < end]
            who = [KEYS.get(w, w) for w in last.attributes["interviewers"]]
            if not off and end <= self.now:
                self._derive(end, "interview.ended", interview, interview, {"interviewers": who})
            for person in who:
                begin = min(minute_of(versions[0].occurred_at), end)
                if off:
                    owed.append((minute_of(versions[0].occurred_at), min(off), False))
                    continue
                cards = [
                    m.minute
                    for m in self.moments
                    if (m.kind, m.interview, m.person) == ("scorecard.submitted", interview, person)
                ]
                owed.append((begin, max(end, min(cards)) if cards else None, bool(cards)))
        self._complete(owed)

    def _complete(self, owed: list[tuple[int, int | None, bool]]) -> None:
        cards = 0
        for minute in range(min((b for b, _, _ in owed), default=self.now), self.now + 1):
            cards += sum(card for _, end, card in owed if end == minute)
            if cards and not any(begin <= minute and (end is None or end > minute) for begin, end, _ in owed):
                self._derive(minute, "feedback.completed", str(minute), None, {})
                cards = 0

    def _derive(self, at: int, kind: str, fact_id: str, interview: str | None, said: dict[str, Any]) -> None:
        self.moments.append(Moment(at, kind, fact_id, said, self.application, interview))

    def _pauses(self) -> bytearray:
        found, paused = bytearray(self.now + 1), 0
        at = {m.minute: [n for n in self.moments if n.minute == m.minute] for m in self.moments}
        for minute in range(min(at, default=self.now), self.now + 1):
            for moment in at.get(minute, ()):
                if moment.kind == "requisition.held":
                    paused = 1
                elif moment.kind in ("requisition.resumed", "requisition.reopened"):
                    paused = 0
            found[minute] = paused
        return found

    def _hold(self) -> list[str | None]:
        """The holder of each minute; None before the application is there."""
        first = min((m.minute for m in self.moments), default=self.now)
        found: list[str | None] = [None] * first
        holder, paused, closed, begun = "talent_acquisition", False, False, False
        at = {m.minute: [n for n in self.moments if n.minute == m.minute] for m in self.moments}
        for minute in range(first, self.now + 1):
            hits = []
            for moment in at.get(minute, ()):
                rule = next((r for r in POLICY["holders"] if fits([r["when"]], moment)), None)
                if rule is not None:
                    hits.append((RANK[rule["holder"]], rule["holder"], moment))
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
            now = OVER if closed or holder == OVER else ("paused" if paused else holder)
            found.append(now if begun else None)
        return found

    def who(self, role: str | None, at: int) -> str | None:
        named = [(minute, people[role][0]) for minute, _, people in self.people if role and people.get(role)]
        before = [who for minute, who in named if minute <= at]
        ref = before[-1] if before else (named[0][1] if named else None)
        return KEYS.get(ref, ref) if ref else None
