"""Bias of multiclass models against scikit-learn and Fairlearn, and of regressions against pandas and SciPy, on raw rows."""

from __future__ import annotations

from pathlib import Path

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import recall_score, root_mean_squared_error

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.fairness.multiclass import measure_multiclass
from rai_pipelines.assessments.fairness.regression import measure_regression
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.outcomes import count_classes, residual_moments
from rai_pipelines.tables.source import open_table, table_of

CLASSES = ("high", "low", "mid")
QUICK = BiasParameters(resamples=300)


def people(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    sex = rng.choice(["f", "m"], rows)
    truth = rng.choice(CLASSES, rows)
    said = np.where(rng.random(rows) < np.where(sex == "m", 0.8, 0.6), truth, rng.choice(CLASSES, rows))
    value = rng.normal(100, 10, rows)
    return pd.DataFrame({"sex": sex, "y": truth, "p": said, "v": value, "w": value + rng.normal(np.where(sex == "m", 0, 1.5), 4)})


def only(measured: Measured, metric: str, **where: str) -> Measurement:
    (item,) = [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]
    return item


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return people()


@pytest.fixture(scope="module")
def multiclass(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("classes")
    frame.to_parquet(folder / "t.parquet")
    source = open_table("t.parquet", name="evaluation", data_folder=folder)
    counts = count_classes(source, attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES)
    return measure_multiclass(counts, classes=CLASSES, attributes={"sex": "m"}, parameters=QUICK, seed=1, depth=1)


@pytest.mark.parametrize("outcome", CLASSES)
def test_each_class_against_the_rest_is_fairlearns_figure_on_the_rows(frame: pd.DataFrame, multiclass: Measured, outcome: str) -> None:
    truth, said = (frame[name] == outcome for name in ("y", "p"))
    for metric in ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"):
        raw = getattr(fairlearn.metrics, metric)(truth, said, sensitive_features=frame["sex"])
        assert only(multiclass, metric, outcome=outcome).value == pytest.approx(raw, abs=1e-12)


def test_macro_recall_of_a_group_is_scikit_learns(frame: pd.DataFrame, multiclass: Measured) -> None:
    for sex, rows in frame.groupby("sex"):
        expected = recall_score(rows["y"], rows["p"], average="macro")
        item = only(multiclass, "macro_true_positive_rate", group=str(sex))
        assert item.value == pytest.approx(expected, abs=1e-12)
        assert item.interval is not None
        assert item.interval.low < expected < item.interval.high


def test_a_class_that_a_group_never_has_leaves_the_mean_undefined(tmp_path: Path) -> None:
    frame = people(400)
    frame.loc[(frame["sex"] == "f") & (frame["y"] == "mid"), "y"] = "low"
    frame.to_parquet(tmp_path / "t.parquet")
    source = open_table("t.parquet", name="evaluation", data_folder=tmp_path)
    counts = count_classes(source, attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES)
    measured = measure_multiclass(counts, classes=CLASSES, attributes={"sex": "m"}, parameters=QUICK, seed=1, depth=1)
    item = only(measured, "macro_true_positive_rate", group="f")
    assert (item.value, item.state) == (None, State.UNDEFINED)


@pytest.fixture(scope="module")
def regression(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("numbers")
    frame.to_parquet(folder / "t.parquet")
    source = open_table("t.parquet", name="evaluation", data_folder=folder)
    moments = residual_moments(source, attributes=["sex"], bins={}, label="v", prediction="w")
    return measure_regression(moments, attributes={"sex": "m"}, parameters=QUICK, depth=1)


def test_residuals_and_errors_of_groups_are_those_of_the_rows(frame: pd.DataFrame, regression: Measured) -> None:
    for sex, rows in frame.groupby("sex"):
        residual = rows["w"] - rows["v"]
        mean = only(regression, "mean_residual", group=str(sex))
        assert mean.value == pytest.approx(residual.mean(), rel=1e-9)
        assert mean.standard_error == pytest.approx(stats.sem(residual), rel=1e-6)
        assert only(regression, "rmse", group=str(sex)).value == pytest.approx(root_mean_squared_error(rows["v"], rows["w"]), rel=1e-9)
        assert only(regression, "mean_prediction", group=str(sex)).value == pytest.approx(rows["w"].mean(), rel=1e-12)


def test_the_gap_of_mean_residuals_is_welchs(frame: pd.DataFrame, regression: Measured) -> None:
    f, m = (frame.loc[frame["sex"] == sex, "w"] - frame.loc[frame["sex"] == sex, "v"] for sex in "fm")
    item = only(regression, "mean_residual_difference", comparison="f", reference="m")
    test = stats.ttest_ind(f, m, equal_var=False)
    assert item.value == pytest.approx(f.mean() - m.mean(), rel=1e-9)
    assert item.standard_error is not None
    assert item.value is not None
    assert item.value / item.standard_error == pytest.approx(test.statistic, rel=1e-6)


def test_the_standardised_gap_is_cohens_d(frame: pd.DataFrame, regression: Measured) -> None:
    f, m = (frame.loc[frame["sex"] == sex, "w"] - frame.loc[frame["sex"] == sex, "v"] for sex in "fm")
    pooled = np.sqrt(((len(f) - 1) * f.var(ddof=1) + (len(m) - 1) * m.var(ddof=1)) / (len(f) + len(m) - 2))
    item = only(regression, "standardised_residual_difference", comparison="f", reference="m")
    assert item.value == pytest.approx((f.mean() - m.mean()) / pooled, rel=1e-6)
    assert item.interval is not None
    assert item.interval.low < item.value < item.interval.high


def test_intervals_of_the_root_mean_square_error_and_its_ratio_cover() -> None:
    rng = np.random.default_rng(12)
    covered = {"rmse": 0, "rmse_ratio": 0}
    trials = 400
    for _ in range(trials):
        r = {"f": rng.normal(0, 2, 200), "m": rng.normal(0, 1, 300)}
        moments = pd.DataFrame(
            [[sex, len(x), len(x), *(float((x**k).sum()) for k in (1, 2, 3, 4)), 0.0, float(len(x)), 0.0] for sex, x in r.items()],
            columns=["sex", "count", "labelled", "r1", "r2", "r3", "r4", "p1", "p2", "centre"],
        )
        measured = measure_regression(moments, attributes={"sex": "m"}, parameters=QUICK, depth=1)
        for metric, truth, where in (("rmse", 2.0, {"group": "f"}), ("rmse_ratio", 2.0, {"comparison": "f"})):
            interval = only(measured, metric, **where).interval
            assert interval is not None
            covered[metric] += interval.low <= truth <= interval.high
    assert min(covered.values()) / trials >= 0.86  # of a stated 90 %


def test_a_group_that_only_a_rare_class_leaves_out_is_disclosed_as_insufficient() -> None:
    """60 people of the group are enough for the frequent classes; 6 of them are of the rare one, which was looked up nowhere before."""
    frame = pd.DataFrame({"sex": np.repeat(["f", "m"], [60, 2_000]), "y": np.tile(["high"] * 5 + ["low"] * 4 + ["mid"], 206)})
    counts = count_classes(table_of(frame.assign(p=frame["y"]), name="t"), attributes=["sex"], bins={}, label="y", prediction="p", classes=CLASSES)
    measured = measure_multiclass(
        counts, classes=CLASSES, attributes={"sex": "m"}, parameters=QUICK, seed=1, depth=1, labels={"sex": {"f": "women", "m": "men"}}
    )
    facts = measured.details["groups"]["sex"]
    assert facts["insufficient"] == {"f": 60}
    assert facts["insufficient_denominator"]["true_positive_rate"] == {"f": 6}
    assert facts["labels"] == {"f": "women", "m": "men"}


@pytest.mark.parametrize(("frame_of", "reference", "why"), [("one", "m", "only one group occurs: 'm'"), ("few", "highest", "enough labelled rows")])
def test_a_regression_says_of_an_attribute_that_nothing_could_be_compared(frame: pd.DataFrame, frame_of: str, reference: str, why: str) -> None:
    rows = frame[frame["sex"] == "m"] if frame_of == "one" else frame.head(40)
    moments = residual_moments(table_of(rows, name="t"), attributes=["sex"], bins={}, label="v", prediction="w")
    measured = measure_regression(moments, attributes={"sex": reference}, parameters=QUICK, depth=1)
    for metric in ("rmse_ratio", "standardised_residual_difference", "mean_residual_difference"):
        item = only(measured, metric)
        assert item.state is State.INSUFFICIENT
        assert item.value is None
        assert why in str(item.note)


def test_an_attribute_with_the_name_of_a_sum_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="cannot be called 'r2'"):
        residual_moments(table_of(frame.rename(columns={"sex": "r2"}), name="t"), attributes=["r2"], bins={}, label="v", prediction="w")
