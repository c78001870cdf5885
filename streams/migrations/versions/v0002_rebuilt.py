"""Which revisions `rebuild` wrote, and why."""

import sqlalchemy as sa
from alembic import op

from streams.ledger_tables import UtcInstant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "rebuilt",
        sa.Column("obligation_id", sa.String(), primary_key=True),
        sa.Column("revision_no", sa.Integer(), primary_key=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("learned_at", UtcInstant(), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER rebuilt_no_{verb.lower()} BEFORE {verb} ON rebuilt "
                "BEGIN SELECT RAISE(ABORT, 'rebuilt is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION rebuilt_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'rebuilt is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER rebuilt_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rebuilt "
        "FOR EACH STATEMENT EXECUTE FUNCTION rebuilt_append_only()"
    )
