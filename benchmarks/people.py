"""Synthetic people as Parquet, seeded and written in blocks, so that ten million rows need no memory. Run as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

BLOCK_ROWS = 1_000_000
ATTRIBUTES = ("sex", "race", "age_band")
QUASI_FEW = ("sex", "race", "age")
QUASI_FOUR = ("sex", "race", "age_band", "region")
QUASI_FINE = ("sex", "age", "postcode", "region")  # nearly every row is a class of its own
QUASI_MANY = ("sex", "age", "postcode")
QUASI_EIGHT = ("sex", "race", "age", "postcode", "region", "visits", "label", "decision")
SENSITIVE = "condition"
PROFILED = ("sex", "race", "age", "income", "visits", "region", "label", "decision")
SEED = 20261201


def current_of(path: Path) -> Path:
    """The table that a table of the kind `drift` is compared with."""
    return path.with_name(f"{path.stem}-current.parquet")


def write_people(path: Path, rows: int, *, attributes_only: bool, words: bool = False, seed: int = SEED) -> None:
    """`rows` people: three protected attributes, true outcome, decision; unless `attributes_only` also what can identify, and a sensitive column.

    With `words` the attributes are texts, as they mostly are in practice, and not codes. Groups differ in base rate and in selection rate;
    2 % of incomes are missing.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for block, start in enumerate(range(0, rows, BLOCK_ROWS)):
        rng = np.random.default_rng([seed, block])
        size = min(BLOCK_ROWS, rows - start)
        sex = rng.integers(1, 3, size).astype("int8")
        race = rng.choice(np.arange(1, 7), size, p=[0.55, 0.15, 0.12, 0.1, 0.05, 0.03]).astype("int8")
        age = rng.integers(18, 68, size).astype("int16")
        label = (rng.random(size) < 0.4 - 0.02 * race + 0.05 * (sex == 1)).astype("int8")
        decision = (rng.random(size) < 0.25 + 0.4 * label - 0.015 * race).astype("int8")
        columns = {"sex": sex, "race": race, "age_band": ((age - 18) // 10).astype("int8"), "label": label, "decision": decision}
        columns["score"] = np.clip(rng.normal(0.4 + 0.15 * label, 0.15, size), 0, 1)
        if words:
            texts = {name: [f"{name} {code}" for code in range(8)] for name in ATTRIBUTES}
            columns |= {name: pa.DictionaryArray.from_arrays(columns[name], texts[name]).cast("string") for name in ATTRIBUTES}
        if not attributes_only:
            income = np.round(rng.lognormal(10.5, 0.5, size), 2)
            income[rng.random(size) < 0.02] = np.nan
            columns |= {
                "age": age,
                "income": income,
                "visits": rng.poisson(3, size).astype("int16"),
                "postcode": rng.integers(0, 20_000, size).astype("int32"),
                "condition": rng.choice(np.arange(8), size, p=[0.5, 0.2, 0.1, 0.08, 0.05, 0.04, 0.02, 0.01]).astype("int8"),
                "region": np.array(["north", "east", "south", "west"], dtype=object)[rng.integers(0, 4, size)],
            }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


if __name__ == "__main__":
    target, size, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if kind == "drift":  # two samples of one population
        write_people(current_of(target), size, attributes_only=False, seed=SEED + 1)
    write_people(target, size, attributes_only=kind not in {"all", "drift"}, words=kind == "words")
