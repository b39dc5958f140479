"""Deliveries of webhooks: each of them counts once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME, MOMENT = sa.String(300), sa.String(27)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("event", sa.String(60), nullable=False),
        sa.Column("model_name", NAME, nullable=True),
        sa.Column("model_version", NAME, nullable=True),
        sa.Column("pointer", NAME, nullable=True),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("handled_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_handled_at", "webhook_deliveries", ["handled_at", "received_at"])


def downgrade() -> None:
    """There is no way back: what was delivered could be sent again."""
    raise RuntimeError("deliveries are never dropped; restore a backup instead")
