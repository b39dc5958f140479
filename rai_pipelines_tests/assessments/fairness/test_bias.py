"""Bias figures against Fairlearn on the raw rows of the demo data, and honest states where data do not suffice."""

from __future__ import annotations

import itertools
import math
from importlib import resources
from pathlib import Path

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from sklearn.tree import DecisionTreeClassifier

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.fairness.lattice import BiasParameters, measure_bias
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import canonical_json, plain
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.source import open_table

ATTRIBUTES = ("SEX", "RAC1P", "DIS", "AGEP", "CIT", "NATIVITY")
AGE_BINS = (18.0, 25.0, 35.0, 45.0, 55.0, 65.0)
DISPARITIES = {
    "demographic_parity_difference": ("insufficient_n",),
    "demographic_parity_ratio": ("insufficient_n",),
    "equalized_odds_difference": ("positives", "negatives"),
    "equalized_odds_ratio": ("positives", "negatives"),
    "equal_opportunity_difference": ("positives",),
}
RATES = {
    "selection_rate": fairlearn.metrics.selection_rate,
    "true_positive_rate": fairlearn.metrics.true_positive_rate,
    "false_positive_rate": fairlearn.metrics.false_positive_rate,
    "false_negative_rate": fairlearn.metrics.false_negative_rate,
    "accuracy": accuracy_score,
}
QUICK = BiasParameters(resamples=400)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """8,000 evaluation rows of the demo with the decisions of a small tree trained on the demo's training rows."""
    folder = resources.files("rai_pipelines.demo") / "data"
    training, evaluation = (
        pd.read_parquet(Path(str(folder / f"employment_MA_2015_{part}.parquet"))).head(rows)
        for part, rows in (("training", 8_000), ("evaluation", 8_000))
    )
    inputs = ["AGEP", "SCHL", "MAR", "SEX", "RAC1P", "DIS"]
    tree = DecisionTreeClassifier(max_depth=5, random_state=0).fit(training[inputs], training["employed"])
    return evaluation.assign(decision=tree.predict(evaluation[inputs]))[[*ATTRIBUTES, "employed", "decision"]]


@pytest.fixture(scope="module")
def measured(census: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure_bias(
        counts_of(census, tmp_path_factory.mktemp("census"), ATTRIBUTES), attributes=dict.fromkeys(ATTRIBUTES, "highest"), parameters=QUICK, seed=7
    )


def counts_of(frame: pd.DataFrame, folder: Path, attributes: tuple[str, ...], label: str | None = "employed") -> pd.DataFrame:
    frame.to_parquet(folder / "rows.parquet")
    source = open_table("rows.parquet", name="evaluation", data_folder=folder)
    bins = {"AGEP": AGE_BINS} if "AGEP" in attributes else {}
    return count_groups(source, attributes=attributes, bins=bins, label=label, prediction="decision", favourable="1")


def group_names(frame: pd.DataFrame, parts: tuple[str, ...]) -> pd.Series:
    """Group names made from raw rows without the code under test."""
    names = []
    for part in parts:
        if part == "AGEP":
            edges = ["[18, 25)", "[25, 35)", "[35, 45)", "[45, 55)", "[55, 65)"]
            names.append(pd.cut(frame[part], list(AGE_BINS), right=False, labels=edges).astype(str))
        else:
            names.append(frame[part].astype(int).astype(str))
    joined = names[0]
    for more in names[1:]:
        joined = joined + " × " + more
    return joined


def only(measured: Measured, metric: str, **where: str) -> list[Measurement]:
    return [item for item in measured.measurements if item.metric == metric and all(getattr(item, key) == value for key, value in where.items())]


SUBSETS = [subset for depth in (1, 2) for subset in itertools.combinations(ATTRIBUTES, depth)]


@pytest.mark.parametrize("parts", SUBSETS, ids=" × ".join)
def test_every_metric_equals_fairlearn_on_the_raw_rows(parts: tuple[str, ...], census: pd.DataFrame, measured: Measured) -> None:
    group, attribute = group_names(census, parts), " × ".join(parts)
    sizes = pd.DataFrame({"n": group.value_counts()})
    sizes["positives"] = census["employed"].groupby(group).sum()
    sizes["negatives"] = sizes["n"] - sizes["positives"]
    for metric, needed in DISPARITIES.items():
        enough = sizes["n"] >= 30
        for column in needed:
            enough &= column == "insufficient_n" or sizes[column if column != "insufficient_n" else "n"] >= 20
        rows = group.isin(sizes.index[enough])
        raw = getattr(fairlearn.metrics, metric)(census["employed"][rows], census["decision"][rows], sensitive_features=group[rows])
        (item,) = only(measured, metric, attribute=attribute)
        assert item.value == pytest.approx(raw, abs=1e-12)
        assert item.state is State.MEASURED
        assert item.n == rows.sum()


@pytest.mark.parametrize("parts", SUBSETS, ids=" × ".join)
def test_every_groups_rates_equal_fairlearn_on_the_raw_rows(parts: tuple[str, ...], census: pd.DataFrame, measured: Measured) -> None:
    groups = dict(list(census.groupby(group_names(census, parts))))
    attribute = " × ".join(parts)
    for metric, function in RATES.items():
        items = only(measured, metric, attribute=attribute)
        assert {item.group for item in items} == set(groups)
        for item in items:
            rows = groups[str(item.group)]
            assert item.n == len(rows)
            if item.denominator == 0:
                assert (item.value, item.state) == (None, State.UNDEFINED)
                continue
            assert item.value == pytest.approx(function(rows["employed"], rows["decision"]), abs=1e-12)
            assert (item.state is State.INSUFFICIENT) == (len(rows) < 30 or (item.denominator or 0) < 20)
            assert item.interval is not None
            assert item.interval.low <= item.value <= item.interval.high


def test_impact_ratio_is_the_rate_over_that_of_the_reference_group(census: pd.DataFrame, tmp_path: Path) -> None:
    counts = counts_of(census, tmp_path, ("RAC1P", "SEX"))
    measured = measure_bias(counts, attributes={"RAC1P": "1", "SEX": "2"}, parameters=QUICK, seed=7)
    for attribute, reference in (("RAC1P", "1"), ("SEX", "2"), ("RAC1P × SEX", "1 × 2")):
        rates = census["decision"].groupby(group_names(census, tuple(attribute.split(" × ")))).mean()
        items = only(measured, "impact_ratio", attribute=attribute)
        assert {item.comparison for item in items} == set(rates.index) - {reference}
        for item in items:
            assert item.reference == reference
            assert item.scale == "log"
            assert item.value == pytest.approx(rates[str(item.comparison)] / rates[reference], rel=1e-12)


def test_intervals_contain_their_value_and_everything_is_finite(measured: Measured) -> None:
    for item in measured.measurements:
        if item.interval is not None and item.value is not None:
            assert item.interval.low <= item.value <= item.interval.high
            assert item.standard_error is not None
            assert math.isfinite(item.standard_error)


def table(**groups: tuple[int, int, int, int]) -> pd.DataFrame:
    """Counts of groups given as (true positives, false negatives, false positives, true negatives)."""
    rows = [(name, y, p, n) for name, cells in groups.items() for (y, p), n in zip(((1, 1), (1, 0), (0, 1), (0, 0)), cells, strict=True) if n]
    return pd.DataFrame(rows, columns=["race", "label", "prediction", "count"]).astype({"label": "Int64"})


def race(counts: pd.DataFrame, reference: str = "highest") -> Measured:
    return measure_bias(counts, attributes={"race": reference}, parameters=QUICK, seed=1)


def test_small_group_is_disclosed_and_never_reads_as_parity() -> None:
    measured = race(table(White=(400, 100, 50, 450), Inuit=(6, 6, 1, 3)))
    for metric in DISPARITIES:
        (item,) = only(measured, metric)
        assert (item.value, item.state) == (None, State.INSUFFICIENT)
        assert "'Inuit' (" in str(item.note)
    (ratio,) = only(measured, "impact_ratio")
    assert ratio.state is State.INSUFFICIENT
    assert ratio.value == pytest.approx((7 / 16) / (450 / 1000))
    assert measured.details["groups"]["race"]["insufficient"] == {"Inuit": 16}  # type: ignore[index, call-overload]
    assert all(item.state is State.INSUFFICIENT for item in measured.measurements if item.group == "Inuit")


def test_group_without_positives_is_insufficient_for_what_needs_them_and_compared_on_the_rest() -> None:
    measured = race(table(a=(100, 50, 30, 120), b=(0, 0, 40, 60), c=(90, 40, 35, 100)))
    (rate,) = only(measured, "true_positive_rate", group="b")
    assert (rate.value, rate.state, rate.denominator) == (None, State.UNDEFINED, 0)
    (odds,) = only(measured, "equalized_odds_difference")
    assert odds.value == pytest.approx(max(abs(100 / 150 - 90 / 130), abs(30 / 150 - 35 / 135)))
    assert "'b' (0)" in str(odds.note)
    (parity,) = only(measured, "demographic_parity_difference")
    assert (parity.reference, parity.comparison) == ("c", "b")
    assert measured.details["groups"]["race"]["insufficient"] == {"b": 100}  # type: ignore[index, call-overload]


def test_one_group_alone_is_no_comparison() -> None:
    measured = race(table(White=(400, 100, 50, 450)))
    for metric in [*DISPARITIES, "impact_ratio"]:
        (item,) = only(measured, metric)
        assert (item.value, item.state) == (None, State.INSUFFICIENT)


def test_without_labels_selection_rates_are_measured_and_the_rest_is_unavailable() -> None:
    counts = table(a=(100, 50, 30, 120), b=(80, 80, 20, 120)).assign(label=pd.array([pd.NA] * 8, dtype="Int64"))
    measured = race(counts)
    assert [item.state for metric in ("selection_rate", "impact_ratio") for item in only(measured, metric)] == [State.MEASURED] * 3
    (parity,) = only(measured, "demographic_parity_difference")
    assert parity.value == pytest.approx(130 / 300 - 100 / 300)
    for metric in (
        "true_positive_rate",
        "accuracy",
        "base_rate",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
    ):
        assert {(item.value, item.state) for item in only(measured, metric)} == {(None, State.UNAVAILABLE)}
    assert measured.details["unlabelled_rows"] == 600
    assert measured.details["groups"]["race"]["insufficient"] == {}  # type: ignore[index, call-overload]


def test_four_fifths_is_exact_and_its_counts_are_kept() -> None:
    measured = race(table(a=(30, 0, 0, 30), b=(24, 6, 0, 30)), reference="a")
    (item,) = only(measured, "impact_ratio")
    assert item.value == 0.8
    assert measured.details["cells"] == [["race", "a", 60, 30, 30, 30, 0, 60], ["race", "b", 60, 24, 30, 24, 0, 60]]


def test_nobody_selected_stays_finite() -> None:
    measured = race(table(a=(100, 50, 30, 120), b=(0, 160, 0, 140)), reference="a")
    (ratio,) = only(measured, "impact_ratio")
    assert ratio.value == 0
    assert ratio.interval is not None
    assert 0 == ratio.interval.low < ratio.interval.high < 0.05
    for metric in ("demographic_parity_ratio", "equalized_odds_ratio"):
        (item,) = only(measured, metric)
        assert item.value == 0
        assert item.standard_error
        assert item.interval is not None
        assert item.interval.high > 0
    nobody = race(table(a=(0, 150, 0, 150), b=(0, 160, 0, 140)), reference="a")
    assert {(item.value, item.state) for name in ("impact_ratio", "demographic_parity_ratio") for item in only(nobody, name)} == {
        (None, State.UNDEFINED)
    }
    assert only(nobody, "demographic_parity_difference")[0].value == 0


def test_highest_reference_is_the_sufficient_group_with_the_highest_rate() -> None:
    measured = race(table(a=(50, 50, 50, 50), b=(70, 30, 60, 40), tiny=(5, 0, 5, 0)))
    assert {item.reference for item in only(measured, "impact_ratio")} == {"b"}
    assert measured.details["most_different"]["attributes"] == {  # type: ignore[index, call-overload]
        "attribute": "race",
        "reference": "b",
        "comparison": "a",
        "impact_ratio": pytest.approx(100 / 130),
    }


def test_a_reference_that_does_not_occur_is_refused_with_the_groups_that_do() -> None:
    with pytest.raises(DataError, match=r"'Klingon' does not occur in column 'race' \(found 'a', 'b'\)"):
        race(table(a=(50, 50, 50, 50), b=(70, 30, 60, 40)), reference="Klingon")


def test_the_same_counts_and_seed_give_the_same_bytes_in_any_row_order() -> None:
    counts = table(a=(100, 50, 30, 120), b=(80, 80, 20, 120), c=(20, 40, 25, 40))
    evidence = [canonical_json({"m": list(made.measurements), "d": plain(dict(made.details))}) for made in (race(counts), race(counts.iloc[::-1]))]
    assert evidence[0] == evidence[1]


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="intersections_depth"):
        BiasParameters(intersections_depth=0)
    assert np.isclose(BiasParameters().interval_level, 0.9)
