"""The ledger as first published: tables, indices, and the triggers that keep closed history closed."""

import sqlalchemy as sa
from alembic import op

from streams.ledger_tables import UtcInstant

revision = "0001"
down_revision = None

APPEND_ONLY = ("revision", "statement", "statement_line")


def upgrade() -> None:
    _obligation()
    _revision()
    _application()
    _holding()
    _partition_progress()
    _source_watermark()
    _source_newest()
    _dead_letter()
    _consumer_position()
    _statement()
    _statement_line()
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _obligation() -> None:
    op.create_table(
        "obligation",
        sa.Column("obligation_id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("commitment", sa.String(), nullable=False),
        sa.Column("commitment_version", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("recruiter", sa.String(), nullable=False),
        sa.Column("hiring_manager", sa.String(), nullable=False),
        sa.Column("requisition_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String()),
        sa.Column("interview_id", sa.String()),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("started_at", UtcInstant(), nullable=False),
        sa.Column("due_soon_at", UtcInstant()),
        sa.Column("deadline", UtcInstant()),
        sa.Column("ended_at", UtcInstant()),
        sa.Column("elapsed_us", sa.BigInteger(), nullable=False),
        sa.Column("business_us", sa.BigInteger(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("revision_no", sa.Integer(), nullable=False),
    )
    op.create_index("obligation_by_deadline", "obligation", ["deadline", "team", "side", "commitment", "verdict"])
    op.create_index("obligation_counted", "obligation", ["team", "side", "commitment", "verdict", "business_us", "ended_at"])
    op.create_index("obligation_by_owner", "obligation", ["owner", "deadline"])
    op.create_index("obligation_by_requisition", "obligation", ["requisition_id"])
    op.create_index("obligation_by_team", "obligation", ["team", "deadline"])
    op.create_index("obligation_by_verdict", "obligation", ["verdict", "owner", "team", "side", "deadline", "due_soon_at"])


def _revision() -> None:
    op.create_table(
        "revision",
        sa.Column("obligation_id", sa.String(), primary_key=True),
        sa.Column("revision_no", sa.Integer(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("commitment", sa.String(), nullable=False),
        sa.Column("commitment_version", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("recruiter", sa.String(), nullable=False),
        sa.Column("hiring_manager", sa.String(), nullable=False),
        sa.Column("requisition_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String()),
        sa.Column("interview_id", sa.String()),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("started_at", UtcInstant(), nullable=False),
        sa.Column("due_soon_at", UtcInstant()),
        sa.Column("deadline", UtcInstant()),
        sa.Column("ended_at", UtcInstant()),
        sa.Column("elapsed_us", sa.BigInteger(), nullable=False),
        sa.Column("business_us", sa.BigInteger(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    op.create_index("revision_by_deadline", "revision", ["deadline", "obligation_id"])
    op.create_index("revision_by_learned", "revision", ["obligation_id", "learned_at", "revision_no"])


def _application() -> None:
    op.create_table(
        "application",
        sa.Column("application_id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("requisition_id", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("ended_at", UtcInstant()),
        sa.Column("requisition_opened_at", UtcInstant()),
        sa.Column("accepted_at", UtcInstant()),
        sa.Column("learned_at", UtcInstant(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    op.create_index("application_by_team", "application", ["team"])
    op.create_index("application_by_acceptance", "application", ["accepted_at"])


def _holding() -> None:
    op.create_table(
        "holding",
        sa.Column("application_id", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("start_at", UtcInstant(), nullable=False),
        sa.Column("end_at", UtcInstant()),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("person", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
    )


def _partition_progress() -> None:
    op.create_table(
        "partition_progress",
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("tick_at", UtcInstant()),
        sa.Column("parked", sa.Integer(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
    )


def _source_watermark() -> None:
    op.create_table(
        "source_watermark",
        sa.Column("account", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("complete_until", UtcInstant(), nullable=False),
    )


def _source_newest() -> None:
    op.create_table(
        "source_newest",
        sa.Column("account", sa.String(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("received_at", UtcInstant(), nullable=False),
    )


def _dead_letter() -> None:
    op.create_table(
        "dead_letter",
        sa.Column("pointer", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rejected_at", UtcInstant(), nullable=False),
        sa.Column("retried_at", UtcInstant()),
    )


def _consumer_position() -> None:
    op.create_table(
        "consumer_position",
        sa.Column("topic", sa.String(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("topic_id", sa.String()),
    )


def _statement() -> None:
    op.create_table(
        "statement",
        sa.Column("period", sa.String(), primary_key=True),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("closed_at", UtcInstant(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )


def _statement_line() -> None:
    op.create_table(
        "statement_line",
        sa.Column("period", sa.String(), primary_key=True),
        sa.Column("obligation_id", sa.String(), primary_key=True),
        sa.Column("revision_no", sa.Integer(), nullable=False),
        sa.Column("line", sa.JSON(), nullable=False),
    )


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
