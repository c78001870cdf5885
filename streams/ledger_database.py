"""The ledger's database: one engine for SQLite (WAL, busy time-out, foreign keys) and PostgreSQL, and consistent reading.

In: a SQLAlchemy URL. Out: an Engine whose instants are aware UTC and whose JSON is orjson's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, OperationalError
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
        if engine.url.database not in (None, "", ":memory:"):
            _follow_file(engine, Path(engine.url.database))
    return engine


def _follow_file(engine: Engine, path: Path) -> None:
    """Give up connections to a file that another was put in the place of: a restored ledger is read without a restart.

    A writer that goes on with it finds other positions than its own, and ends as superseded.
    """

    def identity() -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            found = path.stat()
            return found.st_dev, found.st_ino
        return None

    def remember(_connection: object, record: Any) -> None:
        record.info["file"] = identity()

    def compare(_connection: object, record: Any, _proxy: object) -> None:
        if identity() not in (None, record.info["file"]):  # None: not there yet, and to connect now would make an empty one
            raise DisconnectionError("another file was put in the place of the database")

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


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
