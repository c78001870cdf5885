"""A small installation for tests of what hangs on the ledger: agreement, people, a ledger filled by the core, a page sink.

The facts are told here, judged by the real `evaluate`, and written by the ledger writer's own functions, as the pipeline would.
review_candidate is promised within 48 elapsed hours, so that what is late does not depend on the weekday a test runs on.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import insert

from schemas.fact import FACT_KINDS, Fact, Origin, Watermark, fact_id
from schemas.outcome import Outcome, Progress, outcome_id
from schemas.raw import Rejected
from streams import ledger, ledger_batch
from streams.check import load_agreement
from streams.ledger_batch import Record
from streams.ledger_database import open_ledger, writing
from streams.ledger_tables import consumer_position
from streams.obligations import evaluate
from streams.settings import ROOT, Settings

ACCOUNT = "greenhouse"
TEAMS = ("berlin", "paris")
TARGET_HOURS = 48
WARN_HOURS = 36


@dataclass
class Sink:
    """An HTTP server that takes whatever is posted; so many of the next requests to a `failing` path are answered 500, all to a
    `refusing` one 410."""

    received: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)  #: path, body, Idempotency-Key
    failing: dict[str, int] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)
    asked: dict[str, int] = field(default_factory=dict)  #: requests by path, whatever came of them
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Sink:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with sink.lock:
                    left = sink.failing.get(self.path, 0)
                    sink.failing[self.path] = max(0, left - 1)
                    sink.asked[self.path] = sink.asked.get(self.path, 0) + 1
                    status = 410 if self.path in sink.refusing else 500 if left else 200
                    if status == 200:
                        sink.received.append((self.path, body, self.headers.get("Idempotency-Key", "")))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test says what it saw."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def to(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body, _ in self.received if where == path]


class Installation:
    """`managers` hiring managers m0, m1, ... in two teams, each with a webhook contact at the sink; the ledger is SQLite."""

    def __init__(self, folder: Path, sink: Sink, managers: int = 2, url: str = "", **settings: Any) -> None:
        deploy = folder / "deploy"
        shutil.copytree(ROOT / "deploy", deploy, ignore=shutil.ignore_patterns("jars", "target"))
        (deploy / "people.yaml").write_text(yaml.safe_dump(_people(sink, managers)))
        policy = yaml.safe_load((deploy / "policy.yaml").read_text())
        review = next(c for c in policy["commitments"] if c["name"] == "review_candidate")
        review["target"] = {"elapsed_hours": TARGET_HOURS}
        for stanza in policy["commitments"]:
            if stanza["name"] in ("inform_candidate", "no_silence"):  # there is no mail gateway here
                stanza["enabled"] = False
        (deploy / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
        state = folder / "state"
        state.mkdir()
        self.settings = Settings(state_dir=state, deploy_dir=deploy, ledger_url=url, **settings)
        self.agreement = load_agreement(deploy)
        self.engine = open_ledger(self.settings.ledger)
        self.facts: list[Fact] = []
        self.offset = 0
        with writing(self.engine) as conn:
            topics = [("sla.outcomes", 0), ("ats.rejected", 0)]
            conn.execute(insert(consumer_position), [{"topic": t, "partition": p, "next_offset": 0} for t, p in topics])

    def submitted(self, application: str, manager: int, at: datetime) -> None:
        """A candidate was submitted to a manager, whose clock starts."""
        people: dict[str, tuple[str, ...]] = {"hiring_manager": (f"{ACCOUNT}/m{manager}",), "recruiter": (f"{ACCOUNT}/rec",)}
        self._fact("application.created", application, manager, at - timedelta(hours=1), {}, people)
        self._fact("application.stage_changed", application, manager, at, {"stage": "manager_review"}, people)

    def opened(self, manager: int, at: datetime) -> None:
        """A manager's requisition was approved and its intake held: TA owes the first slate."""
        people: dict[str, tuple[str, ...]] = {"hiring_manager": (f"{ACCOUNT}/m{manager}",), "recruiter": (f"{ACCOUNT}/rec",)}
        for kind in ("requisition.opened", "requisition.approved", "requisition.intake_held"):
            self._fact(kind, None, manager, at, {}, people)

    def happened(self, kind: str, application: str, manager: int, at: datetime, **attributes: object) -> None:
        """Something else happened to an application."""
        self._fact(kind, application, manager, at, attributes, {})

    def _fact(
        self,
        kind: str,
        application: str | None,
        manager: int,
        at: datetime,
        attributes: dict[str, object],
        people: dict[str, tuple[str, ...]],
    ) -> None:
        self.facts.append(
            Fact(
                fact_id=fact_id("demo", ACCOUNT, kind, [application or f"r{manager}"], at),
                kind=kind,
                tenant="demo",
                account=ACCOUNT,
                system="greenhouse",
                occurred_at=at,
                occurred_at_source=Origin.OBJECT,
                received_at=at,
                requisition_id=f"{ACCOUNT}/r{manager}",
                application_id=f"{ACCOUNT}/{application}" if application else None,
                people=people,
                attributes=attributes,
            )
        )

    def judge(self, now: datetime) -> None:
        """Evaluate everything as of `now` and let the ledger learn it, with a tick and complete watermarks."""
        kinds = tuple(FACT_KINDS)
        complete = Watermark(account=ACCOUNT, kinds=kinds, complete_until=now, received_at=now)
        found = evaluate(self.facts, *self._agreed(), [complete], now)
        newest = {ACCOUNT: max((f.received_at for f in self.facts), default=now)}
        progress = Progress(tick_at=now, watermarks={ACCOUNT: dict.fromkeys(kinds, now)}, newest_fact=newest)
        self.learn([*found.obligations, *found.applications, progress], now)

    def evaluated(self, now: datetime) -> list[Any]:
        """The obligations as of `now`, every source complete, without telling the ledger."""
        complete = Watermark(account=ACCOUNT, kinds=tuple(FACT_KINDS), complete_until=now, received_at=now)
        return list(evaluate(self.facts, *self._agreed(), [complete], now).obligations)

    def _agreed(self) -> tuple[Any, Any, Any]:
        return self.agreement.policy, self.agreement.calendars, self.agreement.people

    def learn(self, bodies: list[Any], now: datetime, rebuilt: str | None = None) -> None:
        """Write outcomes as the ledger writer does; `rebuilt`: as `rebuild` says them."""
        records = []
        for body in bodies:
            outcome = Outcome(
                outcome_id=outcome_id("test", str(self.offset), 0, self.offset),
                source_partition=0,
                source_offset=self.offset,
                learned_at=now,
                rebuilt=rebuilt,
                body=body,
            )
            records.append(Record("sla.outcomes", 0, self.offset, int(now.timestamp() * 1000), outcome.to_json()))
            self.offset += 1
        self._write(records)

    def reject(self, offset: int, reason: str, now: datetime) -> None:
        """A dead letter."""
        letter = Rejected(
            topic="ats.raw",
            partition=0,
            offset=offset,
            sha256="0" * 64,
            reason=reason,
            tenant="demo",
            account=ACCOUNT,
            system="greenhouse",
            channel="webhook",
            rejected_at=now,
        )
        self._write([Record("ats.rejected", 0, offset, 0, letter.model_dump_json().encode(), rejecting=True)])

    def _write(self, records: list[Record]) -> None:
        with writing(self.engine) as conn:
            ledger_batch.write(conn, ledger_batch.decode(records, ledger.positions(conn)))


def now() -> datetime:
    """The machine's time, for tests beside a real Prometheus, which has no other."""
    return datetime.now(UTC)


def _people(sink: Sink, managers: int) -> dict[str, Any]:
    people: list[dict[str, Any]] = [
        {"key": f"m{n}", "name": f"Manager {n}", "team": TEAMS[n % 2], "identities": {ACCOUNT: [f"m{n}"]}}
        | {"contact": {"webhook": sink.url(f"/m{n}")}}
        for n in range(managers)
    ]
    people.append({"key": "rec", "name": "Recruiter", "team": "berlin", "identities": {ACCOUNT: ["rec"]}})
    # whoever deploy/sources.yaml gives a token for has to be somebody
    people += [{"key": key, "name": key, "team": "berlin"} for key in ("p-001", "p-005", "p-011")]
    return {
        "version": "test",
        "company": {"name": "Acme", "calendar": "company", "contact": {"webhook": sink.url("/company")}},
        "teams": [
            {"key": key, "name": key.title(), "department": "Engineering", "digest": {"webhook": sink.url(f"/{key}")}}
            for key in TEAMS
        ],
        "people": people,
    }
