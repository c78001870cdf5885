"""Wall clocks: which instants lie behind the local times of one date, daylight saving included.

Pure. Instants are whole microseconds since 1970 UTC inside; zones are the IANA database's, through `zoneinfo`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.errors import InvalidConfiguration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

#: Disjoint spans in order, each (begin, end), microseconds since 1970 UTC.
Spans = tuple[tuple[int, int], ...]
#: Stretches of constant UTC offset: (first, last, offset), microseconds.
Stretches = tuple[tuple[int, int, int], ...]


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant, exactly. Raises TypeError if it has no zone."""
    delta = instant - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def instant_of(us: int) -> datetime:
    """The aware UTC instant so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=us)


def instant_told(text: str) -> datetime:
    """The UTC instant that an attribute tells in ISO 8601. Raises ValueError where it has no zone: nobody can say when it was."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at.astimezone(UTC)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises InvalidConfiguration if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidConfiguration([f"{name!r} is not an IANA time zone such as Europe/Berlin"]) from None


def window_micros(window: str) -> tuple[int, int]:
    """`09:00-12:30` as microseconds of the wall clock since midnight."""
    begin, _, end = window.partition("-")
    first, last = ((int(part[:2]) * 60 + int(part[3:])) * 60 * SECOND for part in (begin, end))
    return first, last


def instant_at(tz: ZoneInfo, day: date, wall: time) -> int:
    """The instant of a local time: its first pass where autumn doubles it, the end of the gap where spring skips it."""
    reading = _reading(day, wall)
    stretches = stretches_of(tz, day)
    for first, last, offset in stretches:
        if reading - offset < last:
            return max(first, reading - offset)  # before the stretch: skipped by the gap that ends where it begins
    return stretches[-1][1]  # a date that the zone left out


def spans_of(tz: ZoneInfo, day: date, windows: tuple[tuple[int, int], ...]) -> Spans:
    """The instants at which the wall clock reads `day` and a time inside `windows` (begin and end since midnight)."""
    if not windows:
        return ()
    midnight = _reading(day)
    found: list[tuple[int, int]] = []
    for first, last, offset in stretches_of(tz, day):
        for begin, end in windows:
            span = max(first, midnight + begin - offset), min(last, midnight + end - offset)
            if span[0] < span[1]:
                found.append(span)
    return _joined(sorted(found))


@lru_cache(maxsize=65_536)
def stretches_of(tz: ZoneInfo, day: date) -> Stretches:
    """The stretches of constant offset that cover every reading of a local date."""
    midnight = _reading(day)
    offsets = [
        _micros(datetime(at.year, at.month, at.day, tzinfo=tz, fold=fold).utcoffset())
        for at in (day, day + timedelta(days=1))
        for fold in (0, 1)
    ]
    first, last = midnight - max(offsets), midnight + DAY - min(offsets)
    if min(offsets) == max(offsets):
        return ((first, last, offsets[0]),)
    found: list[tuple[int, int, int]] = []
    while first < last:
        offset = _offset(tz, first)
        end = _change(tz, first, last, offset)
        found.append((first, end, offset))
        first = end
    return tuple(found)


def _change(tz: ZoneInfo, first: int, last: int, offset: int) -> int:
    """The first instant in (first, last), to the second, with another offset than `first` has; `last` if there is none."""
    probe = first
    while _offset(tz, probe) == offset:
        if probe >= last:
            return last
        first, probe = probe, min(probe + HOUR, last)
    low, high = first // SECOND, probe // SECOND  # changes of a zone fall on whole seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(tz, middle * SECOND) == offset:
            low = middle
        else:
            high = middle
    return high * SECOND


def _joined(spans: list[tuple[int, int]]) -> Spans:
    """Sorted spans, touching ones as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return tuple(joined)


def _reading(day: date, wall: time = time()) -> int:
    """What the wall clock reads, as if it were UTC."""
    return micros(datetime.combine(day, wall, tzinfo=UTC))


def _offset(tz: ZoneInfo, us: int) -> int:
    return _micros(instant_of(us).astimezone(tz).utcoffset())


def _micros(delta: timedelta | None) -> int:
    assert delta is not None, "an aware time has an offset"
    return (delta.days * 86_400 + delta.seconds) * SECOND
