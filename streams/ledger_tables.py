"""The ledger's tables, for SQLite and PostgreSQL alike. Their history is in streams/migrations; a test compares both.

Two time axes: what happened (`started_at`, `deadline`, `ended_at`) and when we learned it (`learned_at`, from the
record, never from a writer's clock). `revision` and the statement tables are append-only: triggers refuse the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Float, Index, Integer, MetaData, String, Table, exists, or_
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcInstant(TypeDecorator[datetime]):
    """An aware instant, UTC in and out. SQLite keeps ISO text of one length, with microseconds, so that text order is time order.

    Raises ValueError for a time without a zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.isoformat(timespec="microseconds") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


metadata = MetaData()


def _said() -> list[Column[Any]]:
    """What an outcome says of an obligation: the same columns in `obligation` and `revision`."""
    return [
        Column("tenant", String, nullable=False),
        Column("commitment", String, nullable=False),
        Column("commitment_version", String, nullable=False),
        Column("side", String, nullable=False),
        Column("owner", String, nullable=False),
        Column("team", String, nullable=False),
        Column("recruiter", String, nullable=False),
        Column("hiring_manager", String, nullable=False),
        Column("requisition_id", String, nullable=False),
        Column("application_id", String),
        Column("interview_id", String),
        Column("verdict", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("started_at", UtcInstant, nullable=False),
        Column("due_soon_at", UtcInstant),
        Column("deadline", UtcInstant),
        Column("ended_at", UtcInstant),
        Column("elapsed_us", BigInteger, nullable=False),
        Column("business_us", BigInteger, nullable=False),
        Column("uncertain", Boolean, nullable=False),
        Column("backfill", Boolean, nullable=False),
        Column("receipt", JSON, nullable=False),
        Column("learned_at", UtcInstant, nullable=False),
        Column("source_partition", Integer, nullable=False),
        Column("source_offset", BigInteger, nullable=False),
        Column("digest", String, nullable=False),
    ]


#: The current verdict of each obligation: the outcome with the highest source offset.
obligation = Table(
    "obligation",
    metadata,
    Column("obligation_id", String, primary_key=True),
    *_said(),
    Column("revision_no", Integer, nullable=False),
    Index("obligation_by_deadline", "deadline", "team", "side", "commitment", "verdict"),
    Index("obligation_by_verdict", "verdict", "owner", "team", "side", "deadline", "due_soon_at"),
    Index("obligation_by_owner", "owner", "deadline"),
    Index("obligation_by_team", "team", "deadline"),
    Index("obligation_by_requisition", "requisition_id"),
    # covers the exporter's counts and turnarounds over everything: without it, a scan of all receipts (4 s a million rows)
    Index("obligation_counted", "team", "side", "commitment", "verdict", "business_us", "ended_at"),
)

#: Every distinct version of each obligation, in the order it was learned. Append-only.
revision = Table(
    "revision",
    metadata,
    Column("obligation_id", String, primary_key=True),
    Column("revision_no", Integer, primary_key=True),
    *_said(),
    Index("revision_by_learned", "obligation_id", "learned_at", "revision_no"),
    Index("revision_by_deadline", "deadline", "obligation_id"),
)

#: Revisions that `rebuild` wrote, with the reason: a recomputed verdict is true, but news to nobody, so it pages nobody.
rebuilt = Table(
    "rebuilt",
    metadata,
    Column("obligation_id", String, primary_key=True),
    Column("revision_no", Integer, primary_key=True),
    Column("cause", String, nullable=False),
    Column("learned_at", UtcInstant, nullable=False),
)

application = Table(
    "application",
    metadata,
    Column("application_id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("requisition_id", String, nullable=False),
    Column("team", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", UtcInstant, nullable=False),
    Column("ended_at", UtcInstant),
    Column("requisition_opened_at", UtcInstant),
    Column("accepted_at", UtcInstant),
    Column("learned_at", UtcInstant, nullable=False),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Index("application_by_team", "team"),
    Index("application_by_acceptance", "accepted_at"),
)

#: Who held the ball of an application, `[start_at, end_at)`; end_at null: still does.
holding = Table(
    "holding",
    metadata,
    Column("application_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("start_at", UtcInstant, nullable=False),
    Column("end_at", UtcInstant),
    Column("holder", String, nullable=False),
    Column("person", String),
    Column("state", String, nullable=False),
    Column("cause", String, nullable=False),
)
_later = holding.alias("later")
#: Holdings with a length: an application's life ends where nobody takes the ball for good. A requisition that is closed after
#: a rejection begins a further holding of nobody's, and prolongs no life.
LASTING = or_(
    holding.c.holder != "nobody",
    exists().where(
        _later.c.application_id == holding.c.application_id, _later.c.seq > holding.c.seq, _later.c.holder != "nobody"
    ),
)

partition_progress = Table(
    "partition_progress",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("tick_at", UtcInstant),
    Column("parked", Integer, nullable=False),
    Column("learned_at", UtcInstant, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
)

source_watermark = Table(
    "source_watermark",
    metadata,
    Column("account", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("complete_until", UtcInstant, nullable=False),
)

source_newest = Table(
    "source_newest",
    metadata,
    Column("account", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("received_at", UtcInstant, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("pointer", String, primary_key=True),  # topic:partition:offset of the record that could not be used
    Column("reason", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("system", String, nullable=False),
    Column("account", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("rejected_at", UtcInstant, nullable=False),
    Column("retried_at", UtcInstant),
)

#: How far the writer has read; moves in the transaction that writes the rows, and only from where it was.
consumer_position = Table(
    "consumer_position",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("topic_id", String),  # the broker's id of the topic: another one means it was made anew
)

#: A closed month: what was said to finance, whole. Append-only.
statement = Table(
    "statement",
    metadata,
    Column("period", String, primary_key=True),
    Column("content_sha256", String, nullable=False),
    Column("closed_at", UtcInstant, nullable=False),  # learned axis: how far the ledger had come, not a wall clock
    Column("body", JSON, nullable=False),  # schemas.statement.Statement
)

#: The obligations a closed month counted, as they were then. Append-only.
statement_line = Table(
    "statement_line",
    metadata,
    Column("period", String, primary_key=True),
    Column("obligation_id", String, primary_key=True),
    Column("revision_no", Integer, nullable=False),
    Column("line", JSON, nullable=False),  # schemas.statement.Line
)

#: Whether a month of one commitment of a team reached its objective: each time the word changed. The last revision counts.
signal = Table(
    "signal",
    metadata,
    Column("signal_id", String, primary_key=True),
    Column("revision_no", Integer, primary_key=True, autoincrement=False),
    Column("team", String, nullable=False),
    Column("side", String, nullable=False),
    Column("commitment", String, nullable=False),
    Column("period", String, nullable=False),
    Column("signal", String, nullable=False),
    Column("met", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("adherence", Float),
    Column("objective", Float, nullable=False),
    Column("minimum_n", Integer, nullable=False),
    Column("p_value", Float, nullable=False),
    Column("learned_at", UtcInstant, nullable=False),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Index("signal_by_period", "period", "team"),
)

#: When a source told nothing of a kind for an hour or longer, and spoke again. Append-only.
source_silence = Table(
    "source_silence",
    metadata,
    Column("account", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("start_at", UtcInstant, primary_key=True),
    Column("end_at", UtcInstant, nullable=False),
    Column("learned_at", UtcInstant, nullable=False),
)

#: Tables that nothing may update or delete from.
APPEND_ONLY = ("revision", "statement", "statement_line", "rebuilt", "signal", "source_silence")
