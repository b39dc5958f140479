"""Free text: which columns are read, how much of them, and what share holds an identifier."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from rai_pipelines.assessments.privacy.free_text import measure_free_text
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import State
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table

ROWS = 400


@pytest.fixture
def notes(tmp_path: Path) -> TableSource:
    calm = "the visit went well and nothing else was said"
    telling = "the person asked us to write to jane{0}@example.org about the next visit"
    frame = pd.DataFrame(
        {
            "note": [telling.format(index) if index % 4 == 0 else calm for index in range(ROWS)],
            "town": ["New York" if index % 2 else "Rome" for index in range(ROWS)],
            "empty": pd.Series([None] * ROWS, dtype="string"),
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    return open_table("table.parquet", name="training", data_folder=tmp_path)


def test_only_sentences_are_read_and_their_share_is_counted(notes: TableSource) -> None:
    measurements, details = measure_free_text(notes, profile(notes, values_cap=0), sample_rows=ROWS, level=0.9, seed=1)
    (item,) = measurements
    assert (item.metric, item.attribute, item.value, item.n) == ("free_text_identifier_share", "note", 0.25, ROWS)
    assert details["free_text"]["kinds"]["note"]["email"] == 100
    assert details["free_text"]["columns"] == ["note"]
    assert "400 of 400 rows read (100.0%)" in str(item.note)


def test_a_sample_states_its_share_and_its_interval_covers_the_truth(notes: TableSource) -> None:
    first = measure_free_text(notes, profile(notes, values_cap=0), sample_rows=100, level=0.99, seed=5)
    (item,) = first[0]
    assert "100 of 400 rows read (25.0%)" in str(item.note)
    assert item.interval is not None
    assert item.interval.low < 0.25 < item.interval.high
    assert measure_free_text(notes, profile(notes, values_cap=0), sample_rows=100, level=0.99, seed=5) == first
    assert b"jane" not in canonical_json([*first[0], first[1]])


def test_without_presidio_the_share_is_unavailable(notes: TableSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    (item,) = measure_free_text(notes, profile(notes, values_cap=0), sample_rows=100, level=0.9, seed=1)[0]
    assert (item.state, item.value) == (State.UNAVAILABLE, None)
