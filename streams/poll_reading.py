"""One reading of one record type, on its way into `ats.raw`: what is new or not as it was, with what a poll saw before.

In: records as a plan finds them. Out: records in the raw log, acknowledged, and what is then to be remembered of each (`seen`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from schemas.raw import RawHeaders
from schemas.sources import Account
from streams import metrics
from streams.clock import Clock
from streams.poll_state import PollState, Seen, digest
from streams.pollers.plan import Compared, Comparison, Found, compared
from streams.raw_log import Log, RawRecord
from streams.safe_fetch import PollFailed

BATCH = 500  #: records that are appended together
APPEND_SECONDS = 30.0

RECORDS = metrics.POLL_RECORDS.counter()


@dataclass(slots=True)
class Reading:
    """One poll of one type, on its way."""

    tenant: str
    account: Account
    record_type: str
    rules: Mapping[str, Comparison]
    raw: Log
    state: PollState
    clock: Clock
    limit: int  #: bytes of one record
    cursor: datetime | None  #: the last look
    history: bool
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: dict[str, Seen] = field(default_factory=dict)
    kept: int = 0
    waiting: list[tuple[str, bytes, datetime | None]] = field(default_factory=list)  #: with the record's key

    async def take(self, found: Found) -> None:
        """Keep a record that is new or not as it was; `previous` and `changed_since` say what a poll saw before."""
        rule = self.rules.get(found.record_type)
        key = _key(found, rule.key if rule else "id")
        before = self.seen.get(key) or self.state.seen(self.account.account, found.record_type, key)
        now = compared(found, rule, before.compared if before else None, self.cursor) if rule else Compared({})
        self.seen[key] = Seen(digest(found.body), now)
        if before is not None and before.digest == self.seen[key].digest and not self.history:
            return
        told = {} if now.previous is None else {"previous": dict(now.previous)}
        self.waiting.append((key, self._bytes({**found.body, **told}), now.since))
        if len(self.waiting) >= BATCH:
            await self.flush()

    def _bytes(self, body: dict[str, Any]) -> bytes:
        packed = orjson.dumps(body)
        if len(packed) > self.limit:
            raise PollFailed(f"{self.record_type}: a record over {self.limit} bytes")
        return packed

    async def flush(self) -> None:
        """Append what waits; in runs of one `changed_since`, so that their order stays.

        What is told is remembered before, as not told for certain (no digest: the next poll tells it again), and right after,
        even if the reading fails later: a change that is taken back before the next one would else be as it was, and never be
        told. A first poll tells everything anyway, and has no look to compare with.
        """
        waiting, self.waiting = self.waiting, []
        runs: list[tuple[datetime | None, list[bytes]]] = []
        for _, body, since in waiting:
            if not runs or runs[-1][0] != since:
                runs.append((since, []))
            runs[-1][1].append(body)
        told = {key: self.seen[key] for key, _, _ in waiting} if self.cursor is not None else {}
        self._remember({key: Seen("", one.compared) for key, one in told.items()})
        for since, bodies in runs:
            await self.append(bodies, "record", since)
            self.kept += len(bodies)
            RECORDS.labels(self.account.account, self.record_type).inc(len(bodies))
        self._remember(told)

    def _remember(self, seen: Mapping[str, Seen]) -> None:
        if seen:
            self.state.commit(self.account.account, self.record_type, None, seen)

    async def append(self, bodies: Sequence[bytes], channel: str, changed_since: datetime | None = None) -> None:
        """Raises Unreachable if the broker does not acknowledge every one."""
        now, account = self.clock.now(), self.account
        headers = RawHeaders.model_validate(
            {
                "tenant": self.tenant,
                "account": account.account,
                "system": account.system,
                "channel": channel,
                "received_at": now,
                "request_id": self.request_id,
                "record_type": self.record_type,
                "backfill": self.history and channel == "record",
                "changed_since": changed_since,
            }
        )
        await self.raw.append([RawRecord(headers, body, now) for body in bodies], within=APPEND_SECONDS)


def _key(found: Found, name: str) -> str:
    """What one record is told from the next by; where it has no id, all of it."""
    value = found.body.get(name)
    own = str(value) if isinstance(value, str | int) else digest(found.body)
    return f"{own}|{found.body['version']}" if isinstance(found.body.get("version"), int) else own
