"""The Safe Harbor rules on ZIP codes, ages and dates: which rows break them, in which columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments.privacy.safe_harbor import RESTRICTED_ZIP3, measure_safe_harbor
from rai_pipelines.evidence.model import Measurement
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import open_table


def _measure(folder: Path, frame: pd.DataFrame, quasi: tuple[str, ...] = ()) -> tuple[Measurement, ...]:
    frame.to_parquet(folder / "table.parquet", index=False)
    source = open_table("table.parquet", name="training", data_folder=folder)
    return measure_safe_harbor(source, profile(source, values_cap=0), quasi)[0]


def _found(measurements: tuple[Measurement, ...]) -> dict[tuple[str, str | None], float | None]:
    return {(item.metric, item.attribute): item.value for item in measurements if item.attribute is not None}


def test_zip_codes_of_five_digits_and_small_areas_are_counted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"zip": ["02139", "021", "036", "02139-4307", "000", None, " 893 "], "home_zip_code": [2139, 21, 36, 99999, 0, 501, 893]})
    assert _found(_measure(tmp_path, frame)) == {
        ("safe_harbor_zip5_rows", "zip"): 2,
        ("safe_harbor_zip3_restricted_rows", "zip"): 2,
        ("safe_harbor_zip5_rows", "home_zip_code"): 2,
        ("safe_harbor_zip3_restricted_rows", "home_zip_code"): 2,
    }
    assert (len(RESTRICTED_ZIP3), len(set(RESTRICTED_ZIP3))) == (17, 17)


def test_a_quasi_identifier_that_looks_like_zip_codes_is_found_under_any_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"area": ["02139", "02140", "unknown"]})
    assert _found(_measure(tmp_path, frame, ("area",)))[("safe_harbor_zip5_rows", "area")] == 2
    assert _found(_measure(tmp_path, frame)) == {}


@pytest.mark.parametrize(("ages", "rows"), [([88, 89, 90], 0), ([88, 90, 91, 104], 3), ([34.0, np.nan, 95.0], 1)])
def test_ages_over_89_count_unless_they_are_one_class(tmp_path: Path, ages: list, rows: int) -> None:
    assert _found(_measure(tmp_path, pd.DataFrame({"age": ages})))[("safe_harbor_age_over_89_rows", "age")] == rows


def test_dates_more_exact_than_the_year_are_counted_and_years_are_not(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "admitted": pd.to_datetime(["2020-01-01", "2020-05-17", None]),
            "year_only": pd.to_datetime(["2019-01-01", "2020-01-01", "2021-01-01"]),
            "birth_date": ["1980-04-02", "1980", "4/2/1980"],
            "remark": ["2020-05-05", "2020-05-06", "none"],
        }
    )
    assert _found(_measure(tmp_path, frame)) == {
        ("safe_harbor_dates", "admitted"): 2,
        ("safe_harbor_dates", "year_only"): 0,
        ("safe_harbor_dates", "birth_date"): 2,
    }


def test_a_rule_without_a_column_says_so(tmp_path: Path) -> None:
    found = _measure(tmp_path, pd.DataFrame({"page": [95, 96], "zipper": ["02139", "02139"]}))
    assert len(found) == 4
    assert all((item.value, item.attribute) == (0, None) and str(item.note).startswith("no column reads like one") for item in found)
