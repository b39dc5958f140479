"""The tables, as SQLAlchemy knows them. What migrations make has to equal this; a test compares."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC as text that sorts by time, the same on every database: SQLite would forget the time zone."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """`2026-12-01T09:00:00.000000Z`."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:
        """Timezone-aware."""
        return None if value is None else datetime.fromisoformat(value)


NAMES = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
metadata = sa.MetaData(naming_convention=NAMES)

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(71), nullable=False, unique=True),
    sa.Column("previous", sa.String(71), nullable=False, unique=True),  # no two entries follow the same one: the chain cannot fork
    sa.Column("content", sa.Text(), nullable=False),
)

ledger_checkpoints = sa.Table(
    "ledger_checkpoints",
    metadata,
    sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("peaks", sa.Text(), nullable=False),  # JSON list: the frontier of the Merkle tree, to go on from
    sa.Column("envelope", sa.Text(), nullable=False),
)


NAME, DIGEST, MOMENT = sa.String(300), sa.String(71), Moment()

judgements = sa.Table(  # every verdict that came to the gate
    "judgements",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("model_version", NAME, nullable=False),
    sa.Column("verdict_digest", DIGEST, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("effective_status", sa.String(20), nullable=False),  # after waivers
    sa.Column("risk_class", sa.String(20), nullable=False),
    sa.Column("policy_digest", DIGEST, nullable=False),
    sa.Column("binding_digest", DIGEST, nullable=False),
    sa.Column("judged_for", sa.Date(), nullable=False),
    sa.Column("month", sa.String(7), nullable=True),  # 2026-11: the month that the audit was asked for; null: the one it was made in
    sa.Column("scope", sa.String(20), nullable=False, server_default="audit"),  # audit: a whole one; production: a look between two
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Index("ix_judgements_model_name", "model_name", "model_version", "id"),
)

bindings = sa.Table(  # what an approval is about, word for word
    "bindings",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("content", sa.Text(), nullable=False),
)

waivers = sa.Table(
    "waivers",
    metadata,
    sa.Column("id", DIGEST, primary_key=True),
    sa.Column("control", sa.String(20), nullable=False),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("model_version", NAME, nullable=True),  # null: every version
    sa.Column("until", sa.Date(), nullable=False),
    sa.Column("content", sa.Text(), nullable=False),
    sa.Index("ix_waivers_model_name", "model_name"),
)

decisions = sa.Table(  # signed; the envelope is what counts, the other columns find it
    "decisions",
    metadata,
    sa.Column("id", DIGEST, primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("model_version", NAME, nullable=True),
    sa.Column("subject", DIGEST, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),  # of its entry in the ledger
    sa.Column("envelope", sa.Text(), nullable=False),
    sa.Index("ix_decisions_subject", "subject"),
    sa.Index("ix_decisions_model_name", "model_name", "model_version"),
    sa.Index("ix_decisions_kind", "kind", "sequence"),  # publications and reviews of policies
)

texts = sa.Table(  # what people wrote; can be deleted, and what was signed still verifies
    "texts",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("content", sa.Text(), nullable=False),
)

gates = sa.Table(  # the state of every version, derived from the tables above
    "gates",
    metadata,
    sa.Column("model_name", NAME, primary_key=True),
    sa.Column("model_version", NAME, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("since", MOMENT, nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("approved_until", MOMENT, nullable=True),
    sa.Column("risk_class", sa.String(20), nullable=False),
    sa.Column("severity", sa.String(20), nullable=False),  # of the worst finding in the way
    sa.Column("effective_status", sa.String(20), nullable=False),
    sa.Column("binding_digest", DIGEST, nullable=False),
    sa.Column("verdict_digest", DIGEST, nullable=False),
    sa.Column("policy", sa.String(180), nullable=False),  # id@version and digest, as people read it
    sa.Column("policy_digest", DIGEST, nullable=False),
    sa.Column("created_ms", sa.BigInteger(), nullable=False),  # when the version was registered
    sa.Column("due_at", MOMENT, nullable=True),  # when the state changes by itself: an approval or a waiver ends
    sa.Index("ix_gates_state", "state", "since"),
    sa.Index("ix_gates_due_at", "due_at"),
)

gate_transitions = sa.Table(
    "gate_transitions",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("model_version", NAME, nullable=False),
    sa.Column("before", sa.String(20), nullable=True),
    sa.Column("after", sa.String(20), nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("binding_digest", DIGEST, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Index("ix_gate_transitions_model_name", "model_name", "model_version", "id"),
)

outbox = sa.Table(  # what others have still to be told; see governance/outbox.py
    "outbox",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("key", sa.String(700), nullable=False),
    sa.Column("payload", sa.Text(), nullable=False),
    sa.Column("created_at", MOMENT, nullable=False),
    sa.Column("due_at", MOMENT, nullable=False),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("generation", sa.Integer(), nullable=False),  # counts how often the same thing had to be told anew
    sa.Column("claimed_until", MOMENT, nullable=True),  # a process is delivering it
    sa.Column("done_at", MOMENT, nullable=True),
    sa.Column("problem", sa.Text(), nullable=True),
    sa.UniqueConstraint("kind", "key", name="uq_outbox_kind"),
    sa.Index("ix_outbox_done_at", "done_at", "due_at"),
)

bypasses = sa.Table(  # what pointed at a version that was not approved, from when to when
    "bypasses",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("pointer", NAME, nullable=False),
    sa.Column("model_version", NAME, nullable=False),
    sa.Column("seen_at", MOMENT, nullable=False),
    sa.Column("ended_at", MOMENT, nullable=True),
    sa.Index("ix_bypasses_ended_at", "ended_at"),
)

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("key", sa.String(200), nullable=False, unique=True),
    sa.Column("severity", sa.String(20), nullable=False),
    sa.Column("model_name", NAME, nullable=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("content", sa.Text(), nullable=False),
    sa.Column("opened_at", MOMENT, nullable=False),
    sa.Column("changed_at", MOMENT, nullable=False),
    sa.Column("looked_at", MOMENT, nullable=True),  # when the tracker was last asked
    sa.Column("ref", sa.String(200), nullable=True),
    sa.Column("url", sa.Text(), nullable=True),
    sa.Column("incident_class", sa.String(60), nullable=True),
    sa.Column("aware_at", MOMENT, nullable=True),
    sa.Column("report_due_at", MOMENT, nullable=True),
    sa.Column("reported_at", MOMENT, nullable=True),
    sa.Column("closed_at", MOMENT, nullable=True),
    sa.Column("lesson", DIGEST, nullable=True),
    sa.Index("ix_cases_state", "state", "looked_at"),
    sa.Index("ix_cases_model_name", "model_name"),
)

case_events = sa.Table(
    "case_events",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("case_id", sa.Integer(), nullable=False),
    sa.Column("at", MOMENT, nullable=False),
    sa.Column("source", sa.String(60), nullable=False),
    sa.Column("what", sa.Text(), nullable=False),
    sa.Index("ix_case_events_case_id", "case_id", "id"),
)

escalations = sa.Table(  # a step that was taken: once for ever
    "escalations",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("about", sa.String(700), nullable=False),
    sa.Column("since", MOMENT, nullable=False),
    sa.Column("step", sa.Integer(), nullable=False),
    sa.Column("role", sa.String(40), nullable=False),
    sa.Column("due_at", MOMENT, nullable=False),
    sa.Column("taken_at", MOMENT, nullable=False),
    sa.UniqueConstraint("about", "since", "step", name="uq_escalations_about"),
)

legal_holds = sa.Table(  # models about which nothing is deleted
    "legal_holds",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("model_name", NAME, nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("set_at", MOMENT, nullable=False),
    sa.Column("lifted_at", MOMENT, nullable=True),
)

webhook_deliveries = sa.Table(  # what registries called in to say; see governance/webhooks
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),  # the sender's: the same delivery counts once
    sa.Column("event", sa.String(60), nullable=False),
    sa.Column("model_name", NAME, nullable=True),
    sa.Column("model_version", NAME, nullable=True),
    sa.Column("pointer", NAME, nullable=True),
    sa.Column("received_at", MOMENT, nullable=False),
    sa.Column("handled_at", MOMENT, nullable=True),
    sa.Index("ix_webhook_deliveries_handled_at", "handled_at", "received_at"),
)

heartbeats = sa.Table(  # when a part of this software last did its round
    "heartbeats",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("at", MOMENT, nullable=False),
)

APPEND_ONLY = (
    "ledger_entries",
    "ledger_checkpoints",
    "judgements",
    "bindings",
    "waivers",
    "decisions",
    "gate_transitions",
    "case_events",
    "escalations",
)
