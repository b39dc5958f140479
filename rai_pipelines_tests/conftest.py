"""Fixtures and builders that several rooms' tests use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pytest

from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.evidence.model import Evidence, Interval, Measurement, Provenance, State, Status
from rai_pipelines_tests.postgres import PostgresServer, running_postgres

DAY = date(2026, 12, 15)


LONGEST_FIRST = ("test_postgres", "test_killed_audit", "test_add_your_model", "test_lifecycle", "test_bad_input")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest begin first, so that the workers end together."""

    def place(item: pytest.Item) -> int:
        name = item.path.stem
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _no_outside_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the developer's own home or registry."""
    for name in ("RAI_HOME", "RAI_TRACKING_URI", "RAI_DATA_ROOT", "RAI_SUBJECTS_DIR", "RAI_POLICY_FILE", "DAGSTER_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a worker: each file has databases and roles of its own names in it."""
    with running_postgres() as server:
        yield server


def provenance(**changes: Any) -> Provenance:
    """A provenance that is complete and says nothing in particular."""
    base: dict[str, Any] = {
        "model_name": "m",
        "model_version": "1",
        "model_digest": "sha256:" + "a" * 64,
        "datasheet_digest": "sha256:" + "b" * 64,
        "data_digests": {"evaluation": "sha256:" + "c" * 64},
        "policy": "rai-default@1.0.0",
        "policy_digest": "sha256:" + "d" * 64,
        "parameters": {},
        "parameters_digest": digest_of({}),
        "code_version": "0.1.0",
        "code_digest": "sha256:" + "e" * 64,
        "seed": 1,
        "libraries": {},
    }
    return Provenance(**{**base, **changes})


def evidence(
    assessment: str,
    *measurements: Measurement,
    status: Status = Status.COMPLETE,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Evidence:
    """Evidence of `assessment` with these measurements."""
    return Evidence(
        assessment=assessment, status=status, reason=reason, measurements=measurements, details=details or {}, provenance=provenance(**changes)
    )


def figure(metric: str, value: float | None, low: float | None = None, high: float | None = None, **fields: Any) -> Measurement:
    """A measurement with a 90 % interval when `low` and `high` are given."""
    interval = Interval(low=low, high=high, level=0.9, method="test") if low is not None and high is not None else None
    fields.setdefault("state", State.MEASURED if value is not None else State.UNDEFINED)
    return Measurement(metric=metric, value=value, interval=interval, **fields)
