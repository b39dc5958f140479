"""One column of two tables reduced to counts, against SciPy and pandas on the raw values; in DuckDB, in PostgreSQL, and across the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rai_pipelines.errors import DataError
from rai_pipelines.tables.column_shift import CategoryShift, NumericShift, compare_categories, compare_numbers, spread
from rai_pipelines.tables.source import TableSource, open_table, table_of
from rai_pipelines_tests.postgres import PostgresServer

NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=40)


def numbers(first: object, second: object, **more: object) -> NumericShift:
    return compare_numbers(table_of(pd.DataFrame({"x": first})), table_of(pd.DataFrame({"x": second}), name="production"), "x", **more)  # type: ignore[arg-type]


def categories(first: list[object], second: list[object], **more: object) -> CategoryShift:
    return compare_categories(table_of(pd.DataFrame({"x": first})), table_of(pd.DataFrame({"x": second}), name="production"), "x", **more)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(NUMBERS, NUMBERS)
def test_ks_and_wasserstein_are_scipys_and_bins_hold_every_row(first: list[float], second: list[float]) -> None:
    found = numbers(first, second)
    assert found.ks == pytest.approx(stats.ks_2samp(first, second).statistic, rel=1e-12, abs=1e-15)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(first, second), rel=1e-9, abs=1e-9)
    assert (sum(item.reference for item in found.bins), sum(item.current for item in found.bins)) == (len(first), len(second))
    assert all(left.highest < right.lowest for left, right in zip(found.bins, found.bins[1:], strict=False))
    assert all(item.lowest - 1e-3 <= item.mean <= item.highest + 1e-3 for item in found.bins)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_distances_of_large_samples_agree_with_scipy_to_twelve_digits(offset: float) -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=20_000) + offset, rng.normal(0.1, 1.2, size=15_000) + offset
    found = numbers(first, second)
    assert found.ks == pytest.approx(stats.ks_2samp(first, second).statistic, rel=1e-12)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(first, second), rel=1e-12)


def test_rank_bins_hold_equal_shares_of_the_reference_and_a_heavy_value_keeps_one_bin() -> None:
    spreadout = numbers(np.arange(1_000), np.arange(500), rank_bins=10)
    assert [item.reference for item in spreadout.bins] == [100] * 10
    assert [item.current for item in spreadout.bins] == [100] * 5 + [0] * 5
    heavy = numbers([0] * 50 + list(range(1, 51)), [0] * 10, rank_bins=10)
    assert [(item.lowest, item.reference) for item in heavy.bins] == [(0.0, 50), (1.0, 10), (11.0, 10), (21.0, 10), (31.0, 10), (41.0, 10)]


def test_declared_edges_are_the_bins_and_what_lies_outside_is_counted() -> None:
    found = numbers([5, 10, 20, 30, 99], [10, 10, 25], edges=(10.0, 20.0, 40.0))
    assert [(item.reference, item.current) for item in found.bins] == [(1, 0), (1, 2), (2, 1), (1, 0)]


def test_missing_and_infinite_values_are_counted_apart() -> None:
    found = numbers([1.0, np.nan, np.inf, 2.0], [1.0, -np.inf, np.nan, np.nan])
    assert (found.reference, found.current, found.missing, found.infinite) == (2, 1, (1, 2), (1, 1))
    assert found.ks == 0.5


def test_a_column_without_a_value_on_one_side_has_no_distance() -> None:
    found = numbers([np.nan, np.nan], [1.0, 2.0])
    assert (found.ks, found.wasserstein, found.missing, found.current) == (None, None, (2, 0), 2)


def test_an_instant_is_the_same_in_any_time_zone() -> None:
    at = pd.date_range("2024-03-31", periods=100, freq="h", tz="UTC")
    found = numbers(at, at.tz_convert("Asia/Kathmandu"))
    assert (found.ks, found.wasserstein) == (0.0, 0.0)
    later = numbers(at, at + pd.Timedelta(hours=1))
    assert later.wasserstein == pytest.approx(3_600)


def test_text_is_no_number() -> None:
    with pytest.raises(DataError, match="'x' is no number, date or time"):
        numbers(["a"], ["b"])


def test_the_spread_is_pandas_standard_deviation_of_finite_values() -> None:
    values = [1.0, 2.0, 4.0, np.nan, np.inf]
    assert spread(table_of(pd.DataFrame({"x": values})), "x") == pytest.approx(np.std([1, 2, 4], ddof=1), rel=1e-8)
    assert spread(table_of(pd.DataFrame({"x": [1.0]})), "x") is None


@settings(max_examples=20, deadline=None)
@given(*(st.lists(st.sampled_from(["a", "b", "é", "", "'; DROP", None]), min_size=1, max_size=30),) * 2)
def test_category_counts_equal_pandas(first: list[object], second: list[object]) -> None:
    found = categories([*first, "a"], [*second, "a"])
    left, right = pd.Series([*first, "a"], dtype=object), pd.Series([*second, "a"], dtype=object)
    told = {name: (n, m) for name, n, m in found.categories}
    for value in set(left.dropna()) | set(right.dropna()):
        assert told["(empty)" if value == "" else value] == ((left == value).sum(), (right == value).sum())
    assert found.missing == (left.isna().sum(), right.isna().sum())
    new = set(right.dropna()) - set(left.dropna())
    assert (found.new_categories, found.new_rows) == (len(new), right.isin(list(new)).sum() if new else 0)
    assert found.singletons == (left.value_counts() == 1).sum()


def test_beyond_the_most_categories_the_rest_is_counted_together_and_new_ones_still_are() -> None:
    first = [f"v{position:03}" for position in range(300) for _ in range(1 + (position < 200))]
    found = categories(first, ["v000", "never", "never"])
    assert len(found.categories) == 200
    assert {name for name, _, _ in found.categories} == {f"v{position:03}" for position in range(200)}
    assert (found.other, found.new_rows, found.new_categories, found.singletons) == ((100, 2), 2, 1, 100)


def test_true_and_one_are_one_category_when_types_differ() -> None:
    found = categories([True, False, True], [1, 0, 0], as_numbers=True)
    assert found.categories == (("1", 2, 1), ("0", 1, 2))


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("drift")
    with postgres.connect("drift") as connection:
        connection.execute("CREATE TABLE before (x float8, k text, t timestamptz)")
        connection.execute(
            "INSERT INTO before SELECT CASE WHEN i % 50 = 0 THEN 'NaN' ELSE sqrt(i) END, chr(97 + i % 3), to_timestamp(i * 60) "
            "FROM generate_series(1, 500) i"
        )
        connection.execute("CREATE TABLE after AS SELECT x + 1 AS x, CASE k WHEN 'c' THEN 'd' ELSE k END AS k, t FROM before")
    return postgres


def test_postgresql_and_a_file_beside_it_count_alike(server: PostgresServer, tmp_path: Path) -> None:
    address = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/drift"
    held = [open_table(f"{address}::{name}", name=name, data_folder=Path("unused")) for name in ("before", "after")]
    files: list[TableSource] = []
    for source in held:
        source.run(source.table()).to_parquet(tmp_path / f"{source.name}.parquet")
        files.append(open_table(f"{source.name}.parquet", name=source.name, data_folder=tmp_path))
    for column, compare in (("x", compare_numbers), ("t", compare_numbers), ("k", compare_categories)):
        in_files = compare(files[0], files[1], column)  # type: ignore[operator]
        for pair in (held, [held[0], files[1]], [files[0], held[1]]):
            assert compare(pair[0], pair[1], column) == _nearly(in_files)  # type: ignore[operator]


def _nearly(shift: NumericShift | CategoryShift) -> object:
    """PostgreSQL keeps 15 digits of a double in a decimal."""
    if isinstance(shift, CategoryShift):
        return shift

    class Nearly:
        def __eq__(self, other: object) -> bool:
            assert isinstance(other, NumericShift)
            assert other.wasserstein == pytest.approx(shift.wasserstein, rel=1e-12)
            return (other.ks, other.missing, other.bins) == (shift.ks, shift.missing, shift.bins)

        __hash__ = None  # type: ignore[assignment]

    return Nearly()


@pytest.mark.parametrize(
    ("first", "second", "infinite"),
    [([0.0, 5e-324, 1e-310], [0.0, 1e-310, 1e-310], (0, 0)), ([1e308, -1e308, 1.0, 2.0], [1.0, 3.0, -1.7e308], (2, 1))],
)
def test_numbers_at_the_ends_of_what_a_double_holds_are_compared_or_counted_as_infinite(
    first: list[float], second: list[float], infinite: tuple[int, int]
) -> None:
    found = numbers(first, second)
    kept = [[value for value in values if abs(value) < 8e307] for values in (first, second)]
    assert found.infinite == infinite
    assert found.ks == pytest.approx(stats.ks_2samp(*kept).statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(*kept), rel=1e-6, abs=1e-300)
