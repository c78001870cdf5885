"""The ledger's database: one engine for SQLite (WAL, busy time-out, foreign keys) and PostgreSQL, and consistent reading.

In: a SQLAlchemy URL. Out: an Engine whose instants are aware UTC and whose JSON is orjson's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from streams.errors import InvalidConfiguration, Unreachable

BUSY_SECONDS = 10  #: how long SQLite waits for another process's transaction


def connect(url: str) -> Engine:
    """The engine for a ledger URL; creates a SQLite file's folder. Raises InvalidConfiguration for a URL of another kind."""
    if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        # not the URL itself: it may hold a password
        raise InvalidConfiguration(
            ["MUTUAL_SLA_LEDGER_URL is neither sqlite:///FILE nor postgresql+psycopg://USER@HOST/DATABASE"]
        )
    if url.startswith("sqlite:///") and not url.endswith(":memory:"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql"):
        options["connect_args"] = {"options": "-c timezone=UTC", "connect_timeout": BUSY_SECONDS}
    engine = create_engine(
        url, json_serializer=lambda value: orjson.dumps(value).decode(), json_deserializer=orjson.loads, **options
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        # FULL: a commit survives a power cut too, because positions in the same file say the records need not be read again
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def open_ledger(url: str) -> Engine:
    """The engine, its schema brought up to date. Raises Unreachable if the database does not answer."""
    from streams import migrations

    engine = connect(url)
    try:
        migrations.upgrade(engine)
    except OperationalError as error:
        raise Unreachable(f"the ledger database does not answer: {error.orig}") from error
    return engine


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A read-only look at one moment of the ledger: several queries, one answer. Nothing is committed."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")  # Python's sqlite3 would begin no transaction for reading
        else:
            connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            yield connection
        finally:
            connection.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction, committed at the end of the block; it sees one moment and no other writer comes between.

    SQLite takes its write lock at once (a lock upgraded later could not wait); PostgreSQL runs it as REPEATABLE READ.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


class micros(FunctionElement[int]):
    """Microseconds since 1970 of an instant column, exact on both databases."""

    type = BigInteger()
    inherit_cache = True
    name = "micros"


@compiles(micros, "sqlite")
def _micros_sqlite(element: micros, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    # whole seconds first: SQLite's own fractions are milliseconds, rounded
    return f"(CAST(strftime('%s', substr({text}, 1, 19)) AS INTEGER) * 1000000 + CAST(substr({text}, 21, 6) AS INTEGER))"


@compiles(micros, "postgresql")
def _micros_postgresql(element: micros, compiler: Any, **options: Any) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)}) * 1000000 AS BIGINT)"
