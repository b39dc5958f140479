"""A round does every part that can be done, whatever keeps another part from being done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.audit import Auditor, build_auditor
from rai_pipelines.clock import utc_now
from rai_pipelines.governance.cases import sync
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import CaseRequest
from rai_pipelines.governance.escalation import notices
from rai_pipelines.policy.model import Severity
from rai_pipelines.release import open_gatekeeper
from rai_pipelines.rounds import go_round
from rai_pipelines.settings import Settings
from rai_pipelines_tests.governance.escalation.receivers import Receiver, webhook
from rai_pipelines_tests.registries import new_registry


@pytest.fixture
def auditor(tmp_path: Path) -> Auditor:
    """Of a home with an overdue legal report."""
    made = build_auditor(Settings(home=tmp_path / "home", tracking_uri=new_registry(tmp_path / "mlflow.db")))
    now = utc_now()
    with open_gatekeeper(made) as keeper:
        book = CaseBook(keeper.engine, keeper.ledger)
        request = CaseRequest(key="k", kind="incident", severity=Severity.LOW, title="Harm", description="d", noticed_at=now)
        book.classify(book.request(request).id, "death", aware_at=now.replace(year=now.year - 1))
    return made


def raising(error: Exception) -> Any:
    def act(*_: Any, **__: Any) -> Any:
        raise error

    return act


@pytest.mark.parametrize("part", ["registry", "tracker"])
def test_a_part_that_fails_in_a_way_that_nobody_foresaw_keeps_no_notice_from_going_out(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    if part == "registry":
        monkeypatch.setattr(type(auditor.registry), "live_pointers", raising(KeyError("hush")))
    else:
        monkeypatch.setattr(sync, "case_deliveries", raising(KeyError("hush")))
    posts = Receiver()
    with webhook(posts) as hook:
        monkeypatch.setenv(notices.WEBHOOK_URL, hook)
        report = go_round(auditor)
    assert len(report.escalated) == 4 and len(posts.got) == 4
    assert any("nobody foresaw (KeyError)" in problem for problem in report.problems) and "hush" not in str(report.problems)


def test_a_database_that_goes_away_ends_the_round(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    from rai_pipelines.errors import DatabaseError

    monkeypatch.setattr(type(auditor.registry), "live_pointers", raising(sa.exc.OperationalError("select", {}, Exception("gone"))))
    with pytest.raises(DatabaseError):
        go_round(auditor)
