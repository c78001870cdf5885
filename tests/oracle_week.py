"""Working time for tests/oracle.py: every minute by itself, read off the clock on the wall; it knows only `zoneinfo`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import yaml

from tests.stories import HERE

CALENDARS = yaml.safe_load((HERE / "company/calendars.yaml").read_text())["calendars"]
FILE = yaml.safe_load((HERE / "company/people.yaml").read_text())
KEYS = {f"acme/{native}": p["key"] for p in FILE["people"] for native in p.get("identities", {}).get("acme", ())}
EPOCH = datetime(2026, 2, 1, tzinfo=UTC)  #: minute 0
HORIZON = 200 * 1440
MINUTE = timedelta(minutes=1)
ALWAYS = bytearray(b"\x01") * HORIZON
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def minute_of(at: Any) -> int:
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return int((moment - EPOCH) // MINUTE)


class Week:
    """The working minutes of one version of a calendar without days of leave, and the local time of each minute."""

    def __init__(self, name: str, version: int, away: tuple[date, ...]) -> None:
        self.name, self.version = name, version
        spec = [c for c in CALENDARS if c["name"] == name][version]
        self.zone, region = ZoneInfo(spec["zone"]), spec["holidays"]
        free = holidays.country_holidays(region["country"], subdiv=region["region"], years=[2026])
        self.local = [(EPOCH + m * MINUTE).astimezone(self.zone) for m in range(HORIZON)]
        self.works = bytearray(HORIZON)
        for minute, local in enumerate(self.local):
            if local.date() in free or local.date() in away:
                continue
            for window in spec["windows"].get(DAYS[local.weekday()], ()):
                begin, end = window.split("-")
                self.works[minute] |= begin <= f"{local:%H:%M}" < end

    def counted(self, target: dict[str, Any]) -> bytearray:
        """The minutes that count for a target: working ones, or all."""
        return self.works if "business_days" in target or "business_hours" in target else ALWAYS

    def due(self, start: int, target: dict[str, Any], said: dict[str, Any]) -> int:
        """When a target is due whose clock never stands still."""
        ((unit, value),) = target.items()
        if unit == "business_days":
            return self.days_on(start, value)
        if unit == "calendar_days":
            return self._same_time(start, value)
        if unit == "until":
            told = said.get(value)
            if told is None:
                return start
            return max(start, self._first_minute(date.fromisoformat(told)) if len(told) == 10 else minute_of(told))
        return int(run(start, Fraction(value) * 60, self.counted(target)))

    def opening(self, minute: int) -> int:
        while not self.works[minute]:
            minute += 1
        return minute

    def days_on(self, start: int, days: int) -> int:
        """The same local time on the n-th working day after the first opening; outside that day's windows at the last working
        instant before it, else at the next opening."""
        minute = self.opening(start)
        clock, day = self.local[minute].time(), self.local[minute].date()
        while days:
            minute = self.opening(minute + 1)
            if self.local[minute].date() != day:
                day, days = self.local[minute].date(), days - 1
        last = None
        for candidate in range(minute, minute + 1500):
            if self.local[candidate].date() != day or self.local[candidate].time() > clock:
                break
            if self.works[candidate] or (candidate > minute and self.works[candidate - 1]):
                last = candidate
        return minute if last is None else last

    def _same_time(self, start: int, days: int) -> int:
        """The same local time some days later: the end of the gap where spring skips it, the first pass where autumn doubles."""
        day, clock = self.local[start].date() + timedelta(days=days), self.local[start].time()
        minute = self._first_minute(day)
        while self.local[minute].time() < clock and self.local[minute].date() == day:
            minute += 1
        return minute

    def _first_minute(self, day: date) -> int:
        minute = max(0, minute_of(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 1440)
        while self.local[minute].date() < day:
            minute += 1
        return minute


def run(start: int, minutes: Fraction, counts: bytearray) -> Fraction:
    """When so many counted minutes have passed, the last one perhaps in part; `start` for none."""
    if minutes <= 0:
        return Fraction(start)
    whole, part = divmod(minutes, 1)
    at = start - 1
    for _ in range(whole):
        at = counts.index(1, at + 1)
    return counts.index(1, at + 1) + part if part else Fraction(at + 1)


@lru_cache(maxsize=128)
def week(name: str, version: int, away: tuple[date, ...]) -> Week:
    return Week(name, version, away)


def person_at(key: str | None, minute: int) -> dict[str, Any]:
    """What the people file says of somebody: the last stanza whose date has come, before the first the first; {} if nothing."""
    stanzas = [p for p in FILE["people"] if p["key"] == key]
    begun = [p for p in stanzas if minute_of(p.get("effective_from", EPOCH)) <= minute]
    found: dict[str, Any] = (begun or stanzas[:1] or [{}])[-1]
    return found


@lru_cache(maxsize=4096)
def week_of(person: str, team: str | None, start: int, known: int) -> Week:
    """The calendar of who owes: their own, their team's, their location's, their team's location's, the company's; for somebody
    unknown the hiring team's. Of its versions the one in force at the start; without the leave learned by `known`."""
    found = person_at(person, start)
    its: dict[str, Any] = next((t for t in FILE["teams"] if t["key"] == found.get("team", team)), {})
    places = {place["key"]: place["calendar"] for place in FILE["locations"]}
    located = (places[one["location"]] for one in (found, its) if one.get("location"))
    named = [found.get("calendar"), its.get("calendar"), *located, FILE["company"]["calendar"]]
    name = next(n for n in named if n)
    since = [minute_of(c.get("effective_from", EPOCH)) for c in CALENDARS if c["name"] == name]
    away: list[date] = []
    for leave in (leave for p in FILE["people"] if p["key"] == person for leave in p.get("leave", ())):
        if minute_of(leave["learned_at"]) <= known:
            away += [leave["first"] + timedelta(days=n) for n in range((leave["last"] - leave["first"]).days + 1)]
    return week(name, max(sum(at <= start for at in since) - 1, 0), tuple(away))
