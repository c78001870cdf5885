"""What a poller must not forget: how far each record type was read, and what each record was like. One SQLite file.

It is in the state directory, not in the ledger: the poller then needs no database to reach, and the ledger stays derived from
Kafka alone. How far a poll came is written once `ats.raw` has acknowledged all of it; what a record was like before it is sent,
without a digest, and with it once it is there. After a crash in between, the same is told again. Holds ids, hashes, statuses
and times, no text of a candidate.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streams.pollers.plan import Compared
from streams.tracker_rows import UnknownRow

SCHEMA = 1  #: `PRAGMA user_version` of the file; releases before 1 wrote none (0), some of them without a record's last change
TABLES = (
    """CREATE TABLE IF NOT EXISTS cursor (
  account TEXT, record_type TEXT, complete_until TEXT NOT NULL, PRIMARY KEY (account, record_type)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seen (
  account TEXT, record_type TEXT, record TEXT, digest TEXT NOT NULL, fields TEXT NOT NULL, previous TEXT, since TEXT,
  PRIMARY KEY (account, record_type, record)) WITHOUT ROWID""",
)


class Seen(NamedTuple):
    """A record as a poll saw it last: a hash of all of it, and the fields that are compared with their last change."""

    digest: str
    compared: Compared


def digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


class PollState:
    """`poller.db` of one state directory; one poller a directory. Used by one thread.

    A file of an older release is brought up to date. Raises UnknownRow, and leaves the file as it is, if a newer one wrote it.
    """

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state_dir / "poller.db", isolation_level=None)
        try:
            self._migrate(state_dir / "poller.db")
        except BaseException:
            self._db.close()
            raise
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")

    def _migrate(self, file: Path) -> None:
        """All of it or nothing: a process that dies on the way leaves the older file."""
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            (version,) = cursor.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise UnknownRow(str(file), version, SCHEMA)  # closing the connection rolls back
            if version < SCHEMA:
                for table in TABLES:
                    cursor.execute(table)
                columns = {row[1] for row in cursor.execute("PRAGMA table_info(seen)")}
                for name in sorted({"previous", "since"} - columns):
                    cursor.execute(f"ALTER TABLE seen ADD COLUMN {name} TEXT")
                cursor.execute(f"PRAGMA user_version = {SCHEMA}")
            cursor.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def cursor(self, account: str, record_type: str) -> datetime | None:
        """Until when everything of the type has been read; None before the first whole poll."""
        row = self._db.execute(
            "SELECT complete_until FROM cursor WHERE account = ? AND record_type = ?", (account, record_type)
        ).fetchone()
        return datetime.fromisoformat(row[0]) if row else None

    def seen(self, account: str, record_type: str, record: str) -> Seen | None:
        row = self._db.execute(
            "SELECT digest, fields, previous, since FROM seen WHERE account = ? AND record_type = ? AND record = ?",
            (account, record_type, record),
        ).fetchone()
        if row is None:
            return None
        digest, fields, previous, since = row
        change = (orjson.loads(previous) if previous else None, datetime.fromisoformat(since) if since else None)
        return Seen(digest, Compared(orjson.loads(fields), *change))

    def commit(self, account: str, record_type: str, until: datetime | None, seen: Mapping[str, Seen]) -> None:
        """Write what one poll saw, and how far it came (None: no further than before), or nothing of it."""
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                rows = [(account, record_type, key, one.digest, *_row(one.compared)) for key, one in seen.items()]
                names = "account, record_type, record, digest, fields, previous, since"
                cursor.executemany(f"INSERT OR REPLACE INTO seen ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
                if until is not None:
                    moment = (account, record_type, until.isoformat())
                    cursor.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", moment)
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise


def _row(one: Compared) -> tuple[str, str | None, str | None]:
    previous = orjson.dumps(one.previous).decode() if one.previous is not None else None
    return orjson.dumps(one.fields).decode(), previous, one.since.isoformat() if one.since else None
