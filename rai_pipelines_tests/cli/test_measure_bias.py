"""`rai measure bias` against Fairlearn on the raw rows of the demo's evaluation data, from CSV and from Parquet."""

from __future__ import annotations

import itertools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import fairlearn.metrics
import jsonschema
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

from rai_pipelines.cli.app import app
from rai_pipelines.cli.schemas import published_schemas

ATTRIBUTES = ("sex", "race", "disability", "citizenship", "AGEP")
RACES = {1: "White", 2: "Black", 3: "American Indian", 5: "Tribe not named", 6: "Asian", 7: "Pacific Islander", 8: "Other", 9: "Two or more"}
AGES = (18, 25, 35, 45, 55, 65)
MIN_GROUP_N, MIN_DENOMINATOR = 30, 20
RATES = {
    "selection_rate": fairlearn.metrics.selection_rate,
    "true_positive_rate": fairlearn.metrics.true_positive_rate,
    "false_positive_rate": fairlearn.metrics.false_positive_rate,
    "false_negative_rate": fairlearn.metrics.false_negative_rate,
    "accuracy": accuracy_score,
    "base_rate": lambda y, p: fairlearn.metrics.selection_rate(y, y),
}
DISPARITIES = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_ratio": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity_difference": ("true_positive_rate",),
}
OPTIONS = ["--label", "employed", "--prediction", "decision", "--resamples", "400", "--json"]
BINS = ["--bins", f"AGEP={','.join(map(str, AGES))}"]
PAIRS = [subset for depth in (1, 2) for subset in itertools.combinations(ATTRIBUTES, depth)]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """5,000 evaluation rows with the decisions of a small tree, and 40 people of a made-up citizenship without any favourable label."""
    folder = Path(str(resources.files("rai_pipelines.demo") / "data"))
    training, evaluation = (pd.read_parquet(folder / f"employment_MA_2015_{part}.parquet").head(5_000) for part in ("training", "evaluation"))
    inputs = ["AGEP", "SCHL", "MAR", "SEX", "RAC1P", "DIS"]
    tree = DecisionTreeClassifier(max_depth=5, random_state=0).fit(training[inputs], training["employed"])
    frame = pd.DataFrame(
        {
            "sex": evaluation["SEX"].map({1: "male", 2: "female"}),
            "race": evaluation["RAC1P"].map(RACES),
            "disability": evaluation["DIS"],
            "citizenship": evaluation["CIT"],
            "AGEP": evaluation["AGEP"],
            "employed": evaluation["employed"],
            "decision": tree.predict(evaluation[inputs]),
        }
    )
    out_of_work = np.random.default_rng(3).choice(frame.index[(frame["employed"] == 0) & (frame["citizenship"] == 1)], 40, replace=False)
    frame.loc[out_of_work, "citizenship"] = 9
    return frame


@pytest.fixture(scope="module")
def folder(people: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("people")
    people.to_parquet(made / "people.parquet")
    people.to_csv(made / "people.csv", index=False)
    return made


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, Any]:
    return measure(folder / "people.parquet", *BINS)


def measure(data: Path, *more: str, attributes: tuple[str, ...] = ATTRIBUTES) -> dict[str, Any]:
    by = itertools.chain.from_iterable(("--by", name) for name in attributes)
    result = CliRunner().invoke(app, ["measure", "bias", "--data", str(data), *by, *OPTIONS, *more], catch_exceptions=False)
    assert result.exit_code == 0
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def records(printed: dict[str, Any], metric: str, parts: tuple[str, ...]) -> list[dict[str, Any]]:
    return [item for item in printed["measurements"] if (item["metric"], item["attribute"]) == (metric, " × ".join(parts))]


def groups_of(people: pd.DataFrame, parts: tuple[str, ...]) -> pd.Series:
    """Group names made from the raw rows without the code under test."""
    edges = [f"[{low}, {high})" for low, high in itertools.pairwise(AGES)]
    named = people.assign(AGEP=pd.cut(people["AGEP"], list(AGES), right=False, labels=edges).astype(str)).astype(str)
    joined = named[parts[0]]
    for part in parts[1:]:
        joined = joined + " × " + named[part]
    return joined


@pytest.mark.parametrize("parts", PAIRS, ids=" × ".join)
def test_every_rate_of_every_group_equals_fairlearn_on_the_raw_rows(parts: tuple[str, ...], people: pd.DataFrame, printed: dict[str, Any]) -> None:
    raw = dict(list(people.groupby(groups_of(people, parts))))
    for metric, function in RATES.items():
        found = {item["group"]: item for item in records(printed, metric, parts)}
        assert set(found) == set(raw)
        for group, rows in raw.items():
            item, y, p = found[group], rows["employed"], rows["decision"]
            share_of = {"true_positive_rate": (y == 1).sum(), "false_negative_rate": (y == 1).sum(), "false_positive_rate": (y == 0).sum()}
            denominator = int(share_of.get(metric, len(rows)))
            assert (item["n"], item["denominator"]) == (len(rows), denominator)
            if denominator == 0:
                assert (item["state"], item["value"], item["interval"]) == ("undefined", None, None)
                continue
            assert item["value"] == pytest.approx(function(y, p), abs=1e-12)
            assert item["interval"]["low"] <= item["value"] <= item["interval"]["high"]
            assert item["state"] == ("measured" if len(rows) >= MIN_GROUP_N and denominator >= MIN_DENOMINATOR else "insufficient")


@pytest.mark.parametrize("parts", PAIRS, ids=" × ".join)
def test_every_disparity_equals_fairlearn_over_the_groups_that_are_measured(
    parts: tuple[str, ...], people: pd.DataFrame, printed: dict[str, Any]
) -> None:
    names = groups_of(people, parts)
    for metric, rates in DISPARITIES.items():
        measured = [{item["group"] for item in records(printed, rate, parts) if item["state"] == "measured"} for rate in rates]
        rows = names.isin(set.intersection(*measured))
        raw = getattr(fairlearn.metrics, metric)(people["employed"][rows], people["decision"][rows], sensitive_features=names[rows])
        (item,) = records(printed, metric, parts)
        assert item["value"] == pytest.approx(raw, abs=1e-12)
        assert (item["state"], item["n"]) == ("measured", int(rows.sum()))
        assert {item["reference"], item["comparison"]} <= set(names[rows])
        assert item["interval"]["low"] <= item["interval"]["high"]


@pytest.mark.parametrize("parts", PAIRS, ids=" × ".join)
def test_every_impact_ratio_is_the_ratio_of_fairlearns_selection_rates(parts: tuple[str, ...], people: pd.DataFrame, printed: dict[str, Any]) -> None:
    names, found = groups_of(people, parts), records(printed, "impact_ratio", parts)
    frame = fairlearn.metrics.MetricFrame(
        metrics=fairlearn.metrics.selection_rate, y_true=people["employed"], y_pred=people["decision"], sensitive_features=names
    )
    (reference,) = {item["reference"] for item in found}
    assert {item["comparison"] for item in found} == set(names) - {reference}
    sizes = names.value_counts()
    assert frame.by_group[reference] == pytest.approx(frame.by_group[sizes.index[sizes >= MIN_GROUP_N]].max(), abs=1e-12)
    for item in found:
        assert item["value"] == pytest.approx(frame.by_group[item["comparison"]] / frame.by_group[reference], abs=1e-12)
        assert item["state"] == ("measured" if sizes[item["comparison"]] >= MIN_GROUP_N else "insufficient")


def test_a_group_without_positives_is_undefined_or_insufficient_and_never_compared(printed: dict[str, Any]) -> None:
    (rate,) = [item for item in records(printed, "true_positive_rate", ("citizenship",)) if item["group"] == "9"]
    assert (rate["state"], rate["value"], rate["n"], rate["denominator"]) == ("undefined", None, 40, 0)
    for metric in ("equalized_odds_difference", "equalized_odds_ratio", "equal_opportunity_difference"):
        (item,) = records(printed, metric, ("citizenship",))
        assert "9" not in {item["reference"], item["comparison"]}
        assert "not compared, too few rows: " in item["note"] and "'9' (0)" in item["note"]
    assert printed["details"]["groups"]["citizenship"]["insufficient"]["9"] == 40


def test_two_groups_of_which_one_has_no_positives_never_read_as_parity(people: pd.DataFrame, tmp_path: Path) -> None:
    people[people["citizenship"].isin([1, 9])].to_csv(tmp_path / "two.csv", index=False)
    found = measure(tmp_path / "two.csv", attributes=("citizenship",))
    for metric in ("equalized_odds_difference", "equalized_odds_ratio", "equal_opportunity_difference"):
        (item,) = records(found, metric, ("citizenship",))
        assert (item["state"], item["value"]) == ("insufficient", None)


def test_csv_and_parquet_give_the_same_output_but_for_name_and_digest_of_the_data(folder: Path, printed: dict[str, Any]) -> None:
    from_csv = measure(folder / "people.csv", *BINS)
    assert (from_csv["data"], from_csv["data_digest"]) != (printed["data"], printed["data_digest"])
    assert from_csv | {"data": None, "data_digest": None} == printed | {"data": None, "data_digest": None}


def test_the_output_fits_its_published_schema_and_every_record_has_its_fields(printed: dict[str, Any]) -> None:
    jsonschema.validate(printed, published_schemas()["measure"])
    for item in printed["measurements"]:
        assert {"metric", "attribute", "value", "interval", "n", "denominator", "state"} <= set(item)
        overall = item["metric"] == "labelled_share" and item["attribute"] is None
        assert overall or item["group"] is not None or item["comparison"] is not None or item["state"] != "measured"
        assert item["state"] == "measured" or item["note"]


def test_a_declared_reference_is_the_one_that_others_are_compared_with(folder: Path) -> None:
    found = measure(folder / "people.parquet", "--reference", "race=White", "--reference", "sex=male", "--depth", "1", attributes=("race", "sex"))
    assert {item["reference"] for item in records(found, "impact_ratio", ("race",))} == {"White"}
    assert {item["reference"] for item in records(found, "impact_ratio", ("sex",))} == {"male"}
    assert {item["comparison"] for item in records(found, "impact_ratio", ("race",))} == set(RACES.values()) - {"White"}


def test_highest_is_the_reference_when_none_is_given(folder: Path) -> None:
    data = folder / "people.parquet"
    assert measure(data, "--reference", "highest", attributes=("race",)) == measure(data, attributes=("race",))


def test_recall_is_the_true_positive_rate_by_another_library_too(people: pd.DataFrame, printed: dict[str, Any]) -> None:
    for item in records(printed, "true_positive_rate", ("sex",)):
        rows = people[people["sex"] == item["group"]]
        assert item["value"] == pytest.approx(recall_score(rows["employed"], rows["decision"]), abs=1e-12)
