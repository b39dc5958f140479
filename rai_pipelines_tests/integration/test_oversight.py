"""Human oversight from a registered version's datasheet to its verdict: declared logs, found under the data root, joined, judged when in force."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rai_pipelines.audit import build_auditor
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines_tests.assessments.oversight.test_human_oversight import OVERSIGHT, REVIEWERS, write_logs
from rai_pipelines_tests.house import House, datasheet

pytestmark = pytest.mark.deployed

DATA = {"training": "training.parquet", "evaluation": "evaluation.parquet", "decisions": "decisions.parquet", "reviews": "reviews.parquet"}


@pytest.mark.slow
def test_a_live_version_with_logs_is_judged_and_one_without_reads_missing(tmp_path: Path) -> None:
    house = House(tmp_path)
    write_logs(house.settings.data_path, n=60)
    overseen = house.register(datasheet(data=DATA, oversight=OVERSIGHT))
    silent = house.register(datasheet(risk={"class": "high", "reason": "A decision costs a person a lot"}), name="silent")
    for version in (overseen, silent):
        house.registry.set_alias("champion", version)
    auditor = build_auditor(house.settings)
    findings = {}
    for version in (overseen, silent):
        for step in ("registry_record", "human_oversight"):
            auditor.measure(step, version)
        for day in (date(2027, 12, 1), date(2027, 12, 2)):
            found = auditor.judge(version, day=day).finding("ACCT-S")
            assert found is not None
            findings[version.name, day.day] = found
    assert findings["calls", 1].status is FindingStatus.NOT_IN_FORCE, "the law does not ask for it yet"
    assert findings["calls", 2].status is FindingStatus.PASS, findings["calls", 2].reason
    assert findings["silent", 2].status is FindingStatus.MISSING and "in use" in findings["silent", 2].reason
    stored = b"".join(path.read_bytes() for path in house.settings.evidence_dir.rglob("*.json"))
    assert not [name for name in REVIEWERS if name.encode() in stored]
