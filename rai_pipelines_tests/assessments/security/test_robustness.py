"""Attacks on models whose true robustness is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import AuditContext, Measured, run_assessment
from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness
from rai_pipelines.errors import DataError, DatasheetError, ModelMissing
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import _estimator
from rai_pipelines.subjects.model_tasks import run_task
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
PARAMETERS = RobustnessParameters(
    sample=30,
    pool=300,
    attacks=("hop_skip_jump", "valid_neighbours"),
    starts=40,
    neighbours=60,
    max_iter=2,
    init_eval=30,
    max_eval=60,
    boundary_iterations=3,
    control_rows=10,
)
Rule = Callable[[pd.DataFrame], np.ndarray]


class RuleModel:
    """A model given by a rule; remembers every row it was asked about."""

    flavor, features = "rule", ("x", "z", "count", "job", "sex")
    native = None

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen: list[pd.DataFrame] = []

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        self.seen.append(frame.copy())
        return np.asarray(self.rule(frame)).astype(int)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        return None

    def run(self, task: str, parameters: Mapping[str, Any], tables: Any) -> tuple[Mapping[str, Any], Any]:
        if ":" in task and "onnx" in task:
            return {"path": "native", "reason": "a rule has no conversion"}, {}
        return run_task(task, cast(Any, self), parameters, tables)


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
    measured = assess_robustness(audit, PARAMETERS.model_copy(update={"attacks": ("hop_skip_jump", "boundary", "valid_neighbours")}))
    distances = cast(Any, measured.details["distances"])["valid_neighbours"]
    sampled = one(measured, "robust_to_clean_ratio")
    spread = float(pd.read_parquet(tmp_path / "training.parquet")["x"].std(ddof=0))
    evaluation = pd.read_parquet(tmp_path / "evaluation.parquet")["x"]
    expected = float((evaluation.abs() / spread > 0.5).mean())
    assert sampled.interval is not None
    assert sampled.interval.low <= expected <= sampled.interval.high
    assert one(measured, "clean_accuracy").value == 1.0
    assert max(distances["deciles"]) <= 1.0  # twice the budget, for the curve
    by_attack = [one(measured, "attack_success_rate", name).value for name in ("hop_skip_jump", "boundary", "valid_neighbours")]
    assert by_attack[0] == by_attack[1] == by_attack[2]
    curve = {item.group: item.value for item in measured.measurements if item.metric == "robust_to_clean_ratio_at_budget"}
    beyond = evaluation.abs() / spread
    assert curve["l2<=0.5"] == sampled.value
    assert curve["l2<=1"] == pytest.approx(float((beyond > 1.0).mean()), abs=0.2)
    assert sorted(curve.values(), reverse=True) == list(curve.values())  # type: ignore[type-var]
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
    malformed = 4 * 3 + 1 * 2 + 1  # three per number, two per category, one of all
    corrupted = 1 + 4 + 1 + 2 * 2  # the clean rows, noise, out of range, missing and swapped
    attacks = model.seen[: -(malformed + corrupted)]
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
    weak = {"attacks": ("hop_skip_jump",), "starts": 1, "max_iter": 1, "init_eval": 10, "max_eval": 10}
    strict = PARAMETERS.model_copy(update={"min_control_success": 1.0, **weak})
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
        if frame["x"].isna().all():
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


def test_labels_and_groups_share_the_sample_and_small_groups_are_disclosed(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: frame["x"] > np.where(frame["sex"] == 1, 0.0, 4.0), label=lambda frame: frame["x"] > -9)
    measured = assess_robustness(audit, PARAMETERS.model_copy(update={"sample": 100, "min_group_n": 10}))
    groups = {item.group: item for item in measured.measurements if item.metric == "group_robust_to_clean_ratio"}
    assert sum(item.n or 0 for item in groups.values()) == 100
    assert groups["2"].state is State.INSUFFICIENT  # nobody of group 2 is decided correctly
    assert groups["2"].denominator == 0
    assert groups["1"].value == one(measured, "robust_to_clean_ratio").value
    (gap,) = [item for item in measured.measurements if item.metric == "robust_to_clean_gap"]
    assert gap.state is State.INSUFFICIENT
    assert gap.value is None


def test_the_feature_that_the_model_rests_on_is_the_fragile_one(tmp_path: Path) -> None:
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], PARAMETERS.model_copy(update={"sample": 100}))
    shares = {item.group: item.value for item in measured.measurements if item.metric == "feature_fragility"}
    assert shares["x"] == 1.0
    assert set(shares) == {"x", "count", "job"}
    assert max(value for name, value in shares.items() if name != "x" and value is not None) == 0.0


def test_examples_show_changes_only_and_nothing_of_identifying_inputs(tmp_path: Path) -> None:
    open_ = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], PARAMETERS)
    hidden = assess_robustness(
        context(tmp_path, lambda frame: frame["x"] > 0, datasheet=DATASHEET.replace("  label: y", "  label: y\n  quasi_identifiers: [x]"))[0],
        PARAMETERS,
    )
    shown: Any = open_.details["examples"]
    assert 0 < len(shown) <= 5
    assert all(set(example) == {"distance", "changes"} and set(example["changes"]) == {"x"} for example in shown)
    assert {example["changes"]["x"] for example in shown} <= {
        "up a little",
        "down a little",
        "up by about 0.5 standard deviations",
        "down by about 0.5 standard deviations",
    }
    assert {example["changes"]["x"] for example in cast(Any, hidden.details["examples"])} == {"changed"}


def test_fewer_rows_are_attacked_when_the_budget_of_queries_is_small_and_it_is_said(tmp_path: Path) -> None:
    small = PARAMETERS.model_copy(update={"sample": 300, "max_queries": 10_000})
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], small)
    assert measured.details["sample_asked_for"] == 300
    assert measured.details["sample"] == 10_000 // 600
    ratio = one(measured, "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "fewer than 20" in str(ratio.note)


def test_attacks_that_were_cut_short_prove_nothing(tmp_path: Path) -> None:
    hungry = PARAMETERS.model_copy(update={"attacks": ("boundary",), "boundary_iterations": 500, "max_queries": 18_000})
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], hungry)
    cut: Any = measured.details["rows_cut_by_allowance"]
    assert cut["boundary"] > 15
    assert one(measured, "robust_to_clean_ratio").state is State.INSUFFICIENT
    assert "allowance" in str(one(measured, "robust_to_clean_ratio").note)


def test_a_model_that_changes_its_answers_is_counted_and_nothing_is_concluded(tmp_path: Path) -> None:
    calls = iter(range(10**6))

    def wavers(frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(frame["x"] > 0) ^ (np.asarray(frame["job"] == "cook") & (next(calls) % 2 == 1))

    audit, model = context(tmp_path, wavers)
    measured = assess_robustness(audit, PARAMETERS)
    unsteady = one(measured, "unsteady_decisions")
    wavering = int((next(frame for frame in model.seen if len(frame) == 30)["job"] == "cook").sum())
    assert (unsteady.value, unsteady.n, unsteady.denominator) == (wavering / 30, 30, 30)
    assert unsteady.interval is not None
    ratio = one(measured, "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert f"changes its answers: {wavering} of 30 rows" in str(ratio.note)
    steady = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], PARAMETERS)
    assert one(steady, "unsteady_decisions").value == 0.0


def test_a_time_limit_that_is_hit_leaves_no_conclusion(tmp_path: Path) -> None:
    measured = assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0)[0], PARAMETERS.model_copy(update={"time_limit_s": 1e-6}))
    assert measured.details["time_limit_hit"] is True
    ratio = one(measured, "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "ended after" in str(ratio.note)


def test_a_declared_direction_range_and_cost_limit_what_the_attacks_find(tmp_path: Path) -> None:
    rule: Rule = lambda frame: frame["x"] > 0  # noqa: E731
    free = assess_robustness(context(tmp_path, rule)[0], PARAMETERS.model_copy(update={"sample": 60}))
    for declared in ("directions: {x: increase}", "ranges: {x: [0.5, 9.0]}", "costs: {x: 4.0}", "epsilon_linf: 0.1"):
        sheet = DATASHEET.replace("epsilon_l2: 0.5", f"epsilon_l2: 0.5, {declared}")
        bound = assess_robustness(context(tmp_path, rule, datasheet=sheet)[0], PARAMETERS.model_copy(update={"sample": 60}))
        assert (one(bound, "robust_to_clean_ratio").value or 0) > (one(free, "robust_to_clean_ratio").value or 0), declared
        assert bound.details["against_the_threat_model"] == {}


def test_a_rule_about_a_column_that_is_no_input_is_refused(tmp_path: Path) -> None:
    sheet = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 0.5, costs: {gone: 2}")
    with pytest.raises(DatasheetError, match=r"robustness\.costs: 'gone' is no input of the model"):
        assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0, datasheet=sheet)[0], PARAMETERS)
    sheet = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 0.5, directions: {job: increase}")
    with pytest.raises(DatasheetError, match="'job' is a category"):
        assess_robustness(context(tmp_path, lambda frame: frame["x"] > 0, datasheet=sheet)[0], PARAMETERS)


def trained(folder: Path, estimator: Any) -> AuditContext:
    """The same people, judged by a fitted scikit-learn model without the column of texts."""
    sheet = parse_datasheet(DATASHEET.replace("job, ", "").replace("[job]", "[]"), source="d")
    features = sheet.columns.features
    context(folder, lambda frame: frame["x"] + frame["count"] / 8 > 1.2)
    training = pd.read_parquet(folder / "training.parquet")
    model = CheckedModel(_estimator(estimator.fit(training[list(features)], training["y"]), "skops"), features, "1", "model.skops")
    subject = Subject(ModelVersion("m", "1"), sheet, folder, "sha256:" + "0" * 64, folder, lambda _folder, _datasheet: model)
    return AuditContext(subject, 11, folder / "scratch")


@pytest.mark.parametrize(
    ("estimator", "attack"),
    [
        (RandomForestClassifier(15, random_state=0), "hop_skip_jump"),
        (DecisionTreeClassifier(max_depth=5, random_state=0), "decision_tree"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "gradient"),
    ],
    ids=["forest", "tree", "line"],
)
def test_asking_through_onnx_changes_no_conclusion_and_the_attacks_that_fit_are_run(tmp_path: Path, estimator: Any, attack: str) -> None:
    audit = trained(tmp_path, estimator)
    every = PARAMETERS.model_copy(update={"sample": 60, "attacks": ("hop_skip_jump", "valid_neighbours", "decision_tree", "gradient")})
    fast = assess_robustness(audit, every)
    native = assess_robustness(audit, every.model_copy(update={"queries": "native"}))
    path: Any = fast.details["queries_through"]
    assert (path["path"], path["decisions_different"]) == ("onnx", 0)
    assert path["rows"] >= 300
    assert cast(Any, native.details["queries_through"])["path"] == "native"
    assert one(fast, "robust_to_clean_ratio").value == one(native, "robust_to_clean_ratio").value
    assert cast(Any, fast.details["attacks"])[attack] == "effective"
    left_out: Any = fast.details["attacks_that_do_not_fit"]
    assert set(left_out) == {"decision_tree", "gradient"} - {attack}
    assert (one(fast, "attack_success_rate", attack).value or 0) > 0.1


def test_a_positive_control_of_very_few_rows_shows_nothing(tmp_path: Path) -> None:
    """People who are all alike but for a few: only where the count lies beside others is there anything to break."""
    audit, _ = context(tmp_path, lambda frame: frame["z"] > 0)
    found = assess_robustness(audit, PARAMETERS)
    assert one(found, "robust_to_clean_ratio").state is State.MEASURED
    for name in ("training", "evaluation"):
        frame = pd.read_parquet(tmp_path / f"{name}.parquet")
        far = np.arange(len(frame)) >= (6 if name == "evaluation" else len(frame) // 2)
        frame.assign(x=0.0, count=np.where(far, 0, 100 + np.arange(len(frame)) % 40), job="cook").to_parquet(tmp_path / f"{name}.parquet")
    sheet = DATASHEET.replace("epsilon_l2: 0.5", "epsilon_l2: 0.1, ranges: {count: [0, 200]}")
    audit, _ = context_of_tables(tmp_path, lambda frame: frame["z"] > 0, sheet)
    found = assess_robustness(audit, PARAMETERS.model_copy(update={"sample": 300}))
    ratio, control = one(found, "robust_to_clean_ratio"), one(found, "positive_control_success")
    assert 0 < (control.n or 0) < 5
    assert control.value == 1.0
    assert ratio.state is State.INSUFFICIENT
    assert f"no more than {control.n} decisions of a fragile model" in (ratio.note or "")


def test_where_most_rows_have_categories_that_training_never_saw_the_rest_does_not_stand_for_them(tmp_path: Path) -> None:
    context(tmp_path, lambda frame: frame["x"] > 0)
    frame = pd.read_parquet(tmp_path / "evaluation.parquet")
    frame.assign(job=np.where(np.arange(len(frame)) % 3 > 0, "baker", frame["job"])).to_parquet(tmp_path / "evaluation.parquet")
    audit, _ = context_of_tables(tmp_path, lambda frame: frame["x"] > 0, DATASHEET)
    ratio = one(assess_robustness(audit, PARAMETERS.model_copy(update={"sample": 150})), "robust_to_clean_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert "have categories that training never saw, and were not attacked" in (ratio.note or "")


def context_of_tables(folder: Path, rule: Rule, datasheet: str) -> tuple[AuditContext, RuleModel]:
    """As `context`, of tables that are there."""
    model = RuleModel(rule)
    subject = Subject(
        ModelVersion("m", "1"), parse_datasheet(datasheet, source="d"), folder, "sha256:" + "0" * 64, folder, lambda _folder, _datasheet: model
    )
    return AuditContext(subject, 11, folder / "scratch"), model


def test_a_model_that_dies_of_malformed_input_has_its_other_figures_all_the_same(tmp_path: Path) -> None:
    dead: list[bool] = []

    def dying(frame: pd.DataFrame) -> np.ndarray:
        if dead or (frame["x"].abs() > 1e8).any():
            dead.append(True)
            raise ZeroDivisionError("gone for good")
        return np.asarray(frame["x"] > 0)

    audit, _ = context(tmp_path, dying, label=lambda frame: frame["x"] > 0)
    measured = assess_robustness(audit, PARAMETERS)
    assert (one(measured, "crash_count").value or 0) > 1
    assert one(measured, "robust_to_clean_ratio").state is State.MEASURED
    assert any(item.metric == "corrupted_accuracy" and item.value is not None for item in measured.measurements)


def test_a_model_that_decides_everything_alike_is_not_called_robust(tmp_path: Path) -> None:
    audit, _ = context(tmp_path, lambda frame: np.ones(len(frame)))
    ratio = one(assess_robustness(audit, PARAMETERS), "robust_to_clean_ratio")
    assert (ratio.value, ratio.state) == (1.0, State.INSUFFICIENT)
    assert "no decision that could be turned" in (ratio.note or "")
