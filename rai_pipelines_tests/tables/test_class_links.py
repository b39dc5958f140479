"""Classes met in a second table, against pandas merges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.tables.class_links import population_classes, unique_links
from rai_pipelines.tables.source import TableSource, open_table

KEY = st.tuples(st.sampled_from(["x", "y", None]), st.integers(0, 5))


def _table(folder: Path, keys: list, name: str) -> TableSource:
    frame = pd.DataFrame({"a": pd.Series([key[0] for key in keys], dtype="string"), "b": [key[1] for key in keys]})
    frame.to_parquet(folder / f"{name}.parquet")
    return open_table(f"{name}.parquet", name=name, data_folder=folder)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(here=st.lists(KEY, min_size=1, max_size=30), there=st.lists(KEY, min_size=1, max_size=30))
def test_links_and_population_sizes_equal_counting_by_hand(tmp_path: Path, here: list, there: list) -> None:
    left, right = _table(tmp_path, here, "training"), _table(tmp_path, there, "evaluation")
    links = unique_links(left, right, ["a", "b"])
    unique = [key for key in set(here) if here.count(key) == 1]
    assert (links.rows, links.unique) == (len(here), len(unique))
    assert links.linked == sum(key in there for key in unique)
    assert links.linked_uniquely == sum(there.count(key) == 1 for key in unique)

    found = population_classes(left, right, ["a", "b"], risk=0.4)
    sizes = {key: max(here.count(key), there.count(key)) for key in set(here)}
    assert (found.rows, found.classes, found.smallest) == (len(here), len(sizes), min(sizes.values()))
    assert found.matches == pytest.approx(sum(here.count(key) / size for key, size in sizes.items()))
    assert found.above == sum(1 / sizes[key] > 0.4 for key in here)
    assert found.population_rows == sum(sizes.values())
    assert found.short_classes == sum(there.count(key) < here.count(key) for key in sizes)


def test_a_larger_population_never_raises_a_risk(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    keys = [("x", int(value)) for value in random.integers(0, 20, 60)]
    more = keys + [("x", int(value)) for value in random.integers(0, 20, 400)]
    source = _table(tmp_path, keys, "training")
    alone = population_classes(source, _table(tmp_path, keys, "evaluation"), ["a", "b"], risk=0.2)
    among = population_classes(source, _table(tmp_path, more, "population"), ["a", "b"], risk=0.2)
    assert alone.matches == alone.classes
    assert among.matches < alone.matches
    assert among.smallest >= alone.smallest
    assert among.above <= alone.above
