"""The tables, as SQLAlchemy knows them. What migrations make has to equal this; a test compares."""

from __future__ import annotations

import sqlalchemy as sa

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

APPEND_ONLY = ("ledger_entries", "ledger_checkpoints")
