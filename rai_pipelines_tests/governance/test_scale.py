"""Ten thousand versions with twenty-four audits each: what people and daemons ask often stays quick. Times are printed, not judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.governance.database.tables import bindings, gates, judgements
from rai_pipelines.governance.gate.record import GateState
from rai_pipelines_tests.governance.office import START, Office

VERSIONS, AUDITS = 10_000, 24
KEPT = ("model_name", "model_version", "verdict_digest", "effective_status", "risk_class", "policy_digest", "binding_digest")


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    """A database as it is after two years of monthly audits of 10,000 live versions; one of them is due."""
    made = Office(engine, tmp_path)
    gate = made.audited(risk="low")
    digest = "sha256:" + "0" * 64
    rows: list[dict[str, Any]] = []
    for number in range(2, VERSIONS + 1):
        rows.append(
            {
                "model_name": f"model-{number // 10}",
                "model_version": str(number),
                "state": ("approved", "awaiting_review", "audited")[number % 3],
                "since": START - timedelta(days=number % 700),
                "reason": "Waits for somebody as validator",
                "approved_until": None,
                "risk_class": "high",
                "severity": "low",
                "effective_status": "compliant",
                "binding_digest": digest,
                "verdict_digest": digest,
                "policy": "rai-default",
                "policy_digest": made.policy.digest,
                "created_ms": number,
                "due_at": START + timedelta(days=1 + number % 300),
            }
        )
    with engine.begin() as connection:
        connection.execute(gates.insert(), rows)
        connection.execute(bindings.insert().values(digest=digest, content="{}"))
        for month in range(AUDITS):
            day = START - timedelta(days=30 * month)
            added = {"status": "compliant", "judged_for": day.date(), "recorded_at": day}
            judged = [{name: row[name] for name in KEPT} | added for row in rows]
            connection.execute(judgements.insert(), judged)
    assert gate.standing.state is GateState.APPROVED
    return made


@pytest.mark.slow
def test_listing_sweeping_and_looking_at_one_version_are_quick(office: Office) -> None:
    def listing() -> int:
        chosen = sa.select(gates).where(gates.c.state == "awaiting_review").order_by(gates.c.since).limit(500)
        with office.engine.connect() as connection:
            return len(connection.execute(chosen).all())

    def newest_of_a_version() -> int:
        chosen = sa.select(judgements).where(judgements.c.model_name == "model-500", judgements.c.model_version == "5005")
        with office.engine.connect() as connection:
            return len(connection.execute(chosen.order_by(judgements.c.id.desc())).all())

    keeper = office.keeper
    asked: dict[str, tuple[Callable[[], int], int]] = {
        "the 500 longest waiting of 10,000": (listing, 500),
        "all 24 judgements of one version among 240,000": (newest_of_a_version, AUDITS),
        "what is due among 10,000": (lambda: len(keeper.sweep()), 0),
    }
    for what, (ask, found) in asked.items():
        started = time.perf_counter()
        assert ask() == found
        print(f"{office.engine.dialect.name}: {what}: {1000 * (time.perf_counter() - started):.0f} ms")
