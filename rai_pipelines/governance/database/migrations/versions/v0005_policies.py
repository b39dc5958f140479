"""Decisions found by their kind (publications and reviews of policies), and the month that an audit was made for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add index and column; verdicts from before it were made for the month in which they came to the gate."""
    op.create_index("ix_decisions_kind", "decisions", ["kind", "sequence"])
    op.add_column("judgements", sa.Column("month", sa.String(7), nullable=True))


def downgrade() -> None:
    """There is no way back: what was audited when would be forgotten."""
    raise RuntimeError("judgements are never dropped; restore a backup instead")
