"""Signals of each month, silences of each source, and the agreement as it was published. All append-only."""

import sqlalchemy as sa
from alembic import op

from streams.ledger_tables import UtcInstant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "signal",
        sa.Column("signal_id", sa.String(), primary_key=True),
        sa.Column("revision_no", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("commitment", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("met", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("adherence", sa.Float()),
        sa.Column("objective", sa.Float(), nullable=False),
        sa.Column("minimum_n", sa.Integer(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
    )
    op.create_index("signal_by_period", "signal", ["period", "team"])
    op.create_table(
        "source_silence",
        sa.Column("account", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("start_at", UtcInstant(), primary_key=True),
        sa.Column("end_at", UtcInstant(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
    )
    for table in ("signal", "source_silence"):
        _refuse_changes(table)


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
