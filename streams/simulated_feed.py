"""What the simulated company's vendor sends and its extractor polls, and when: requests in order of arrival. Pure and seeded.

In: a history (`streams/simulation.py`). Out: deliveries, each with the simulated instant at which it arrives. A webhook comes
seconds after what it tells, but some come again (the vendor missed our answer) and some only at a retry hours later, behind
what happened since. Interviews, scorecards and the rest are polled every few hours with the time up to which they are complete.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from random import Random
from typing import Literal

import orjson

from streams.simulated_company import ACCOUNT
from streams.simulated_story import Happening, What
from streams.simulated_vendor import RECORD_TYPES, Vendor
from streams.simulation import History

#: When Greenhouse tries again after an attempt that failed (its documented schedule, first five).
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (1, 16, 76, 196, 436))
LATE_SHARE, DUPLICATE_SHARE = 0.015, 0.03
#: UTC hours of the polls; at weekends only the last of them.
POLL_HOURS = (4, 8, 12, 16, 20)
#: Changes of these are told by webhooks too, so that a poll each night suffices, or one each Sunday night.
NIGHTLY = frozenset({"jobs", "offers"})
WEEKLY = frozenset({"applications"})

#: What people report by POST /facts, since Greenhouse has no word for it.
REPORTED: Mapping[What, str] = {
    What.RECRUITER_ASSIGNED: "requisition.recruiter_assigned",
    What.INTAKE_HELD: "requisition.intake_held",
    What.HELD: "requisition.held",
    What.RESUMED: "requisition.resumed",
    What.DECLINED: "request.declined",
    What.AVAILABILITY_REQUESTED: "availability.requested",
    What.AVAILABILITY_GIVEN: "availability.given",
}
#: UTC hours at which the company's mail gateway reports what went out to candidates since.
MAIL_HOURS = (2, 5, 8, 11, 14, 17, 20, 23)
#: Their webhooks say nothing of when it happened.
TIMELESS = frozenset({What.JOB_APPROVED, What.UNREJECTED, What.INTERVIEW_DELETED, What.OFFER_APPROVED})
Channel = Literal["webhook", "records", "fact"]
Kind = Literal["plain", "duplicate", "late", "ping", "unknown", "broken", "forged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One HTTP request to the gateway. Requests of one lane are sent one after the other."""

    at: datetime
    channel: Channel
    lane: str
    body: bytes
    kind: Kind = "plain"
    event_id: str = ""  #: webhooks: Greenhouse's delivery id
    record_type: str = ""
    records: int = 1  #: facts or polled records in it
    complete_until: datetime | None = None
    identity: str = ""  #: facts: whose bearer token
    timeless: bool = False  #: webhooks that carry no time of what they tell: it happened when they are received


def feed(
    history: History, vendor: Vendor, reporters: Mapping[str, str], approver: str, mail_gateway: str, seed: int
) -> list[Delivery]:
    """All deliveries of a history, in order of arrival up to its end.

    `reporters` maps a team to the identity (deploy/sources.yaml) that reports facts for it; teams without one report nothing.
    `approver` and `mail_gateway` are identities, too.
    """
    dice = Random(seed + 1)  # noqa: S311 - a simulation, not a secret
    deliveries: list[Delivery] = []
    for happening in history.happenings:
        if happening.what in REPORTED:
            deliveries += reported(vendor, happening, reporters)
        for lane, body in vendor.tell(happening):
            deliveries += delivered(happening, lane, body, dice)
    deliveries += sign_of_life(history, vendor)
    deliveries += noise(history, dice)
    deliveries += exception(history, vendor, reporters, approver)
    deliveries += mails(history, mail_gateway)
    deliveries += polls(history, vendor, dice)
    return sorted((delivery for delivery in deliveries if delivery.at <= history.end), key=lambda delivery: delivery.at)


def delivered(happening: Happening, lane: str, body: bytes, dice: Random) -> Iterator[Delivery]:
    """The deliveries of one webhook: mostly one, after seconds."""
    at, timeless = happening.at, happening.what in TIMELESS
    arrival = at + timedelta(milliseconds=dice.randrange(700, 6000))
    event_id = f"{dice.getrandbits(128):032x}"
    if dice.random() < LATE_SHARE:
        late = at + dice.choice(RETRIES)
        yield Delivery(at=late, channel="webhook", lane=lane, body=body, event_id=event_id, kind="late", timeless=timeless)
        return
    yield Delivery(at=arrival, channel="webhook", lane=lane, body=body, event_id=event_id, timeless=timeless)
    if dice.random() < DUPLICATE_SHARE:
        again = arrival + dice.choice(RETRIES)
        yield Delivery(at=again, channel="webhook", lane=lane, body=body, event_id=event_id, kind="duplicate")


def reported(vendor: Vendor, happening: Happening, reporters: Mapping[str, str]) -> Iterator[Delivery]:
    """A fact that somebody of the recruiter's team types in, some minutes after it happened."""
    identity = reporters.get(vendor.team(happening.requisition.recruiter) or "")
    if identity is None:
        return
    fact = said(happening, REPORTED[happening.what])
    if happening.reason:
        fact["attributes"] = {"reason_code": happening.reason, "request": "candidates under 35 only"}
    yield told(happening.at + timedelta(minutes=4), identity, fact)


def said(happening: Happening, kind: str) -> dict[str, object]:
    """The body of POST /facts for a happening."""
    fact: dict[str, object] = {
        "kind": kind,
        "occurred_at": happening.at.isoformat(),
        "requisition_id": f"{ACCOUNT}/{happening.requisition.id}",
    }
    if happening.application:
        fact["application_id"] = f"{ACCOUNT}/{happening.application.id}"
    return fact


def mails(history: History, identity: str) -> Iterator[Delivery]:
    """What the company's mail gateway reports every few hours: that a candidate was written to, not what or to which address."""
    informed = [happening for happening in history.happenings if happening.what is What.INFORMED]
    for at, sent in groupby(informed, key=lambda happening: min(_next_report(happening.at), history.end)):
        facts = [said(happening, "candidate.informed") for happening in sent]
        yield Delivery(at=at, channel="fact", lane="mail", body=orjson.dumps(facts), identity=identity, records=len(facts))


def _next_report(at: datetime) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while hour.hour not in MAIL_HOURS:
        hour += timedelta(hours=1)
    return hour


def told(at: datetime, identity: str, fact: Mapping[str, object]) -> Delivery:
    return Delivery(at=at, channel="fact", lane=str(fact["requisition_id"]), body=orjson.dumps(fact), identity=identity)


def exception(history: History, vendor: Vendor, reporters: Mapping[str, str], approver: str) -> Iterator[Delivery]:
    """One exception: a manager asks for two weeks without reviews, somebody else approves it the next day."""
    for requisition in history.requisitions:
        asker = reporters.get(requisition.team.key)
        begin = requisition.slate_at + timedelta(hours=2)
        if asker is None or begin + timedelta(days=15) > history.end:
            continue
        subject = {"requisition_id": f"{ACCOUNT}/{requisition.id}"}
        interval = {"from": begin.isoformat(), "until": (begin + timedelta(days=14)).isoformat()}
        asked = {"exception_id": "trade-fair", "commitment": "review_candidate", **interval, "reason_code": "trade_fair"}
        for at, identity, kind, attributes in (
            (begin, asker, "exception.requested", asked),
            (begin + timedelta(days=1), approver, "exception.approved", {"exception_id": "trade-fair"}),
        ):
            yield told(at, identity, {"kind": kind, "occurred_at": at.isoformat(), **subject, "attributes": attributes})
        return


def sign_of_life(history: History, vendor: Vendor) -> Iterator[Delivery]:
    """Somebody edits a candidate at the very end: a live webhook, which vouches for what comes by webhook."""
    last = next((happening for happening in reversed(history.happenings) if happening.application), None)
    if last is None:
        return
    for lane, body in vendor.tell(replace(last, at=history.end, what=What.EDITED, interview=None, scorecard=None, offer=None)):
        yield Delivery(at=history.end, channel="webhook", lane=lane, body=body, event_id=f"{history.end:%Y%m%d%H%M%S}")


def noise(history: History, dice: Random) -> Iterator[Delivery]:
    """What a real account also sends: pings, actions nobody knows, bodies that are broken, and somebody else's forgery."""
    ping = {
        "web_hook_id": 4_001_693_002,
        "endpoint_url": "https://gateway.example.com/webhooks/greenhouse",
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-01-05T09:00:00Z",
        "name": "Everything",
        "event": "Candidate or Prospect Updated",
        "active": True,
        "content-type": "application/json",
    }
    bodies: list[tuple[Kind, bytes]] = [
        ("ping", orjson.dumps({"action": "ping", "payload": ping})),
        ("ping", orjson.dumps({"action": "ping", "payload": ping})),
        ("unknown", orjson.dumps({"action": "interview_room_painted", "payload": {"room": {"id": 12}}})),
        ("unknown", orjson.dumps({"action": "interview_room_painted", "payload": {"room": {"id": 14}}})),
        ("broken", b'{"action": "candidate_stage_change", "payload": {"application": {"id": 46'),
        ("broken", b"\xff\xfe not even text"),
        ("broken", orjson.dumps({"action": "candidate_stage_change", "payload": {"application": {"id": 46_000_000}}})),
        ("forged", orjson.dumps({"action": "hire_candidate", "payload": {"application": {"id": 1}}})),
    ]
    span = history.end - history.start
    for number, (kind, body) in enumerate(bodies):
        at = history.start + span * dice.uniform(0.1, 0.95)
        yield Delivery(
            at=at, channel="webhook", lane=f"noise/{number}", body=body, kind=kind, event_id=f"{dice.getrandbits(128):032x}"
        )


def polls(history: History, vendor: Vendor, dice: Random) -> Iterator[Delivery]:
    """The extractor's polls, the last of them at the end of the history. Empty ones count: they say that nothing is missing."""
    for record_type in RECORD_TYPES:
        changes = sorted(vendor.changes[record_type], key=lambda change: change.at)
        times = [change.at for change in changes]
        since = 0
        for began in poll_times(history, record_type):
            until = bisect_left(times, began)
            latest = {change.id: change.record for change in changes[since:until]}
            records = [record for record in latest.values() if record is not None]
            since = until
            took = timedelta(0) if began == history.end else timedelta(seconds=dice.randrange(5, 50))
            yield Delivery(
                at=began + took,
                channel="records",
                lane=f"poll/{record_type}",
                body=b"[" + b",".join(records) + b"]",
                record_type=record_type,
                records=len(records),
                complete_until=began,
            )


def poll_times(history: History, record_type: str) -> Iterator[datetime]:
    """When polls of a type begin: every few hours, at weekends once, other types each night or week; the last at the end."""
    day = history.start.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= history.end:
        hours: Iterable[int] = POLL_HOURS[-1:] if record_type in NIGHTLY or day.weekday() >= 5 else POLL_HOURS
        if record_type in WEEKLY and day.weekday() != 6:
            hours = ()
        yield from (at for hour in hours if history.start <= (at := day + timedelta(hours=hour)) < history.end)
        day += timedelta(days=1)
    yield history.end


@dataclass(slots=True)
class Totals:
    """Counts of deliveries, for the summary."""

    requests: int = 0
    webhooks: int = 0
    polls: int = 0
    records: int = 0
    facts: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, deliveries: Iterable[Delivery]) -> Totals:
        totals = cls()
        for delivery in deliveries:
            totals.requests += 1
            totals.webhooks += delivery.channel == "webhook"
            totals.polls += delivery.channel == "records"
            totals.records += delivery.records if delivery.channel == "records" else 0
            totals.facts += delivery.records if delivery.channel == "fact" else 0
            totals.kinds[delivery.kind] = totals.kinds.get(delivery.kind, 0) + 1
        return totals
