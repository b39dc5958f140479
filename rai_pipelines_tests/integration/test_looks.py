"""Looks at one model version: what failed on a table fails on it again, whatever was looked at in between."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rai_pipelines.audit import Auditor
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.policy.load import read_policy
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import evidence, figure

VERSION = ModelVersion("m", "1")
ERROR = 0.05
FIRST, SECOND, THIRD = (f"sha256:{letter * 64}" for letter in "abc")


def disparity(table: str) -> Evidence:
    """An impact ratio that is outside with p = 0.01: enough at the first look (0.025), too little at the second (0.0018)."""
    value = 0.8 * math.exp(-2.326 * ERROR)
    limits = (value * math.exp(sign * 1.6449 * ERROR) for sign in (-1, 1))
    ratio = figure("impact_ratio", value, *limits, attribute="sex", reference="1", comparison="2", scale="log", standard_error=ERROR, denominator=400)
    odds = figure("equalized_odds_difference", 0.03, 0.01, 0.06, attribute="sex", standard_error=0.01)
    return evidence(
        "bias_assessment", ratio, odds, details={"rows": 900, "groups": {"sex": {"insufficient": {}}}}, data_digests={"evaluation": table}
    )


@pytest.mark.parametrize(
    ("tables", "expected"), [((FIRST,), "fail"), ((FIRST, SECOND), "inconclusive"), ((FIRST, SECOND, FIRST), "fail"), ((FIRST, FIRST), "fail")]
)
def test_a_failure_is_not_undone_by_audits_of_other_tables(tmp_path: Path, tables: tuple[str, ...], expected: str) -> None:
    store = LocalEvidenceStore(tmp_path)
    auditor = Auditor(Settings(home=tmp_path), registry=None, store=store, policy=read_policy())  # type: ignore[arg-type]  # not asked here
    for table in tables:
        store.put(disparity(table), kind="bias_assessment", folder=VERSION.key, status=Status.COMPLETE)
    control = next(item for item in read_policy().controls if item.id == "FAIR-S")
    (finding,) = auditor.judge_controls([control], VERSION, disparity(tables[-1]))
    assert finding.status == expected, finding.reason
