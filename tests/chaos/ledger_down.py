"""Faults of a PostgreSQL ledger: its server goes, crashes, cuts connections, or has its tables locked by somebody else.

Each returns when recovery began (`monotonic`): the end of an outage in which nothing can be written, else the harm itself.
"""

from __future__ import annotations

import signal
from random import Random
from time import monotonic, sleep

import psycopg

from tests.conftest import Postgres

TABLES = "consumer_position, obligation, revision, application, holding, partition_progress"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ledger' AND pid <> pg_backend_pid()"


def stop(server: Postgres, dice: Random) -> float:
    """Shut down in order (`pg_ctl -m fast`), away for some seconds, started again."""
    server.stop(signal.SIGINT)
    sleep(dice.uniform(5, 20))
    server.launch()
    return monotonic()


def crash(server: Postgres) -> float:
    """`pg_ctl -m immediate` and up again: what was committed is recovered from its log, what was not is gone."""
    server.stop(signal.SIGQUIT)
    server.launch()
    return monotonic()


def cut_connections(server: Postgres, dice: Random) -> float:
    """Everybody's session is ended, some times in a row, and with it transactions and the writer's lock."""
    begun = monotonic()
    with _connect(server) as conn:
        for _ in range(5):
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'ledger'"
            )
            sleep(dice.uniform(0.05, 1))
    return begun


def lock_tables(server: Postgres, dice: Random) -> float:
    """Somebody changes the tables and takes his time: nobody writes, nobody reads."""
    with _connect(server) as conn:
        conn.autocommit = False
        conn.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        sleep(dice.uniform(11, 16))
        conn.rollback()
    return monotonic()


def _connect(server: Postgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(f"host=127.0.0.1 port={server.port} user=test dbname=ledger", autocommit=True)
