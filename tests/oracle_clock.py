"""The clocks of one stanza in a life and what a target makes of one, for tests/oracle.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle_life import CAUSE, HELD, OVER, SIDES, Life, Moment, Stanza, fits
from tests.oracle_week import HORIZON, Week, minute_of, run, week_of


@dataclass
class Clock:
    stanza: Stanza
    cycle: int
    start: Moment
    started: int
    stops: list[Moment]
    cancel: Moment | None
    person: str | None = None


class Policy:
    """The raw stanzas: which of a name is in force when, and what another one waits for."""

    def __init__(self, raw: Stanza) -> None:
        self.holders: list[Stanza] = raw["holders"]
        self.stanzas = [c for c in raw["commitments"] if c.get("enabled", True)]

    def in_force(self, name: str, minute: int) -> Stanza | None:
        begun = [c for c in self.stanzas if c["name"] == name and self.since(c) <= minute]
        return max(begun, key=self.since, default=None)

    @staticmethod
    def since(stanza: Stanza) -> int:
        at = stanza.get("effective_from")
        return -HORIZON if at is None else minute_of(at)

    def waits(self, stanza: Stanza, minute: int) -> list[list[Stanza]]:
        """What a clock that starts then waits for: its own conditions, and the stop of the other promise as it is by then."""
        versions = [c for c in self.stanzas if c["name"] == stanza["name"]]
        stanza = self.in_force(stanza["name"], minute) or min(versions, key=self.since)
        named, other = stanza.get("contingent_on"), []
        if named:
            oldest = min((c for c in self.stanzas if c["name"] == named), key=self.since)
            other = [(self.in_force(named, minute) or oldest)["stop"]]
        return [[condition] for condition in stanza.get("requires", [])] + other


def clocks(stanza: Stanza, life: Life, policy: Policy) -> Iterator[Clock]:
    """Every clock of the stanza, whichever version of it judges then."""
    moments = life.moments

    def waited(start: Moment) -> int | None:
        firsts = [next((m.minute for m in moments if fits(group, m)), None) for group in policy.waits(stanza, start.minute)]
        return None if None in firsts else max([0, *(minute for minute in firsts if minute is not None)])

    cancels = [m for m in moments if fits(stanza.get("cancel", []), m) and about(stanza, m)]
    starts = [m for m in moments if fits(stanza["start"], m) and not _dead(stanza, life, m)]
    if stanza["subject"] == "interviewer":
        for start in starts:
            since = waited(start)
            if since is None:
                continue
            off = [m for m in cancels if m.order > start.order and m.interview in (None, start.interview)]
            for person in start.said["interviewers"]:
                given = [m for m in moments if fits(stanza["stop"], m) and (m.interview, m.person) == (start.interview, person)]
                yield Clock(stanza, 1, start, max(start.minute, since), given, off[0] if off else None, person)
        return
    delays: dict[str, Stanza] = {}
    if stanza.get("cycles") == "once":
        preferred = next((c for c in stanza["start"] if any(fits([c], m) for m in starts)), None)
        starts = [m for m in starts if preferred and fits([preferred], m)][:1]
        delays = {m.fact_id: preferred["delay"] for m in starts if preferred and preferred.get("delay")}
    for clock in _in_turn(stanza, life, starts, cancels):
        if clock.start.fact_id in delays:
            clock.started = _week(stanza, life, clock.started).days_on(
                clock.started, delays[clock.start.fact_id]["business_days"]
            )
        since = waited(clock.start)
        if since is not None:
            clock.started = max(clock.started, since)
            yield clock


def _in_turn(stanza: Stanza, life: Life, starts: list[Moment], cancels: list[Moment]) -> Iterator[Clock]:
    """The clock that runs is ended by the first stop or cancel; what starts meanwhile is not heard, or starts it anew."""
    running: Clock | None = None
    cycle = 0
    for moment in life.moments:
        if running is not None and moment.order > running.start.order:
            stops = fits(stanza["stop"], moment) and stanza["subject"] != "requisition"
            if stops or moment in cancels:
                running.stops, running.cancel = ([moment], None) if stops else ([], moment)
                yield running
                running = None
                if stanza.get("cycles") != "repeats":
                    continue
            elif stanza.get("cycles") == "latest" and moment in starts:
                running.start, running.started = moment, moment.minute
                life.seen.add("a clock started anew by a later start")
        if running is None and moment in starts:
            cycle += 1
            running = Clock(stanza, cycle, moment, moment.minute, [], None)
    if running is not None:
        yield running


def _week(stanza: Stanza, life: Life, minute: int) -> Week:
    owner = life.who(stanza["owner"], minute) or life.who(stanza.get("fallback_owner"), minute) or "unassigned"
    return week_of(owner, life.team(minute), minute, minute)


def about(stanza: Stanza, moment: Moment) -> bool:
    """A declined request may name the one commitment that it is about."""
    return moment.kind != "request.declined" or moment.said.get("commitment") in (None, stanza["name"])


def _dead(stanza: Stanza, life: Life, moment: Moment) -> bool:
    """What is over starts nothing: no derived moment, and no further silence."""
    if moment.kind not in CAUSE and stanza.get("cycles") != "repeats":
        return False
    return life.holder(moment.minute) == OVER


def standing(stanza: Stanza, life: Life, until: int, *, ended: bool) -> bytearray:
    """The minutes in which a clock of the stanza stands still; none from its end on."""
    found = life.pauses(stanza) if stanza.get("pause") else bytearray(life.now + 1)
    if stanza.get("clock") == "holder" and life.holders:
        sides = tuple(SIDES) if stanza["side"] == "holder" else (stanza["side"],)
        still = life.holders.translate(bytes(0 < n < len(HELD) and HELD[n] not in sides for n in range(256)))
        both = int.from_bytes(found, "big") | int.from_bytes(still, "big")
        found = bytearray(both.to_bytes(len(found), "big"))
    if ended:
        found[until:] = bytes(len(found) - until)
    return found


def later(due: Fraction, minutes: int, counts: bytearray) -> Fraction:
    """The deadline so many counted minutes later."""
    whole, part = divmod(due, 1)
    return run(whole, minutes + part, counts) if minutes else due


def without(counts: bytearray, still: bytearray, start: int, until: int) -> bytearray:
    """The counted minutes of [start, until) in which the clock does not stand still."""
    both = (int.from_bytes(them[start:until], "big") for them in (counts, still))
    return bytearray((next(both) & ~next(both)).to_bytes(until - start, "big"))


@dataclass
class Course:
    """One target on its way, from `begin` on: when it is due, and warned of, if the clock stands still in no minute since."""

    target: Stanza
    begin: int
    counts: bytearray
    base: int  #: due if it never stood still
    total: int  #: minutes that the target takes
    due: Fraction
    used: Fraction = field(default_factory=Fraction)  #: the share that was gone at `begin`

    @property
    def moves(self) -> bool:
        return "until" not in self.target


class Terms:
    """The target of one clock and its changes: the deadline, and the moment of the warning."""

    def __init__(self, stanza: Stanza, clock: Clock, life: Life, week: Week, until: int, *, ended: bool) -> None:
        self.stanza, self.life, self.week, self.said = stanza, life, week, clock.start.said
        self.started = clock.started
        self.still = standing(stanza, life, until, ended=ended)
        self.course = self._fresh(self._target(clock.started), clock.started)
        if stanza.get("targets") and stanza.get("on_change", "pinned") != "pinned":
            self._follow(clock.started, until)
        moved, stands = self._moved(until)
        self.deadline: Fraction | None = None if stands else moved
        self.stood = ended and until > clock.started and bool(self.still[until - 1]) and moved >= until
        self.base = self.course.base

    def _target(self, minute: int) -> Stanza:
        like = self.life.like(minute, self.started)
        for place, rule in enumerate(self.stanza.get("targets", [])):
            if all(like.get(name) in (w if isinstance(w, list) else [w]) for name, w in rule["when"].items()):
                self.life.seen |= {f"the target of rule {place + 1}", *(f"a target by {name}" for name in rule["when"])}
                return dict(rule["target"])
        if self.stanza.get("targets"):
            self.life.seen.add("no rule of the targets")
        return dict(self.stanza["target"])

    def _fresh(self, target: Stanza, start: int) -> Course:
        counts, base = self.week.counted(target), self.week.due(start, target, self.said)
        self.life.seen.add(f"a target in {next(iter(target))}")
        return Course(target, start, counts, base, sum(counts[start:base]), Fraction(base))

    def _follow(self, start: int, until: int) -> None:
        how = self.stanza["on_change"]
        for minute in self.life.changes(start, until):
            due, stands = self._moved(minute)
            if not stands and due <= minute:
                self.life.seen.add("a change after the deadline")
                return
            target, old = self._target(minute), self.course
            if target == old.target:
                continue
            self.life.seen.add(f"a target changed {how}")
            self.course = self._fresh(target, minute if how == "reset" else start)
            if how == "forward":
                if old.used:
                    self.life.seen.add("a target changed forward twice")
                gone = old.used + Fraction(self._ran(old, minute), old.total)
                new = self.course
                new.used, new.begin = min(Fraction(1), gone), minute
                new.due = run(minute, new.total * (1 - new.used), new.counts)

    def _ran(self, course: Course, until: int) -> int:
        """Minutes of a target that ran until then."""
        return without(course.counts, self.still, course.begin, until).count(1)

    def _moved(self, until: int) -> tuple[Fraction, bool]:
        """The deadline as of a minute: each counted minute in which the clock stood still, from before the deadline on, moves it;
        and whether it stands still."""
        course, due, at = self.course, self.course.due, self.course.begin
        while course.moves:
            first = self.still.find(1, at, until + 1)
            if first < 0 or first >= due:
                break
            last = self.still.find(0, first, until + 1)
            end = until if last < 0 else last
            due = later(due, course.counts.count(1, first, end), course.counts)
            due = Fraction(self.week.opening(end)) if due < end else due  # no time left, and nobody works
            if last < 0:
                return due, True
            at = last
        return due, False

    def soon(self) -> Fraction | None:
        """When the agreed share of the target (of what was left of it) has run; None if the clock stands still before."""
        course, share = self.course, Fraction(self.stanza.get("warn_at", 0.75))
        if not course.moves:
            return course.begin + (course.base - course.begin) * share
        runs, size = bytearray(course.counts), len(self.still)
        runs[course.begin : size] = without(course.counts, self.still, course.begin, size)
        found = run(course.begin, course.total * (1 - course.used) * share, runs)
        return None if found > self.life.now and self.still[-1] else found

    def worked(self, start: int, until: int) -> int:
        """Working minutes in which the clock ran."""
        return without(self.week.works, self.still, start, until).count(1)
