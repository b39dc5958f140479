"""A version in use is looked at between two audits: what happens in production is measured anew, everything else stays as it was audited."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.audit import Auditor, build_auditor, latest_verdict
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.database.tables import judgements
from rai_pipelines.orchestration.build import build_definitions
from rai_pipelines.orchestration.jobs import AUDIT_JOB, WATCH_JOB
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import shipped_policy_path
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.steps import WATCHED, steps
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.house import FEATURES, House, datasheet

pytestmark = pytest.mark.deployed

IN_FORCE = {"tier": "basic", "effective_from": "2026-11-01", "parameters": {"window_decisions": 200}}


class Office:
    """A house whose version is in use and logs production, under a policy in which FAIR-A is in force with small windows."""

    def __init__(self, house: House, instance: dg.DagsterInstance) -> None:
        self.house, self.instance = house, instance
        policy = yaml.safe_load(shipped_policy_path().read_text(encoding="utf-8"))
        next(control for control in policy["controls"] if control["id"] == "FAIR-A").update(IN_FORCE)
        path = house.folder / "policy.yaml"
        path.write_text(yaml.safe_dump(policy), encoding="utf-8")
        house.settings = house.settings.model_copy(update={"policy_file": path})
        self.log(0.0)
        sheet = datasheet(data={"training": "training.parquet", "evaluation": "evaluation.parquet", "production": "production.parquet"})
        sheet["columns"] = {**sheet["columns"], "timestamp": "at"}
        self.version: ModelVersion = house.register(sheet)
        house.registry.set_alias("champion", self.version)
        instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [self.version.key])

    def log(self, shift: float) -> None:
        """Production of the last days; `shift` moves the inputs of one sex, and with them what the model decides."""
        people = pd.concat([self.house.evaluation] * 2, ignore_index=True)
        moved = people["sex"].to_numpy() == 2
        for name in FEATURES:
            if name not in ("age", "sex"):
                people.loc[moved, name] = people.loc[moved, name].to_numpy(dtype=float) + shift
        now = datetime.now(UTC)
        people["at"] = pd.Timestamp(now) - pd.to_timedelta(np.arange(len(people))[::-1], unit="min")
        people.to_parquet(self.house.settings.data_path / "production.parquet")

    def run(self, job: str) -> dg.ExecuteInProcessResult:
        made = build_definitions(self.house.settings).resolve_job_def(job)
        return made.execute_in_process(instance=self.instance, partition_key=self.version.key, raise_on_error=False)

    @property
    def auditor(self) -> Auditor:
        return build_auditor(self.house.settings)

    @property
    def verdict(self) -> Verdict:
        found = latest_verdict(self.auditor.store, self.version)
        assert found is not None
        return found[0]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with dg.instance_for_test() as instance:
        yield Office(House(tmp_path_factory.mktemp("house")), instance)


def test_before_a_whole_audit_nothing_is_judged(office: Office) -> None:
    assert not office.run(WATCH_JOB).success
    assert latest_verdict(office.auditor.store, office.version) is None


def test_a_gap_that_opens_in_production_is_found_by_the_next_look_which_measures_nothing_else(office: Office) -> None:
    assert office.run(AUDIT_JOB).success
    before = {name: office.auditor.store.latest(name, office.version.key) for name in steps()}
    finding = office.verdict.finding("FAIR-A")
    assert finding is not None and finding.status is not FindingStatus.FAIL, finding.reason
    office.log(-4.0)
    assert office.run(WATCH_JOB).success
    after = {name: office.auditor.store.latest(name, office.version.key) for name in steps()}
    assert {name for name in steps() if before[name] != after[name]} == set(WATCHED)
    finding = office.verdict.finding("FAIR-A")
    assert finding is not None and finding.status is FindingStatus.FAIL, finding.reason
    assert "demographic parity difference of sex, in the mildest of 2 windows" in finding.reason


def test_what_came_to_the_gate_says_that_it_was_a_look_and_no_audit(office: Office) -> None:
    engine = open_governance(office.house.settings)
    with engine.connect() as connection:
        assert list(connection.execute(sa.select(judgements.c.scope).order_by(judgements.c.id)).scalars()) == ["audit", "production"]
    engine.dispose()
