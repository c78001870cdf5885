"""Silences of the sources: since when nothing vouched for an account and kind, and every silence of an hour or longer before.

A silence is read off the watermarks alone, so a source that has nothing to tell but says so is not silent, and a live webhook
ends no silence of what only a poll can know. In the ledger it is one row, whichever partition told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from streams import ledger
from streams.completeness import SILENT_US
from streams.ledger_tables import source_silence

SILENT = timedelta(microseconds=SILENT_US)


def ended(conn: Connection, account: str | None = None, since: datetime | None = None) -> list[Mapping[str, Any]]:
    """Silences that are over, the last first; those that ended after `since` (None: all)."""
    query = select(source_silence).order_by(source_silence.c.end_at.desc(), source_silence.c.account, source_silence.c.kind)
    if account is not None:
        query = query.where(source_silence.c.account == account)
    if since is not None:
        query = query.where(source_silence.c.end_at > since)
    return [dict(row) for row in conn.execute(query).mappings()]


def now(conn: Connection, at: datetime, account: str | None = None) -> list[Mapping[str, Any]]:
    """How complete each account and kind is, and whether it is silent at `at`; by account and kind."""
    return [
        {"account": of, "kind": kind, "complete_until": until, "silent": at - until >= SILENT}
        for (of, kind), until in sorted(ledger.watermarks(conn).items())
        if account in (None, of)
    ]
