"""What was paged: the pager's own small SQLite file in the state directory, so that a restart or a repeat pages nobody twice.

An obligation of an owner is paged once for each state (due_soon, overdue) and stays `open` here until the ledger says that the
state has ended; only then can it be paged again. That is stronger than the alert's own identity (fingerprint, startsAt), which
changes when Prometheus loses its memory; both are kept for tracing. Lose this file and what is still late is paged once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, insert, select, update

from streams.ledger_database import connect, writing
from streams.ledger_tables import UtcInstant
from streams.settings import Settings
from streams.tracker_rows import UnknownRow

SCHEMA = 1  #: `PRAGMA user_version` of the file; releases before 1 wrote none (0) into the same tables
metadata = MetaData()

page = Table(
    "page",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", String, nullable=False),
    Column("state", String, nullable=False),
    Column("obligation_id", String, nullable=False),
    Column("commitment", String, nullable=False),
    Column("deadline", UtcInstant),
    Column("alertname", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("starts_at", UtcInstant, nullable=False),
    Column("paged_at", UtcInstant, nullable=False),
    Column("channel", String, nullable=False),
    Column("recipient", String, nullable=False),  # owner, or company where the owner could not be reached
    Column("ended_at", UtcInstant),  # when the pager saw that it had ended
    Column("ending", String),
)
#: At most one open page per obligation, owner and state.
Index("page_open", page.c.owner, page.c.state, page.c.obligation_id, unique=True, sqlite_where=page.c.ended_at.is_(None))

notice = Table(
    "notice",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("starts_at", UtcInstant, primary_key=True),
    Column("status", String, primary_key=True),
    Column("alertname", String, nullable=False),
    Column("sent_at", UtcInstant, nullable=False),
    Column("channel", String, nullable=False),
)


class Paged:
    """The store. Every method is one transaction; safe for several threads.

    Raises UnknownRow, and leaves the file as it is, if a newer release wrote it.
    """

    def __init__(self, settings: Settings) -> None:
        file = settings.state_dir / "pager.db"
        self._engine = connect(f"sqlite:///{file}")
        try:
            with writing(self._engine) as conn:
                version = conn.exec_driver_sql("PRAGMA user_version").scalar_one()
                if version > SCHEMA:
                    raise UnknownRow(str(file), version, SCHEMA)
                if version < SCHEMA:
                    metadata.create_all(conn)
                    conn.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
        except BaseException:
            self._engine.dispose()
            raise

    def open(self, owner: str, state: str) -> set[str]:
        """The obligations of an owner that were paged for this state and have not ended since."""
        p = page.c
        query = select(p.obligation_id).where(p.owner == owner, p.state == state, p.ended_at.is_(None))
        with self._engine.connect() as conn:
            return set(conn.execute(query).scalars())

    def open_desks(self) -> list[tuple[str, str]]:
        """Every (owner, state) that has open pages."""
        query = (
            select(page.c.owner, page.c.state).where(page.c.ended_at.is_(None)).distinct().order_by(page.c.owner, page.c.state)
        )
        with self._engine.connect() as conn:
            return [(row[0], row[1]) for row in conn.execute(query)]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Remember pages that were delivered."""
        with writing(self._engine) as conn:
            conn.execute(insert(page), list(rows))

    def end(self, owner: str, state: str, endings: Mapping[str, str], at: datetime) -> None:
        """Note why pages ended: obligation id to ending."""
        p = page.c
        with writing(self._engine) as conn:
            for obligation_id, ending in endings.items():
                which = (p.owner == owner, p.state == state, p.obligation_id == obligation_id, p.ended_at.is_(None))
                conn.execute(update(page).where(*which).values(ended_at=at, ending=ending))

    def noticed(self, fingerprint: str, starts_at: datetime, status: str) -> bool:
        """Whether this alert without an owner was told already."""
        n = notice.c
        which = (n.fingerprint == fingerprint, n.starts_at == starts_at, n.status == status)
        with self._engine.connect() as conn:
            return conn.execute(select(n.status).where(*which)).first() is not None

    def notice(self, row: Mapping[str, Any]) -> None:
        """Remember that it was."""
        with writing(self._engine) as conn:
            conn.execute(insert(notice), [row])

    def all(self) -> list[dict[str, Any]]:
        """Every page there was, oldest first."""
        with self._engine.connect() as conn:
            return [dict(row) for row in conn.execute(select(page).order_by(page.c.id)).mappings()]

    def notices(self) -> list[dict[str, Any]]:
        """Every alert without an owner that was told, oldest first."""
        with self._engine.connect() as conn:
            return [dict(row) for row in conn.execute(select(notice).order_by(notice.c.sent_at)).mappings()]

    def close(self) -> None:
        self._engine.dispose()


def pages(settings: Settings) -> Iterable[dict[str, Any]]:
    """What was paged on this machine, for `demo` and whoever asks; nothing where no pager ever ran."""
    if not (settings.state_dir / "pager.db").exists():
        return []
    store = Paged(settings)
    try:
        return store.all()
    finally:
        store.close()
