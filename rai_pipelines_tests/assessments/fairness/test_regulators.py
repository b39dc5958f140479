"""Local Law 144 and four-fifths tables: the published example, exclusions that are disclosed, and SciPy's tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rai_pipelines.assessments.fairness.groups import GroupCounts, group_counts
from rai_pipelines.assessments.fairness.regulators import four_fifths_table, local_law_144_table, regulator_tables
from rai_pipelines.subjects.datasheet import FairnessScope, LocalLaw144, ProtectedAttribute


def decided(**groups: tuple[int, int]) -> GroupCounts:
    """Groups given as (rows, selected), without labels."""
    cells = np.array([[0, 0, 0, 0, taken, n - taken] for n, taken in groups.values()])
    return GroupCounts("sex", ("sex",), tuple(groups), cells)


def test_the_example_of_the_rules_comes_out() -> None:
    # 6 RCNY 5-301, example of a selection tool: 1,390 male applicants of whom 667 advance, 1,181 female of whom 555
    table = local_law_144_table(decided(Female=(1181, 555), Male=(1390, 667)), {"sex": ProtectedAttribute()}, level=0.9)
    rates = {row["category"]: (round(row["rate"], 2), round(row["impact_ratio"], 3)) for row in table["rows"]}
    assert rates == {"Male": (0.48, 1.0), "Female": (0.47, 0.979)}
    assert table["highest"] == "Male"


def test_a_category_below_two_percent_is_left_out_of_the_ratios_and_disclosed() -> None:
    table = local_law_144_table(decided(a=(5_000, 1_000), b=(4_900, 900), c=(150, 149)), {"sex": ProtectedAttribute()}, level=0.9)
    small = next(row for row in table["rows"] if row["category"] == "c")
    assert (small["excluded"], small["n"], small["selected"], small["impact_ratio"]) == (True, 150, 149, None)
    assert table["highest"] == "a"  # not c, although everybody of c was selected


def test_unknown_categories_are_counted_and_compared_with_nobody() -> None:
    table = local_law_144_table(
        decided(**{"(missing)": (40, 9), "99": (60, 11), "a": (500, 100), "b": (400, 60)}), {"sex": ProtectedAttribute(unknown=("99",))}, level=0.9
    )
    assert table["unknown"] == {"n": 100, "selected": 20}
    assert {row["category"] for row in table["rows"]} == {"a", "b"}


def test_exactly_four_fifths_is_not_below_and_one_person_less_is() -> None:
    for scale in (1, 7, 333):
        table = four_fifths_table(decided(a=(100 * scale, 50 * scale), b=(100 * scale, 40 * scale)), {"sex": ProtectedAttribute()}, level=0.9)
        assert [row["below_four_fifths"] for row in table["rows"] if row["group"] == "b"] == [False]
        less = four_fifths_table(decided(a=(100 * scale, 50 * scale), b=(100 * scale, 40 * scale - 1)), {"sex": ProtectedAttribute()}, level=0.9)
        assert [row["below_four_fifths"] for row in less["rows"] if row["group"] == "b"] == [True]


@pytest.mark.parametrize(("b", "read"), [((80, 20), "z"), ((12, 2), "fisher"), ((400, 1), "z")])
def test_significance_is_scipys_and_small_samples_are_read_by_fishers_test(b: tuple[int, int], read: str) -> None:
    table = four_fifths_table(decided(a=(200, 90), b=b), {"sex": ProtectedAttribute()}, level=0.9)
    (row,) = [row for row in table["rows"] if row["group"] == "b"]
    assert row["fisher_p"] == pytest.approx(stats.fisher_exact([[b[1], b[0] - b[1]], [90, 110]]).pvalue, rel=1e-6)
    assert row["z"] ** 2 == pytest.approx(stats.chi2_contingency([[b[1], b[0] - b[1]], [90, 110]], correction=False).statistic)
    assert row["read"] == read


def test_the_datasheet_asks_for_both_tables_and_the_crossed_one() -> None:
    rng = np.random.default_rng(2)
    counts = pd.DataFrame(
        [(sex, race, int(rng.integers(50, 90)), decision) for sex in "mf" for race in "xyz" for decision in (0, 1)],
        columns=["sex", "race", "count", "prediction"],
    ).assign(label=pd.array([None] * 12, dtype="Int64"))
    attributes = {"sex": ProtectedAttribute(), "race": ProtectedAttribute()}
    scope = FairnessScope(local_law_144=LocalLaw144(sex="sex", race_ethnicity="race"), uniform_guidelines=True)
    made = regulator_tables(group_counts(counts, ["race", "sex"], depth=2), scope, attributes, level=0.9)
    assert [table["categories"] for table in made["nyc_local_law_144"]["tables"]] == ["sex", "race", "race × sex"]
    assert [table["attribute"] for table in made["uniform_guidelines"]["tables"]] == ["race", "sex"]
    for table in made["nyc_local_law_144"]["tables"]:
        assert max(row["impact_ratio"] for row in table["rows"]) == 1
    shallow = regulator_tables(group_counts(counts, ["race", "sex"], depth=1), scope, attributes, level=0.9)
    assert shallow["nyc_local_law_144"]["intersectional"].startswith("not measured")
    assert regulator_tables([], FairnessScope(), attributes, level=0.9) == {}


def test_a_category_may_have_the_sign_of_intersections_in_its_name() -> None:
    rows = [("f", "A × B", 1), ("f", "C", 1), ("m", "A × B", 0), ("m", "(missing)", 1), ("m", "C", 1)]
    counts = pd.DataFrame(rows, columns=["sex", "race", "prediction"]).assign(label=pd.array([pd.NA] * 5, dtype="Int64"), count=100)
    tables = group_counts(counts, ["sex", "race"], depth=2)
    assert tables[2].values_of_groups[0] == ("f", "A × B")
    found = local_law_144_table(tables[2], {"sex": ProtectedAttribute(), "race": ProtectedAttribute()}, level=0.9)
    assert [entry["category"] for entry in found["rows"]] == ["f × A × B", "f × C", "m × A × B", "m × C"]
    assert found["unknown"] == {"n": 100, "selected": 100}
