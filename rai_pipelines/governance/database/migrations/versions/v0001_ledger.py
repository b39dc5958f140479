"""The ledger: entries and checkpoints that nobody can change or delete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rai_pipelines.governance.database.protection import protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("ledger_entries", "ledger_checkpoints")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and the triggers that refuse every update and delete, whatever role asks."""
    op.create_table(
        "ledger_entries",
        sa.Column("sequence", NUMBER, autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(71), nullable=False),
        sa.Column("previous", sa.String(71), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_ledger_entries"),
        sa.UniqueConstraint("hash", name="uq_ledger_entries_hash"),
        sa.UniqueConstraint("previous", name="uq_ledger_entries_previous"),
    )
    op.create_table(
        "ledger_checkpoints",
        sa.Column("size", NUMBER, autoincrement=False, nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_ledger_checkpoints"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION rai_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
    for table in TABLES:
        protect(table)


def downgrade() -> None:
    """There is no way back: it would delete the ledger."""
    raise RuntimeError("the ledger is never dropped; restore a backup instead")
