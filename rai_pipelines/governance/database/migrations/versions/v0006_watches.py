"""Whether a verdict came from a whole audit, or from a look at production between two."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; verdicts from before it came from whole audits."""
    op.add_column("judgements", sa.Column("scope", sa.String(20), nullable=False, server_default="audit"))


def downgrade() -> None:
    """There is no way back: looks at production would count as audits."""
    raise RuntimeError("judgements are never dropped; restore a backup instead")
