"""The proposal to reach k and l: what it promises holds when its recoding is carried out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.base import Measured
from rai_pipelines.assessments.privacy import recoding
from rai_pipelines.assessments.privacy.anonymity import measure_anonymity
from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State
from rai_pipelines.tables.equivalence_classes import equivalence_classes
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table


def _measure(folder: Path, frame: pd.DataFrame, quasi: list[str], sensitive: list[str], parameters: AnonymityParameters, **more: object) -> Measured:
    frame.to_parquet(folder / "table.parquet", index=False)
    source = open_table("table.parquet", name="training", data_folder=folder)
    return measure_anonymity(source, quasi_identifiers=quasi, sensitive=sensitive, parameters=parameters, seed=1, **more)  # type: ignore[arg-type]


def _people(rows: int, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "zip": [f"{value:05}" for value in random.integers(2100, 2999, rows)],
            "sex": random.choice(["F", "M"], rows),
            "job": random.choice([f"job{index}" for index in range(40)], rows, p=np.arange(40, 0, -1) / np.arange(1, 41).sum()),
            "seen": pd.to_datetime("2020-01-01") + pd.to_timedelta(random.integers(0, 900, rows), unit="D"),
            "height": np.where(random.random(rows) < 0.1, np.nan, random.normal(170, 9, rows).round(2)),
            "illness": random.choice(["flu", "cold", "none"], rows),
        }
    )


def _by_hand(frame: pd.DataFrame, columns: list[dict]) -> pd.DataFrame:
    """The proposed recoding, from its names and parameters alone."""
    made = {}
    for step in columns:
        column, parameter = frame[step["column"]], step["parameter"]
        match step["method"]:
            case "bins":
                made[step["column"]] = np.floor(column / parameter)
            case "digits":
                made[step["column"]] = column.str[: int(parameter)]
            case "merge_rare":
                counts = column.value_counts()
                made[step["column"]] = column.where(column.isin(counts[counts >= parameter * len(frame)].index), "(other)")
            case "month" | "year" as part:
                made[step["column"]] = column.dt.to_period("M" if part == "month" else "Y").astype(str)
            case "drop":
                made[step["column"]] = pd.Series(0, index=frame.index)
            case _:
                made[step["column"]] = column
    return pd.DataFrame(made)


def _value(measured: Measured, metric: str) -> float | None:
    return next(item.value for item in measured.measurements if item.metric == metric)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), k=st.integers(2, 12), share=st.sampled_from([0.0, 0.02, 0.1]), l_wanted=st.sampled_from([1, 2, 3]))
def test_the_proposal_carried_out_by_hand_reaches_k_and_l_with_the_rows_it_says(
    tmp_path: Path, seed: int, k: int, share: float, l_wanted: int
) -> None:
    frame = _people(600, seed)
    parameters = AnonymityParameters(k_target=k, suppression_max=share, l_target=l_wanted)
    quasi = ["age", "zip", "sex", "job", "seen", "height"]
    measured = _measure(tmp_path, frame, quasi, ["illness"], parameters)
    proposal = measured.details["recoding"]
    recoded = _by_hand(frame, proposal["columns"])
    groups = recoded.groupby(quasi, dropna=False)
    size, kinds = groups["sex"].transform("size"), frame["illness"].groupby([recoded[name] for name in quasi], dropna=False).transform("nunique")
    kept = (size >= k) & (kinds >= l_wanted)
    assert (proposal["k"], proposal["rows_suppressed"]) == (size[kept].min(), (~kept).sum())
    assert proposal["k"] >= k
    assert proposal["l"]["illness"] >= l_wanted
    assert _value(measured, "recoding_k") == proposal["k"]
    assert _value(measured, "recoding_suppressed_share") == (~kept).sum() / len(frame) <= share
    assert 0 <= _value(measured, "recoding_information_loss") <= 1  # type: ignore[operator]


def test_the_loss_is_the_share_of_entropy_that_goes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": ["a"] * 6 + ["b"] * 6 + ["c"] * 1, "r": ["x"] * 13})
    measured = _measure(tmp_path, frame, ["q", "r"], [], AnonymityParameters(k_target=2, suppression_max=0.0))
    assert measured.details["recoding"]["columns"][0]["method"] == "drop"
    assert _value(measured, "recoding_information_loss") == 1.0
    suppressed = _measure(tmp_path, frame, ["q", "r"], [], AnonymityParameters(k_target=2, suppression_max=0.1))
    assert (_value(suppressed, "recoding_information_loss"), suppressed.details["recoding"]["rows_suppressed"]) == (0.0, 1)


def test_a_table_that_is_anonymous_enough_gets_no_proposal(tmp_path: Path) -> None:
    frame = pd.DataFrame({"q": [1] * 6 + [2] * 6, "s": ["u", "v"] * 6})
    measured = _measure(tmp_path, frame, ["q"], ["s"], AnonymityParameters())
    assert measured.details["recoding"] == {"needed": False}
    assert not [item for item in measured.measurements if item.metric in recoding.METRICS]


def test_fewer_rows_than_k_have_no_proposal_and_say_why(tmp_path: Path) -> None:
    measured = _measure(tmp_path, pd.DataFrame({"q": [1, 2]}), ["q"], [], AnonymityParameters())
    states = {item.state for item in measured.measurements if item.metric in recoding.METRICS}
    assert states == {State.UNAVAILABLE}


def test_a_sensitive_attribute_of_one_value_is_out_of_reach_and_the_rest_is_proposed(tmp_path: Path) -> None:
    frame = _people(200).assign(same="always", empty=pd.Series([None] * 200, dtype="string"))
    proposal = _measure(tmp_path, frame, ["age", "sex"], ["same", "empty", "illness"], AnonymityParameters()).details["recoding"]
    assert proposal["l_out_of_reach"] == ["same", "empty"]
    assert proposal["l"]["illness"] >= 2


def test_a_finer_table_than_memory_allows_is_coarsened_first_and_the_proposal_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoding, "CLASSES_IN_MEMORY", 50)
    frame = _people(800, 3)
    quasi = ["age", "zip", "sex", "job", "seen", "height"]
    proposal = _measure(tmp_path, frame, quasi, ["illness"], AnonymityParameters()).details["recoding"]
    sizes = _by_hand(frame, proposal["columns"]).groupby(quasi, dropna=False).size()
    assert proposal["k"] >= 5
    assert proposal["rows_suppressed"] >= sizes[sizes < 5].sum()


def test_codes_quasi_identifiers_of_other_types_and_nulls_are_recoded(tmp_path: Path) -> None:
    frame = _people(300, 5).assign(code=lambda t: t["age"] % 7, flag=lambda t: t["age"] > 40)
    frame.loc[::9, ["job", "seen"]] = None
    frame["nothing"] = np.nan
    measured = _measure(tmp_path, frame, ["code", "flag", "job", "seen", "nothing"], ["illness"], AnonymityParameters(), categorical=["code"])
    assert measured.details["recoding"]["k"] >= 5
    text = canonical_json(measured.details["recoding"]).decode()
    assert "job1" not in text


def test_no_more_values_of_a_sensitive_attribute_leave_the_engine_than_the_search_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand different incomes in a dozen classes: with two of each class it is known which classes have two."""
    frame = pd.DataFrame({"zip": [str(10_000 + row % 12) for row in range(10_000)], "income": np.arange(10_000) * 1.5})
    frame.loc[10_000] = ["99999", 1.0]
    fetched = []
    run = TableSource.run

    def counted(self: TableSource, expression: object) -> object:
        answer = run(self, expression)
        fetched.append(len(answer) if isinstance(answer, pd.DataFrame) else 1)
        return answer

    frame.to_parquet(tmp_path / "t.parquet", index=False)
    source = open_table("t.parquet", name="training", data_folder=tmp_path)
    classes = equivalence_classes(source, ["zip"], ["income"], categorical=["income"])
    figures = profile(source, values_cap=0)
    monkeypatch.setattr(TableSource, "run", counted)
    recoding.measure_recoding(source, figures, classes, ["zip"], ["income"], categorical=["income"], parameters=AnonymityParameters())
    assert max(fetched) <= 26
