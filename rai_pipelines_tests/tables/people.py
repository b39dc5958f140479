"""Rows of every kind of column that a table can have, and what a user reads when a table does not open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.source import open_table

ROWS = 900


def people(rows: int = ROWS, *, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "age": random.integers(18, 30, rows),
            "income": np.where(random.random(rows) < 0.1, np.nan, np.round(random.normal(3e4, 1e4, rows), 2)),
            "race": random.choice(np.array(["White", "Black", 'O\'Brien; "x"', None], dtype=object), rows),
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(random.integers(0, 90, rows), unit="D"),
            "citizen": random.choice([True, False], rows),
            "y": random.integers(0, 2, rows),
            "p": random.integers(0, 2, rows),
        }
    )


def message(reference: str, folder: Path, *, name: str = "training") -> str:
    """What the user reads when this reference is opened and counted."""
    with pytest.raises(DataError) as caught:
        open_table(reference, name=name, data_folder=folder).count_rows()
    return str(caught.value)
