"""The review document is assembled once for each due day, in time, caught up with when late, and tried again when it failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.documents.policy_review import newest_review_document
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.orchestration.build import build_definitions
from rai_pipelines.orchestration.planning import REVIEW_LEAD_DAYS, RunState, plan_policy_review, policy_review_run_key
from rai_pipelines.orchestration.policy_review import REVIEW_JOB
from rai_pipelines.policy.load import read_policy, shipped_policy_path
from rai_pipelines.settings import Settings
from rai_pipelines_tests.governance.office import Clock, Office

DUE = date(2027, 11, 1)


@given(start=st.integers(-400, 400), days=st.integers(1, 60), failures=st.integers(0, 4))
def test_each_due_day_is_served_once_whatever_was_missed(start: int, days: int, failures: int) -> None:
    runs: dict[str, RunState] = {}
    left = failures
    for offset in range(start, start + days):
        attempt = plan_policy_review("p", DUE, DUE + timedelta(days=offset), runs, max_attempts=3)
        if attempt is not None:
            assert offset >= -REVIEW_LEAD_DAYS
            runs[policy_review_run_key("p", DUE, attempt)] = RunState.FAILED if left else RunState.SUCCEEDED
            left = max(0, left - 1)
    assert sum(state is RunState.SUCCEEDED for state in runs.values()) <= 1
    looked_in_time = min(days, start + days + REVIEW_LEAD_DAYS)
    if looked_in_time > failures and failures < 3:
        assert sum(state is RunState.SUCCEEDED for state in runs.values()) == 1


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tick(settings: Settings, instance: dg.DagsterInstance, day: date) -> list[dg.RunRequest]:
    definitions = build_definitions(settings)
    moment = datetime(day.year, day.month, day.day, 4, 30, tzinfo=UTC)
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment, repository_def=definitions.get_repository_def())
    return list(definitions.resolve_schedule_def("policy_reviews").evaluate_tick(context).run_requests or [])


def test_the_schedule_launches_a_job_that_writes_the_document(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(home=tmp_path)
    assert tick(settings, instance, DUE - timedelta(days=31)) == []
    (request,) = tick(settings, instance, DUE - timedelta(days=30))
    job = build_definitions(settings).resolve_job_def(REVIEW_JOB)
    assert job.execute_in_process(instance=instance, tags=request.tags).success
    document = newest_review_document("rai-default", settings.policies_path)
    assert document is not None and document.due_on == DUE and document.policy_digest == read_policy().digest
    assert tick(settings, instance, DUE - timedelta(days=29)) == [], "it was assembled"


def test_a_new_version_of_the_policy_before_the_due_day_gets_a_document_of_its_own(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    text = shipped_policy_path().read_text(encoding="utf-8")
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    settings = Settings(home=tmp_path, policy_file=path)
    (request,) = tick(settings, instance, DUE - timedelta(days=30))
    instance.add_run(dg.DagsterRun(job_name=REVIEW_JOB, tags=request.tags, status=dg.DagsterRunStatus.SUCCESS))
    assert tick(settings, instance, DUE - timedelta(days=20)) == []
    path.write_text(text.replace("version: 1.0.0", "version: 1.1.0"), encoding="utf-8")
    assert len(tick(settings, instance, DUE - timedelta(days=20))) == 1, "nobody can sign that they read the other version's"


def test_a_signed_review_moves_the_next_one(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(home=tmp_path)
    engine = open_governance(settings)
    office = Office(engine, tmp_path, clock=Clock(datetime(DUE.year, DUE.month, DUE.day, 9, tzinfo=UTC)))
    assert len(tick(settings, instance, DUE + timedelta(days=1))) == 1
    office.review_policy()
    engine.dispose()
    assert tick(settings, instance, DUE + timedelta(days=1)) == []
    assert len(tick(settings, instance, DUE + timedelta(days=340))) == 1
