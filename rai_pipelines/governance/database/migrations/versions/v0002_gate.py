"""The gate: what was judged and reviewed, who decided, exceptions, the state of every version, and what has still to be told outside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rai_pipelines.governance.database.protection import protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME, DIGEST, MOMENT = sa.String(300), sa.String(71), sa.String(27)
APPEND_ONLY = ("judgements", "bindings", "waivers", "decisions", "gate_transitions")


def upgrade() -> None:
    """Make the tables; those that hold what happened refuse every update and delete."""
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=False),
        sa.Column("verdict_digest", DIGEST, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("effective_status", sa.String(20), nullable=False),
        sa.Column("risk_class", sa.String(20), nullable=False),
        sa.Column("policy_digest", DIGEST, nullable=False),
        sa.Column("binding_digest", DIGEST, nullable=False),
        sa.Column("judged_for", sa.Date(), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_judgements"),
    )
    op.create_index("ix_judgements_model_name", "judgements", ["model_name", "model_version", "id"])
    op.create_table(
        "bindings",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_bindings"),
    )
    op.create_table(
        "waivers",
        sa.Column("id", DIGEST, nullable=False),
        sa.Column("control", sa.String(20), nullable=False),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=True),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_waivers"),
    )
    op.create_index("ix_waivers_model_name", "waivers", ["model_name"])
    op.create_table(
        "decisions",
        sa.Column("id", DIGEST, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=True),
        sa.Column("subject", DIGEST, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_subject", "decisions", ["subject"])
    op.create_index("ix_decisions_model_name", "decisions", ["model_name", "model_version"])
    op.create_table(
        "texts",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_texts"),
    )
    op.create_table(
        "gates",
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approved_until", MOMENT, nullable=True),
        sa.Column("risk_class", sa.String(20), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("effective_status", sa.String(20), nullable=False),
        sa.Column("binding_digest", DIGEST, nullable=False),
        sa.Column("verdict_digest", DIGEST, nullable=False),
        sa.Column("policy", sa.String(180), nullable=False),
        sa.Column("policy_digest", DIGEST, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("model_name", "model_version", name="pk_gates"),
    )
    op.create_index("ix_gates_state", "gates", ["state", "since"])
    op.create_index("ix_gates_due_at", "gates", ["due_at"])
    op.create_table(
        "gate_transitions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=False),
        sa.Column("before", sa.String(20), nullable=True),
        sa.Column("after", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("binding_digest", DIGEST, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gate_transitions"),
    )
    op.create_index("ix_gate_transitions_model_name", "gate_transitions", ["model_name", "model_version", "id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("key", sa.String(700), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("kind", "key", name="uq_outbox_kind"),
    )
    op.create_index("ix_outbox_done_at", "outbox", ["done_at", "due_at"])
    op.create_table(
        "bypasses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_name", NAME, nullable=False),
        sa.Column("pointer", NAME, nullable=False),
        sa.Column("model_version", NAME, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_bypasses"),
    )
    op.create_index("ix_bypasses_ended_at", "bypasses", ["ended_at"])
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_heartbeats"),
    )
    for table in APPEND_ONLY:
        protect(table)


def downgrade() -> None:
    """There is no way back: it would delete decisions."""
    raise RuntimeError("decisions are never dropped; restore a backup instead")
