"""The ledger's schema, by Alembic, run from the program: no alembic.ini, no command, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from streams.errors import InvalidConfiguration

HERE = Path(__file__).resolve().parent
LOCK = 724_001  #: PostgreSQL advisory lock: one role migrates, the others wait


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`, in one transaction; roles that start together wait for each other.

    Where it is there already nothing is locked: a role that only reads need not wait for the writer. Raises InvalidConfiguration
    for a database of a newer release, and leaves it as it is.
    """
    wanted = head() if revision == "head" else revision
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == wanted:
        return
    if found is not None and found not in known():
        raise InvalidConfiguration(
            [
                f"the ledger's schema is {found}; this program knows none after {head()}: install the release that wrote it or a "
                "newer one, or restore a copy from before it, see Upgrades in docs/operations.md"
            ]
        )
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # Python's sqlite3 begins transactions late and not before DDL; this one must hold from the first look on
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        command.upgrade(_config(connection), revision)
        connection.commit()


def known() -> set[str]:
    """All revisions there are."""
    return {script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()}


def head() -> str:
    """The newest revision there is."""
    found = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert found is not None
    return found
