"""Human oversight in evidence: counts with intervals, no reviewer, and nothing that reads as oversight where there is none."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binom

from rai_pipelines.assessments.base import AuditContext, run_assessment
from rai_pipelines.assessments.oversight.human_oversight import HumanOversightParameters, _median, assess_human_oversight
from rai_pipelines.evidence.model import Evidence, State, Status
from rai_pipelines.policy.findings import FindingStatus
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Tier
from rai_pipelines.policy.verdict import Asked, judge_control
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject
from rai_pipelines_tests.house import datasheet
from rai_pipelines_tests.policy.policies import changed, shipped

DAY = datetime.date(2027, 12, 15)  # on which ACCT-S is in force
START = pd.Timestamp("2027-11-01T08:00:00Z")
REVIEWERS = ("kim.reviewer@example.org", "lee-reviewer-77")
OVERSIGHT = {
    "high_stakes": {"column": "decision", "values": ["reject"]},
    "reviews": {"overridden": ["changed"]},
    "training": {"source": "training.csv"},
}
DATA = {"evaluation": "evaluation.parquet", "decisions": "decisions.parquet", "reviews": "reviews.parquet"}


def write_logs(folder: Path, *, n: int = 300, seconds: tuple[int, int] = (40, 200), overridden: int = 12, unreviewed: int = 0, late: int = 0) -> None:
    """A log of `n` rejections and as many acceptances, each rejection reviewed within `seconds`, some not and some only after their effect."""
    rng = np.random.default_rng(4)
    decided = START + pd.to_timedelta(np.arange(2 * n) * 60, unit="s")
    effect = decided + pd.Timedelta(days=1)
    pd.DataFrame({"decision_id": np.arange(2 * n), "decided_at": decided, "took_effect_at": effect, "decision": ["reject", "accept"] * n}).to_parquet(
        folder / "decisions.parquet"
    )
    ids = np.arange(0, 2 * n, 2)[unreviewed:]
    started = decided[ids] + pd.Timedelta(minutes=5)
    started = started.where(np.arange(len(ids)) >= late, started + pd.Timedelta(days=2))
    took = pd.to_timedelta(rng.integers(*seconds, len(ids)), unit="s")
    outcomes = np.where(np.arange(len(ids)) < overridden, "changed", "kept")
    who = np.array(REVIEWERS)[rng.integers(0, 2, len(ids))]
    reviews = {"decision_id": ids, "reviewer_id": who, "started_at": started, "finished_at": started + took, "outcome": outcomes}
    pd.DataFrame(reviews).to_parquet(folder / "reviews.parquet")
    (folder / "training.csv").write_text(
        "reviewer_id,valid_from,valid_until\n" + "".join(f"{name},2027-01-01,2028-01-01\n" for name in REVIEWERS), encoding="utf-8"
    )


def assessed(folder: Path, *, live: bool = True, **sheet: Any) -> Evidence:
    declared = parse_datasheet(yaml.safe_dump(datasheet(**{"data": DATA, "oversight": OVERSIGHT, **sheet})), source="datasheet.yaml")
    subject = Subject(ModelVersion("calls", "1"), declared, folder=None, model_digest=None, data_folder=folder, live=live)
    context = AuditContext(subject=subject, seed=1, scratch=folder)
    inputs = ("decisions", "reviews")
    return run_assessment("human_oversight", assess_human_oversight, context, HumanOversightParameters(), inputs=inputs)[0]


def judged(made: Evidence) -> Any:
    policy = read_policy()
    control = policy.control("ACCT-S")
    assert control is not None
    asked = Asked(tier=Tier.STANDARD, release_class="internal", day=DAY)
    return judge_control(control, policy, {"human_oversight": made}, asked)


def test_decisions_reviewed_in_time_by_trained_people_pass(tmp_path: Path) -> None:
    write_logs(tmp_path)
    made = assessed(tmp_path)
    assert made.status is Status.COMPLETE
    assert (made.value("high_stakes_decisions"), made.value("reviewed_before_effect"), made.value("reviewed_by_trained")) == (300, 1.0, 1.0)
    assert set(made.provenance.data_digests) == {"decisions", "reviews"}
    assert judged(made).status is FindingStatus.PASS


def test_no_reviewer_is_in_the_evidence(tmp_path: Path) -> None:
    write_logs(tmp_path)
    text = assessed(tmp_path).model_dump_json()
    assert not [name for name in (*REVIEWERS, "example.org") if name in text]


@pytest.mark.parametrize(
    ("logs", "status", "words"),
    [
        ({"unreviewed": 1}, FindingStatus.FAIL, "reviewed before effect is 0.9967"),
        ({"late": 3}, FindingStatus.FAIL, "reviewed before effect is 0.99"),
        ({"seconds": (1, 4)}, FindingStatus.FAIL, "review seconds median is 2"),
        ({"seconds": (12, 28), "n": 60}, FindingStatus.INCONCLUSIVE, "required at least 20"),
        ({"overridden": 0, "n": 600}, FindingStatus.INCONCLUSIVE, "no override in 600 reviews: at 95% confidence the rate is at most 0.50%"),
        ({"overridden": 0, "n": 300}, FindingStatus.PASS, "Every high-stakes decision"),
    ],
)
def test_waving_through_and_late_reviews_are_told_from_oversight(tmp_path: Path, logs: dict[str, Any], status: FindingStatus, words: str) -> None:
    write_logs(tmp_path, **logs)
    finding = judged(assessed(tmp_path))
    assert (finding.status, words in finding.reason) == (status, True), finding.reason


def test_training_that_expired_during_the_log_is_no_training(tmp_path: Path) -> None:
    write_logs(tmp_path)
    (tmp_path / "training.csv").write_text(f"reviewer_id,valid_from,valid_until\n{REVIEWERS[0]},2027-01-01,2027-11-01\n", encoding="utf-8")
    made = assessed(tmp_path)
    assert made.value("reviewed_by_trained") == 0.0
    assert made.details["reviewers_not_always_trained"] == 2
    assert judged(made).status is FindingStatus.FAIL


def test_without_training_records_the_control_reads_missing(tmp_path: Path) -> None:
    write_logs(tmp_path)
    made = assessed(tmp_path, oversight={name: value for name, value in OVERSIGHT.items() if name != "training"})
    finding = judged(made)
    assert finding.status is FindingStatus.MISSING and "names no training records" in finding.reason


@pytest.mark.parametrize(
    ("live", "risk", "oversight", "data", "status"),
    [
        (True, "high", None, {}, Status.MISSING),
        (False, "high", None, {}, Status.NOT_APPLICABLE),
        (True, "limited", None, {}, Status.NOT_APPLICABLE),
        (True, "limited", OVERSIGHT, {"decisions": None}, Status.MISSING),
        (False, "high", OVERSIGHT, {"reviews": None}, Status.NOT_APPLICABLE),
    ],
)
def test_a_high_risk_version_in_use_without_a_log_reads_missing(
    tmp_path: Path, live: bool, risk: str, oversight: Any, data: dict[str, Any], status: Status
) -> None:
    write_logs(tmp_path, n=10)
    made = assessed(tmp_path, live=live, risk={"class": risk, "reason": "as declared"}, oversight=oversight, data={**DATA, **data})
    assert made.status is status
    assert judged(made).status is (FindingStatus.MISSING if status is Status.MISSING else FindingStatus.NOT_APPLICABLE)


def test_a_log_without_high_stakes_decisions_decides_nothing(tmp_path: Path) -> None:
    write_logs(tmp_path, n=10)
    made = assessed(tmp_path, oversight={**OVERSIGHT, "high_stakes": {"column": "decision", "values": ["expel"]}})
    assert judged(made).status is FindingStatus.INCONCLUSIVE


def test_a_log_that_cannot_be_read_is_an_error_with_its_column(tmp_path: Path) -> None:
    write_logs(tmp_path, n=10)
    made = assessed(tmp_path, oversight={**OVERSIGHT, "decisions": {"decided_at": "when"}})
    assert made.status is Status.ERROR and "'when'" in str(made.reason)


def test_the_interval_of_the_median_covers_as_often_as_it_says() -> None:
    rng, hits, n, level = np.random.default_rng(8), 0, 41, 0.90
    for _ in range(400):
        drawn = np.floor(rng.exponential(100, n)).astype(int)
        values, counts = np.unique(drawn, return_counts=True)
        interval = _median(dict(zip(values.tolist(), counts.tolist(), strict=True)), level, "").interval
        assert interval is not None
        hits += interval.low <= np.floor(100 * np.log(2)) <= interval.high
    assert hits / 400 >= level - 3 * np.sqrt(level * (1 - level) / 400)
    below = int(binom.ppf(0.05, n, 0.5))
    assert 1 - 2 * binom.cdf(below - 1, n, 0.5) >= level, "the exact coverage of the ranks"


def test_a_median_of_few_reviews_has_no_interval_and_decides_nothing() -> None:
    few = _median({10: 2, 30: 1}, 0.90, "")
    assert (few.value, few.state) == (10.0, State.INSUFFICIENT)


def test_a_stricter_short_review_asks_for_other_parameters() -> None:
    from rai_pipelines.settings import Settings
    from rai_pipelines.steps import assessment_of

    policy = changed("ACCT-S", parameters={"short_review_seconds_min": 30})
    parameters: Any = assessment_of("human_oversight", policy, Settings())[1]
    assert parameters.short_review_seconds == 30


def test_of_several_controls_the_strictest_says_what_a_short_review_and_a_fitting_explanation_are() -> None:
    from rai_pipelines.settings import Settings
    from rai_pipelines.steps import assessment_of

    policy = shipped()[0]
    stricter = changed("ACCT-S", id="LEND-S", parameters={"short_review_seconds_min": 60}).control("LEND-S")
    by_default = changed("ACCT-S", policy=changed("ACCT-S", parameters={"short_review_seconds_min": 5}), id="LEND-T", parameters={})
    small = changed("TRAN-S", id="LEND-U", threshold={"coverage_min": 0.9, "additivity_error_max": 1e-6}).control("LEND-U")
    both = policy.model_copy(update={"controls": (*policy.controls, stricter, small)})
    with_default = policy.model_copy(
        update={"controls": (*changed("ACCT-S", parameters={"short_review_seconds_min": 5}).controls, by_default.control("LEND-T"))}
    )
    parameters: Any = assessment_of("human_oversight", both, Settings())[1]
    assert parameters.short_review_seconds == 60
    parameters = assessment_of("human_oversight", with_default, Settings())[1]
    assert parameters.short_review_seconds == 10
    parameters = assessment_of("explainability_report", both, Settings())[1]
    assert parameters.tolerance == 1e-6
