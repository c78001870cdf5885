"""What is published of a judged obligation: its body with the receipt, and the fingerprint that tells whether it is news.

Pure. A body is built only when it is news or when somebody asks; the fingerprint is cheap and covers everything the body
says, but for the running totals that change with every tick.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from schemas.outcome import ApplicationState, Obligation, Verdict
from streams.agreement import Agreement
from streams.deadline import MICROSECOND
from streams.event import Event
from streams.history import first_after
from streams.holders import Hold, ended_at
from streams.life import Life
from streams.standstill import Piece, pieces
from streams.verdict import Judged

Body = dict[str, Any]  #: as `schemas.outcome` has it, without what is None
HOUR_US = 3_600_000_000
OPTIONAL = ("application_id", "interview_id", "due_soon_at", "deadline", "ended_at")  #: of an obligation's body


class Said:
    """One obligation with everything that its receipt rests on."""

    __slots__ = ("_agreement", "_life", "judged")

    def __init__(self, judged: Judged, life: Life, agreement: Agreement) -> None:
        self.judged = judged
        self._life = life
        self._agreement = agreement

    @property
    def subject(self) -> str:
        return self.judged.obligation_id

    @property
    def fingerprint(self) -> str:
        """Equal for what says the same, running totals apart; the same on every machine."""
        judged, life = self.judged, self._life
        clock, ruling, terms = judged.clock, judged.ruling, judged.owed.terms
        at, when = clock.started_at, terms.when
        parts: list[object] = [
            self._agreement.stamp,
            clock.promise.version,
            judged.side,
            judged.owner,
            *life.parties(at),
            ruling.verdict,
            ruling.reason,
            ruling.uncertain,
            clock.start.backfill,
            at,
            when.due_soon_at,
            judged.deadline,
            terms.calendar.name,
            terms.calendar_source,
            terms.calendar.version,
            terms.target.text,
            [(role, event.event_id, event.at, *event.because) for role, event in _evidence(judged)],
        ]
        if ruling.ended is not None:  # what an end pins down: before it all of this moves with the clock
            held = [(h.start, h.holder) for h in life.during(at, judged.until)]
            parts += [judged.until, when.base, when.extended_us, terms.started_at, judged.owed.gaps, held]
        return _hash(parts)

    def body(self) -> Body:
        """The obligation as it is published."""
        judged, life = self.judged, self._life
        clock, ruling, terms = judged.clock, judged.ruling, judged.owed.terms
        promise, at, when = clock.promise, clock.started_at, terms.when
        cut = [
            (piece, terms.calendar.working_us(piece[0], piece[1]))
            for piece in pieces(life, at, judged.until, judged.owed.gaps, judged.side)
        ]
        team, recruiter, manager = life.parties(at)
        business_us = sum(us for piece, us in cut if piece[2] == "running")
        found: Body = {
            "type": "obligation",
            "obligation_id": judged.obligation_id,
            "tenant": life.tenant,
            "commitment": promise.name,
            "commitment_version": promise.version,
            "side": judged.side,
            "owner": judged.owner,
            "team": team,
            "recruiter": recruiter,
            "hiring_manager": manager,
            "requisition_id": life.requisition_id,
            "application_id": life.application_id,
            "interview_id": clock.interview_id,
            "verdict": ruling.verdict,
            "reason": ruling.reason,
            "started_at": at,
            "due_soon_at": when.due_soon_at if not promise.judges_quality else None,
            "deadline": judged.deadline,
            "ended_at": judged.ended_at,
            "elapsed_us": (judged.until - at) // MICROSECOND,
            "business_us": business_us,
            "uncertain": ruling.uncertain,
            "backfill": clock.start.backfill,
            "receipt": {
                "facts": _facts(judged),
                "intervals": [_interval(piece, us, judged) for piece, us in cut],
                "calendar": terms.calendar.name,
                "calendar_source": terms.calendar_source,
                "calendar_version": terms.calendar.version,
                "policy_version": self._agreement.policy_version,
                "people_version": self._agreement.people.version_at(at),
                "zone": terms.calendar.zone,
                "target": terms.target.text,
                "arithmetic": _arithmetic(judged, business_us),
            },
        }
        for name in OPTIONAL:
            if found[name] is None:
                del found[name]
        return found

    def obligation(self) -> Obligation:
        """The same, as the agreed model."""
        return Obligation.model_validate(self.body())


class Held:
    """The holders of one application, as they are published."""

    __slots__ = ("_life",)

    def __init__(self, life: Life) -> None:
        self._life = life

    @property
    def subject(self) -> str:
        return self._life.application_id or ""

    @property
    def fingerprint(self) -> str:
        life = self._life
        holdings = [(h.start, h.holder, h.person, h.cause, h.state) for h in life.holdings]
        return _hash([life.roster.team(life.holdings[0].start), self._opened_at, self._accepted_at, holdings])

    def body(self) -> Body:
        """The application as it is published."""
        life = self._life
        first, last = life.holdings[0], life.holdings[-1]
        found = {
            "type": "application",
            "tenant": life.tenant,
            "application_id": life.application_id,
            "requisition_id": life.requisition_id,
            "team": life.roster.team(first.start),
            "state": last.state,
            "created_at": first.start,
            "ended_at": ended_at(life.holdings),
            "requisition_opened_at": self._opened_at,
            "accepted_at": self._accepted_at,
            "holdings": [_holding(hold) for hold in life.holdings],
        }
        return {name: value for name, value in found.items() if value is not None}

    def state(self) -> ApplicationState:
        """The same, as the agreed model."""
        return ApplicationState.model_validate(self.body())

    @property
    def _opened_at(self) -> datetime | None:
        return self._first("requisition.opened")

    @property
    def _accepted_at(self) -> datetime | None:
        """When the offer that stands was accepted, or else when the candidate was hired; None of a hire that was taken back."""
        history = self._life.history
        taken_back = history.of_kind("application.unhired")
        if not taken_back:
            return self._first("offer.accepted") or self._first("application.hired")
        accepted = history.of_kind("offer.accepted")
        again = first_after(accepted, taken_back[-1].key)
        rehired = first_after(history.of_kind("application.hired"), taken_back[-1].key)
        if again is None and rehired is not None:  # by the offer there was
            again = accepted[-1] if accepted else rehired
        return None if again is None else again.at

    def _first(self, kind: str) -> datetime | None:
        found = self._life.history.of_kind(kind)
        return found[0].at if found else None


def _hash(parts: list[object]) -> str:
    return hashlib.blake2b(orjson.dumps(parts), digest_size=8).hexdigest()


def _holding(hold: Hold) -> Body:
    found = {"start": hold.start, "holder": hold.holder, "cause": hold.cause, "state": hold.state}
    if hold.end is not None:
        found["end"] = hold.end
    if hold.person is not None:
        found["person"] = hold.person
    return found


def _interval(piece: Piece, business_us: int, judged: Judged) -> Body:
    start, end, state, holder = piece
    found = {"start": start, "end": end, "state": state, "holder": holder, "business_us": business_us}
    if end == judged.until and judged.ruling.ended is None:  # still going on
        del found["end"]
    return found


def _evidence(judged: Judged) -> list[tuple[str, Event]]:
    """The events a verdict rests on, each with its role."""
    clock, ruling = judged.clock, judged.ruling
    told = [("start", clock.start)]
    for event in clock.required:
        told.append(("requires", event))
    if ruling.ended is not None:
        cancels = ruling.ended is clock.cancel or ruling.verdict == Verdict.CANCELLED
        told.append(("cancel" if cancels else "stop", ruling.ended))
    return told


def _facts(judged: Judged) -> list[Body]:
    roles = _evidence(judged)
    told = [{"role": role, "event_id": e.event_id, "kind": e.kind, "occurred_at": e.at} for role, e in roles]
    for _, e in roles:
        told += [{"role": "because", "event_id": fact, "kind": e.kind, "occurred_at": e.at} for fact in e.because]
    return told


def _arithmetic(judged: Judged, running_us: int) -> list[str]:
    """The steps from the start to the verdict, one a line, in the debtor's time zone."""
    clock, ruling, terms = judged.clock, judged.ruling, judged.owed.terms
    zone, when, started_at = terms.calendar.tz, terms.when, clock.started_at
    waited = next((e for e in clock.required if e.at == started_at > clock.start.at), None)
    once = f", once {waited.kind} was there" if waited else ""
    lines = [f"started {_local(started_at, zone)} with {clock.start.kind}{once}"]
    if terms.started_at != started_at:
        lines.append(f"started anew {_local(terms.started_at, zone)}, when the requisition changed")
    lines.append(f"{terms.target.text} on {terms.calendar.name} ends {_local(when.base, zone)}")
    if when.extended_us:
        lines.append(f"moved by {when.extended_us / HOUR_US:.4f} hours in which the clock stood still")
    lines.append(f"deadline {_local(when.deadline, zone)}" if when.deadline else "no deadline while the clock stands still")
    if ruling.ended is not None:
        lines.append(f"{ruling.ended.kind} at {_local(ruling.ended.at, zone)}")
    lines.append(f"working time that counted: {running_us / HOUR_US:.4f} hours")
    lines.append(f"{ruling.verdict}: {ruling.reason}")
    return lines


@lru_cache(maxsize=4096)  # the obligations of one application tell of the same instants
def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
