"""`rai measure anonymity` against pandas on the demo's evaluation data."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines_tests.cli.conftest import Rai

QUASI, SENSITIVE = ["AGEP", "SEX", "RAC1P"], "DIS"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_class_figures_equal_those_of_pandas(suffix: str, rai: Rai, tmp_path: Path) -> None:
    people = pd.read_parquet(Path(str(resources.files("rai_pipelines.demo") / "data" / "employment_MA_2015_evaluation.parquet"))).head(5_000)
    people.to_parquet(tmp_path / "people.parquet")
    people.to_csv(tmp_path / "people.csv", index=False)
    ended = rai("measure", "anonymity", "--data", f"people.{suffix}", "--quasi", ",".join(QUASI), "--sensitive", SENSITIVE, "--json")
    assert (ended.code, ended.err) == (0, "")
    printed = ended.json
    jsonschema.validate(printed, published_schemas()["measure"])
    sizes = people.groupby(QUASI).size()
    kinds = people.groupby(QUASI)[SENSITIVE].nunique()
    shares = (people[SENSITIVE] == 1).groupby([people[name] for name in QUASI]).mean()
    found = {item["metric"]: item["value"] for item in printed["measurements"] if item["attribute"] in (None, SENSITIVE)}
    expected = {
        "k_minimum": sizes.min(),
        "class_count": len(sizes),
        "rows_below_k": sizes[sizes < printed["parameters"]["k_report"]].sum() / len(people),
        "singling_out_share": (sizes == 1).sum() / len(people),
        "prosecutor_risk_maximum": 1 / sizes.min(),
        "prosecutor_risk_average": len(sizes) / len(people),
        "l_distinct_minimum": kinds.min(),
        "t_maximum": (shares - (people[SENSITIVE] == 1).mean()).abs().max(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert {item["n"] for item in printed["measurements"]} == {len(people)}


def test_a_declared_population_gives_the_journalists_risk_of_its_class_sizes(rai: Rai, tmp_path: Path) -> None:
    everyone = pd.read_parquet(Path(str(resources.files("rai_pipelines.demo") / "data" / "employment_MA_2015_evaluation.parquet")))[QUASI]
    drawn = everyone.sample(3_000, random_state=4)
    drawn.to_csv(tmp_path / "drawn.csv", index=False)
    everyone.to_csv(tmp_path / "everyone.csv", index=False)
    ended = rai("measure", "anonymity", "--data", "drawn.csv", "--quasi", ",".join(QUASI), "--population", "everyone.csv", "--json")
    assert (ended.code, ended.err) == (0, "")
    sizes = everyone.groupby(QUASI).size()
    found = {item["metric"]: item["value"] for item in ended.json["measurements"]}
    assert found["journalist_risk_maximum"] == pytest.approx(1 / sizes.loc[drawn.groupby(QUASI).size().index].min())
    assert found["journalist_risk_maximum"] <= found["prosecutor_risk_maximum"]
