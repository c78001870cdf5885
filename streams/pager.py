"""The pager role: takes Alertmanager's webhook, asks the ledger what is so, and tells the one who owes.

An alert says only *that* an owner has something late; *what*, and why it ended, the ledger says. So a page is sent for
obligations that are late now and were not paged yet, an all-clear only for those that the ledger says have ended: an alert
that resolves because a series vanished says nothing to anybody. Not delivered: answered 503, and Alertmanager comes again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import Connection, Engine, and_, select
from sqlalchemy.exc import SQLAlchemyError

from schemas.directory import Contact
from streams import metrics, page
from streams.agreement import Agreement
from streams.clock import Clock
from streams.contacts import Message, Post, Undelivered
from streams.ledger_database import connect, snapshot
from streams.ledger_tables import obligation, rebuilt
from streams.paged import Paged
from streams.serving import serve
from streams.settings import Settings
from streams.snapshot import holders, in_force

#: What an alert about an owner is about.
STATES = {"MutualSLAOverdue": "overdue", "MutualSLADueSoon": "due_soon"}
#: Goals go to the team's digest contact, everything else without an owner to the company's.
TEAM_ALERTS = ("MutualSLAGoalMissed", "MutualSLAGoalMet")
CHUNK = 500  #: ids in one query
SETTLE_SECONDS = 30.0  #: between two looks for pages that have ended
BACKFILL_SETTLES = timedelta(minutes=10)

log = structlog.get_logger()
ALERTS = metrics.PAGER_ALERTS.counter()
for _outcome in ("told", "repeated", "undelivered"):
    ALERTS.labels(_outcome)

Row = dict[str, Any]


class Alert(BaseModel):
    """What is used of an alert in Alertmanager's webhook, version 4."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    fingerprint: str
    starts_at: AwareDatetime = Field(alias="startsAt")


class Webhook(BaseModel):
    """Alertmanager's webhook body."""

    version: str
    alerts: list[Alert]


class Pager:
    """Turns alerts into messages, each once."""

    def __init__(self, settings: Settings, agreement: Agreement, engine: Engine, clock: Clock) -> None:
        self._agreement = agreement
        self._engine = engine
        self._clock = clock
        self._post = Post(settings)
        self._paged = Paged(settings)
        self._api_url = settings.api_url or f"http://{settings.host}:{settings.api_port}"
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def handle(self, alert: Alert) -> None:
        """Tell whom it concerns, if there is anything they were not told. Raises Undelivered, SQLAlchemyError."""
        owner, state = alert.labels.get("owner"), STATES.get(alert.labels.get("alertname", ""))
        # one at a time for one owner: Alertmanager repeats what it does not see answered in time
        with self._locks[owner or alert.fingerprint]:
            told = self._owner(alert, owner, state) if owner and state else self._notice(alert)
        ALERTS.labels("told" if told else "repeated").inc()

    def settle(self) -> None:
        """Say what has ended of everything that is open, for an all-clear that Alertmanager held back and then forgot."""
        try:
            desks = self._paged.open_desks()
        except SQLAlchemyError as error:  # a full disk, say: the next look is soon
            log.warning("not_settled", error=type(error).__name__)
            return
        for owner, state in desks:
            try:
                with self._locks[owner]:
                    self._owner(None, owner, state)
            except (Undelivered, SQLAlchemyError) as error:
                log.warning("not_settled", owner=owner, error=type(error).__name__)

    def _owner(self, alert: Alert | None, owner: str, state: str) -> bool:
        now = self._clock.now()
        with snapshot(self._engine) as conn:
            late = {row["obligation_id"]: row for row in _late(conn, owner, state, now)}
            open_pages = self._paged.open(owner, state)
            ended = _rows(conn, sorted(open_pages - late.keys()))
            ball = holders(conn, [row["application_id"] for row in late.values() if row["application_id"]])
            quiet = _rebuilt(conn, sorted(late.keys() - open_pages))
        told = self._ended(owner, state, open_pages - late.keys(), ended, now)
        new = [row for key, row in late.items() if key not in open_pages | quiet and _settled(row, now)]
        if alert is None or alert.status != "firing" or not new:
            return told
        words = self._words(now)
        message = page.late_page(words, owner, state, new, len(late) - len(new), ball, now)
        channel, recipient = self._tell(owner, message)
        self._paged.add([_remembered(alert, owner, state, row, now, channel, recipient) for row in new])
        log.info("paged", owner=owner, state=state, obligations=len(new), channel=channel, recipient=recipient)
        return True

    def _ended(self, owner: str, state: str, ids: set[str], rows: dict[str, Row], now: datetime) -> bool:
        """Say why pages ended. One that was due soon and is overdue now needs no words: its own page says it."""
        if not ids:
            return False
        endings = {key: page.ending(rows.get(key), owner) for key in ids}
        worth = [row for key, row in sorted(rows.items()) if endings[key] != page.OVERDUE_NOW]
        if worth:
            self._tell(owner, page.ended_page(self._words(now), owner, state, worth, endings, now))
        self._paged.end(owner, state, endings, now)
        return bool(worth)

    def _words(self, now: datetime) -> page.Words:
        return page.Words(in_force(self._agreement.policy, now), self._api_url)

    def _tell(self, owner: str, message: Message) -> tuple[str, str]:
        """To the owner, else to the company; returns the channel and who took it."""
        people = self._agreement.people
        person = people.person(owner)
        contacts: list[tuple[str, Contact]] = [("owner", person.contact)] if person else []
        contacts.append(("company", people.company.contact))
        place, channel = self._post.send_first([contact for _, contact in contacts], message)
        return channel, contacts[place][0]

    def _notice(self, alert: Alert) -> bool:
        """An alert about the pipeline or a goal: its own words, once for each start and end."""
        name, now = alert.labels.get("alertname", "unknown"), self._clock.now()
        if self._paged.noticed(alert.fingerprint, alert.starts_at, alert.status):
            return False
        if name in TEAM_ALERTS and alert.status != "firing":
            return False  # a goal that is no longer missed is the next digest's news
        message = _notice(alert, name, now)
        team = self._agreement.people.teams.get(alert.labels.get("team", ""))
        contacts = [team.digest] if team and name in TEAM_ALERTS else []
        _, channel = self._post.send_first([*contacts, self._agreement.people.company.contact], message)
        self._paged.notice(
            {
                "fingerprint": alert.fingerprint,
                "starts_at": alert.starts_at,
                "status": alert.status,
                "alertname": name,
                "sent_at": now,
                "channel": channel,
            }
        )
        log.info("noticed", alertname=name, status=alert.status, channel=channel)
        return True


def _settled(row: Row, now: datetime) -> bool:
    """History comes in pieces: what is late in it is paged only if it still is a while after it was learned."""
    return not row["backfill"] or now - row["learned_at"] >= BACKFILL_SETTLES


def _late(conn: Connection, owner: str, state: str, now: datetime) -> list[Row]:
    """What an owner has in this state now, earliest deadline first."""
    o = obligation.c
    which = o.verdict == "overdue" if state == "overdue" else and_(o.verdict == "open", o.due_soon_at <= now)
    query = select(obligation).where(o.owner == owner, which).order_by(o.deadline, o.obligation_id)
    return [dict(row) for row in conn.execute(query).mappings()]


def _rows(conn: Connection, ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for start in range(0, len(ids), CHUNK):
        query = select(obligation).where(obligation.c.obligation_id.in_(ids[start : start + CHUNK]))
        found |= {row["obligation_id"]: dict(row) for row in conn.execute(query).mappings()}
    return found


def _rebuilt(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those whose current revision `rebuild` wrote: recomputing pages nobody, the next news of them does."""
    o, r, found = obligation.c, rebuilt.c, set[str]()
    for start in range(0, len(ids), CHUNK):
        current = select(o.obligation_id).join(rebuilt, and_(o.obligation_id == r.obligation_id, o.revision_no == r.revision_no))
        found |= set(conn.execute(current.where(o.obligation_id.in_(ids[start : start + CHUNK]))).scalars())
    return found


def _remembered(alert: Alert, owner: str, state: str, row: Row, now: datetime, channel: str, recipient: str) -> Row:
    return {
        "owner": owner,
        "state": state,
        "obligation_id": row["obligation_id"],
        "commitment": row["commitment"],
        "deadline": row["deadline"],
        "alertname": alert.labels["alertname"],
        "fingerprint": alert.fingerprint,
        "starts_at": alert.starts_at,
        "paged_at": now,
        "channel": channel,
        "recipient": recipient,
    }


def _notice(alert: Alert, name: str, now: datetime) -> Message:
    said = alert.annotations
    over = "" if alert.status == "firing" else "Over: "
    lines = [said.get("description", ""), f"What to do: {said['runbook_url']}" if "runbook_url" in said else ""]
    told = f"{alert.fingerprint}\x1f{alert.starts_at.isoformat()}\x1f{alert.status}"
    return Message(
        subject=f"{over}{said.get('summary', name)}",
        text="\n".join(line for line in lines if line),
        key=hashlib.sha256(told.encode()).hexdigest()[:32],
        sent_at=now,
        data={"kind": "notice", "alertname": name, "status": alert.status, "labels": alert.labels},
    )


def application(handle: Callable[[Alert], None]) -> FastAPI:
    """POST /alerts for Alertmanager, /healthz and /metrics."""
    app = FastAPI(openapi_url=None)

    @app.post("/alerts")
    def alerts(body: Webhook) -> Response:
        """All alerts of a group; one that cannot be told keeps none of the others from being told."""
        failed = 0
        for alert in body.alerts:
            try:
                handle(alert)
            except (Undelivered, SQLAlchemyError) as error:
                failed += 1
                ALERTS.labels("undelivered").inc()
                log.warning("alert_not_told", alertname=alert.labels.get("alertname"), error=type(error).__name__)
        return Response(status_code=503 if failed else 200)

    @app.get("/healthz")
    def health() -> Response:
        return Response("ok")

    @app.get("/metrics")
    def show() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def run(settings: Settings, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT. Raises InvalidConfiguration if the agreement is faulty."""
    from streams.check import load_agreement

    pager = Pager(settings, load_agreement(settings.deploy_dir), connect(settings.ledger), clock)
    app = application(pager.handle)
    stop = threading.Event()
    settler = threading.Thread(target=_keep_settled, args=(pager, stop), daemon=True)
    settler.start()
    serve(app, settings.host, settings.pager_port)
    stop.set()


def _keep_settled(pager: Pager, stop: threading.Event) -> None:
    while not stop.wait(SETTLE_SECONDS):
        pager.settle()
