"""Months in which a version was live, and months for which it was audited, as the gate recorded them; on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.gate.months import LiveMonths, live_months, next_month
from rai_pipelines.governance.gate.rows import WHOLE_AUDIT, Making
from rai_pipelines.policy.verdict import VerdictStatus
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.governance.office import Office

VERSION = ModelVersion("loans", "1")


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    return Office(engine, tmp_path)


def audited(office: Office, day: date, status: VerdictStatus = VerdictStatus.COMPLIANT, *, made: Making = WHOLE_AUDIT) -> None:
    office.clock.now = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    verdict = office.verdict(status, risk="low")
    office.keeper.take_verdict(verdict, office.binding(verdict), created_ms=1, made=made)


def found(office: Office, today: date, own_month: str | None = None) -> LiveMonths:
    with office.engine.connect() as connection:
        return live_months(connection, VERSION, today, own_month=own_month)


def missed(office: Office, today: date, own_month: str | None = None) -> list[str]:
    months = found(office, today, own_month)
    return [month for month in months.live if month not in months.audited]


def test_a_month_without_an_audit_is_missed_from_the_month_after_it_became_live(office: Office) -> None:
    audited(office, date(2026, 6, 20), VerdictStatus.NON_COMPLIANT)
    audited(office, date(2026, 8, 10))
    audited(office, date(2026, 10, 2))
    months = found(office, date(2026, 12, 5))
    assert (months.live, months.live_now) == (("2026-08", "2026-09", "2026-10", "2026-11", "2026-12"), True)
    assert missed(office, date(2026, 12, 5)) == ["2026-09", "2026-11"]


def test_a_tick_that_was_missed_and_caught_up_counts_as_done(office: Office) -> None:
    audited(office, date(2026, 8, 10))
    audited(office, date(2026, 9, 1), made=Making("2026-09"))
    assert missed(office, date(2026, 11, 1)) == ["2026-10"]
    assert missed(office, date(2026, 11, 1), own_month="2026-10") == [], "the audit at hand is the one that makes up for it"
    audited(office, date(2026, 11, 1), made=Making("2026-10"))
    assert missed(office, date(2026, 12, 1)) == []


def test_no_run_makes_up_for_a_month_that_is_long_over(office: Office) -> None:
    audited(office, date(2026, 8, 10))
    audited(office, date(2026, 12, 1), made=Making("2026-09"))
    assert missed(office, date(2026, 12, 2), own_month="2026-10") == ["2026-09", "2026-10", "2026-11"]
    audited(office, date(2026, 12, 3), made=Making("2027-04"))
    assert "2027-04" not in found(office, date(2026, 12, 4)).audited


def test_months_in_which_it_was_neither_approved_nor_compliant_are_not_owed(office: Office) -> None:
    audited(office, date(2026, 6, 5))
    audited(office, date(2026, 7, 5), VerdictStatus.NON_COMPLIANT)
    audited(office, date(2026, 10, 5))
    assert found(office, date(2026, 11, 5)).live == ("2026-06", "2026-07", "2026-10", "2026-11")
    assert found(office, date(2026, 11, 5)).audited == ("2026-06", "2026-07", "2026-10", "2026-11")


def test_a_version_that_people_approved_is_live_though_its_verdict_needs_review(office: Office) -> None:
    gate = office.audited(VerdictStatus.NEEDS_REVIEW, risk="limited")
    assert found(office, date(2026, 12, 31)).live == ()
    gate = office.approve(gate, "validator")
    assert found(office, date(2027, 1, 31)).live == ("2026-12", "2027-01")
    office.clock.advance(days=31)
    office.decide("officer", DecisionKind.REVOKE, gate)
    months = found(office, date(2027, 3, 1))
    assert (months.live, months.live_now) == (("2026-12", "2027-01"), False)


def test_a_version_that_never_came_to_the_gate_owes_nothing(office: Office) -> None:
    assert found(office, date(2026, 12, 31)) == LiveMonths((), ("2026-12",), False)


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2190, 1, 1)))
def test_months_follow_one_another(day: date) -> None:
    after = next_month(f"{day:%Y-%m}")
    first = date(int(after[:4]), int(after[5:]), 1)
    assert 1 <= (first - day).days <= 31 and first.day == 1


def test_a_look_at_production_between_two_audits_is_no_audit_of_its_month(office: Office) -> None:
    audited(office, date(2026, 9, 1))
    audited(office, date(2026, 10, 15), made=Making(scope="production"))
    audited(office, date(2026, 11, 2))
    assert missed(office, date(2026, 12, 5)) == ["2026-10"]
