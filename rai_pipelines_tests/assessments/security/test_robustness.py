"""Attacks on models whose true robustness is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.base import AuditContext, Measured, run_assessment
from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness
from rai_pipelines.errors import DataError, ModelMissing
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

DATASHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns:
  label: y
  features: [x, z, count, job, sex]
  categorical_features: [job]
  immutable_features: [z]
  protected_attributes: {sex: {}}
data: {training: training.parquet, evaluation: evaluation.parquet}
robustness: {epsilon_l2: 0.5}
"""
PARAMETERS = RobustnessParameters(sample=30, pool=300, starts=40, neighbours=60, max_iter=2, init_eval=30, max_eval=60, control_rows=10)
Rule = Callable[[pd.DataFrame], np.ndarray]


class RuleModel:
    """A model given by a rule; remembers every row it was asked about."""

    flavor, features = "rule", ("x", "z", "count", "job", "sex")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen: list[pd.DataFrame] = []

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        self.seen.append(frame.copy())
        return np.asarray(self.rule(frame)).astype(int)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        return None


def rows(number: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=number),
            "z": rng.normal(size=number),
            "count": rng.integers(0, 20, number),
            "job": rng.choice(["cook", "nurse", "pilot"], number),
            "sex": rng.integers(1, 3, number),
        }
    )


def context(folder: Path, rule: Rule | None, *, label: Rule | None = None, datasheet: str = DATASHEET) -> tuple[AuditContext, RuleModel]:
    model = RuleModel(rule or (lambda frame: np.zeros(len(frame))))
    for name, number, seed in (("training", 600, 1), ("evaluation", 300, 2)):
        frame = rows(number, seed)
        frame.assign(y=np.asarray((label or model.rule)(frame)).astype(int)).to_parquet(folder / f"{name}.parquet")
    loader = (lambda _folder, _datasheet: model) if rule is not None else None
    subject = Subject(ModelVersion("m", "1"), parse_datasheet(datasheet, source="d"), folder, "sha256:" + "0" * 64, folder, loader)
    return AuditContext(subject, 11, folder / "scratch"), model


def one(measured: Measured, metric: str, group: str | None = None) -> Measurement:
    (item,) = [item for item in measured.measurements if item.metric == metric and item.group == group]
    return item


def test_a_linear_model_breaks_exactly_for_rows_nearer_to_the_boundary_than_epsilon(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: frame["x"] > 0)
    measured = assess_robustness(audit, PARAMETERS)
    distances = measured.details["distances"]["valid_neighbours"]  # type: ignore[index, call-overload]
    sampled = one(measured, "robust_to_clean_ratio")
    spread = float(pd.read_parquet(tmp_path / "training.parquet")["x"].std(ddof=0))
    evaluation = pd.read_parquet(tmp_path / "evaluation.parquet")["x"]
    expected = float((evaluation.abs() / spread > 0.5).mean())
    assert sampled.interval is not None
    assert sampled.interval.low <= expected <= sampled.interval.high
    assert one(measured, "clean_accuracy").value == 1.0
    assert max(distances) <= 0.5
    assert one(measured, "attack_success_rate", "hop_skip_jump").value == one(measured, "attack_success_rate", "valid_neighbours").value
    assert one(measured, "median_adversarial_distance").value == pytest.approx(float((evaluation.abs() / spread).median()), abs=0.25)


def test_a_model_of_fixed_features_alone_cannot_be_broken_and_the_control_can(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: (frame["z"] > 0) ^ (frame["sex"] == 1))
    measured = assess_robustness(audit, PARAMETERS)
    ratio = one(measured, "robust_to_clean_ratio")
    assert (ratio.value, ratio.state) == (1.0, State.MEASURED)
    assert (one(measured, "positive_control_success").value or 0) >= 0.5
    assert one(measured, "median_adversarial_distance").state is State.UNDEFINED


def test_every_row_the_model_is_asked_about_could_exist(tmp_path: Path) -> None:
    audit, model = context(tmp_path, lambda frame: (frame["x"] + frame["count"] / 6) > 1.6)
    assess_robustness(audit, PARAMETERS.model_copy(update={"control_rows": 5}))
    training = pd.read_parquet(tmp_path / "training.parquet")
    evaluation = pd.read_parquet(tmp_path / "evaluation.parquet")
    attacks = model.seen[: -(4 * 3 + 1 * 2 + 1)]  # all but the malformed probes: three per number, two per category, one of all
    asked = pd.concat(attacks)
    assert len(asked) > 1_000
    assert asked["count"].dtype == training["count"].dtype
    assert asked["count"].between(0, 19).all()
    assert set(asked["job"]) <= {"cook", "nurse", "pilot"}
    assert set(asked["sex"]) <= {1, 2}
    assert set(asked["z"]) <= set(training["z"]) | set(evaluation["z"])
    assert asked["x"].between(min(training["x"].min(), evaluation["x"].min()), max(training["x"].max(), evaluation["x"].max())).all()


def test_a_category_can_be_swapped_only_when_epsilon_allows_a_whole_step(tmp_path: Path) -> None:
    rule: Rule = lambda frame: frame["job"] == "pilot"  # noqa: E731
    fixed = assess_robustness(context(tmp_path, rule)[0], PARAMETERS)
    assert one(fixed, "robust_to_clean_ratio").value == 1.0
    wide = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 2.0")
    free = assess_robustness(context(tmp_path, rule, datasheet=wide)[0], PARAMETERS)
    assert one(free, "robust_to_clean_ratio").value == 0.0
    assert one(free, "median_adversarial_distance").value == 2.0
    cheap = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 0.5, category_step: 0.4")
    assert one(assess_robustness(context(tmp_path, rule, datasheet=cheap)[0], PARAMETERS), "median_adversarial_distance").value == 0.4


def test_a_budget_that_allows_no_change_proves_nothing(tmp_path: Path) -> None:
    frozen = DATASHEET.replace("immutable_features: [z]", "immutable_features: [x, z, count, job]")
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0, datasheet=frozen)[0], PARAMETERS)
    ratio = one(measured, "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "allows no change to any input" in str(ratio.note)
    assert one(measured, "robust_accuracy").state is State.INSUFFICIENT
    assert measured.details["movable_features"] == []


def test_attacks_that_cannot_break_a_fragile_model_prove_nothing(tmp_path: Path) -> None:
    strict = PARAMETERS.model_copy(update={"min_control_success": 1.0})
    narrow = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 0.02")
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0, datasheet=narrow)[0], strict)
    ratio = one(measured, "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "attack not effective" in str(ratio.note)


def test_only_correct_decisions_are_attacked(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: frame["x"] > 0, label=lambda frame: (frame["x"] > 0) ^ (frame["count"] < 8))
    measured = assess_robustness(audit, PARAMETERS)
    clean, robust, ratio = (one(measured, metric) for metric in ("clean_accuracy", "robust_accuracy", "robust_to_clean_ratio"))
    assert clean.value is not None
    assert 0.3 < clean.value < 0.9
    assert robust.value == pytest.approx((ratio.value or 0) * clean.value)
    assert ratio.denominator == round(clean.value * 30)


def test_without_labels_the_share_of_decisions_that_survive_is_measured(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: frame["x"] > 0, datasheet=DATASHEET.replace("  label: y\n", ""))
    measured = assess_robustness(audit, PARAMETERS)
    assert one(measured, "clean_accuracy").state is State.UNAVAILABLE
    assert one(measured, "robust_to_clean_ratio").state is State.MEASURED
    assert "no labels" in str(one(measured, "robust_to_clean_ratio").note)


def test_the_same_seed_gives_the_same_bytes_and_leaves_numpys_generator_alone(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: (frame["x"] * 2 + frame["count"] / 4) > 2)
    np.random.seed(1)
    state = np.random.get_state()[1]
    first = assess_robustness(audit, PARAMETERS)
    assert (np.random.get_state()[1] == state).all()
    np.random.seed(2)
    second = assess_robustness(audit, PARAMETERS)
    assert canonical_json([list(first.measurements), dict(first.details)]) == canonical_json([list(second.measurements), dict(second.details)])


@pytest.mark.parametrize(("error", "crashes", "refused"), [(ValueError, 0, 2), (ZeroDivisionError, 2, 0)])
def test_a_refusal_of_malformed_input_is_no_crash_and_both_are_named_by_error_type_only(
    tmp_path: Path, error: type[Exception], crashes: int, refused: int
) -> None:
    def brittle(frame: pd.DataFrame) -> np.ndarray:
        if frame["x"].isna().any():
            raise error(f"secret row {frame.iloc[0].to_dict()}")
        return np.asarray(frame["x"] > 0)

    measured = assess_robustness(context(tmp_path, brittle)[0], PARAMETERS)
    malformed: Any = measured.details["malformed"]
    assert one(measured, "crash_count").value == crashes
    assert measured.details["malformed_refused"] == refused
    assert {name for name, outcome in malformed.items() if outcome == error.__name__} == {"missing:x", "missing:all"}
    assert "secret" not in canonical_json(dict(measured.details)).decode()


def test_missing_inputs_and_unseen_categories_do_not_end_the_assessment(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: frame["x"].fillna(0) > 0)
    evaluation = pd.read_parquet(tmp_path / "evaluation.parquet")
    evaluation.loc[::3, "x"] = np.nan
    evaluation.loc[::5, "job"] = "astronaut"
    evaluation.loc[1::5, "job"] = None
    evaluation.to_parquet(tmp_path / "evaluation.parquet")
    measured = assess_robustness(audit, PARAMETERS)
    unseen: Any = measured.details["rows_with_unseen_categories"]
    assert 0 < unseen < 30
    assert measured.details["sample"] == 30 - unseen
    assert one(measured, "robust_to_clean_ratio").value is not None


def test_no_model_is_missing_evidence(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, None)
    with pytest.raises(ModelMissing):
        assess_robustness(audit, PARAMETERS)
    evidence, _ = run_assessment("adversarial_robustness", assess_robustness, audit, PARAMETERS, inputs=("training", "evaluation"))  # type: ignore[arg-type]
    assert evidence.status is Status.MISSING


def test_a_feature_that_training_lacks_is_named(tmp_path: Path) -> None:
    audit, _ = context(
        tmp_path, lambda frame: frame["x"] > 0, datasheet=DATASHEET.replace("[x, z, count, job, sex]", "[x, z, count, job, sex, gone]")
    )
    with pytest.raises(DataError, match=r"training table has no column 'gone'"):
        assess_robustness(audit, PARAMETERS)
