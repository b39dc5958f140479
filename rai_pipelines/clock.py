"""The one clock: timezone-aware UTC, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def utc_today() -> date:
    """The present day in UTC; policies come into force at its start."""
    return utc_now().date()
