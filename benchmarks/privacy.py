"""Anonymity by this project, by pandas, and by pyCANON in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.people import QUASI_EIGHT, QUASI_FEW, QUASI_FINE, QUASI_FOUR, QUASI_MANY, SENSITIVE
from benchmarks.run_job import Figures


def few_here(path: Path) -> Figures:
    """Class sizes over sex, race and age in DuckDB."""
    return _sizes_here(path, QUASI_FEW)


def few_pandas(path: Path) -> Figures:
    """The same by pandas `groupby(...).size()`."""
    return _sizes_pandas(path, QUASI_FEW)


def many_here(path: Path) -> Figures:
    """Class sizes over sex, age and postcode: nearly as many classes as rows."""
    return _sizes_here(path, QUASI_MANY)


def many_pandas(path: Path) -> Figures:
    """The same by pandas."""
    return _sizes_pandas(path, QUASI_MANY)


def eight_here(path: Path) -> Figures:
    """Class sizes over eight quasi-identifiers, age and postcode among them, with DuckDB limited to 1 GB."""
    return _sizes_here(path, QUASI_EIGHT, memory_limit="1GB")


def models_here(path: Path) -> Figures:
    """k, distinct l, entropy l and t over four quasi-identifiers and one sensitive attribute."""
    return _models_here(path, QUASI_FOUR)


def _models_here(path: Path, columns: tuple[str, ...]) -> Figures:
    from rai_pipelines.tables.equivalence_classes import equivalence_classes

    found = equivalence_classes(_source(path), columns, (SENSITIVE,))
    measured = found.diversity[SENSITIVE]
    return {"k": found.k, "l": measured.distinct_minimum, "entropy l": measured.entropy_l, "t": measured.closeness}


def k_and_l_here(path: Path) -> Figures:
    """The same work; its figures are k and l, which pyCANON gives."""
    figures = models_here(path)
    return {name: figures[name] for name in ("k", "l")}


def fine_k_and_l_here(path: Path) -> Figures:
    """k, l, entropy l and t where nearly every row is a class of its own; its figures are k and l."""
    figures = _models_here(path, QUASI_FINE)
    return {name: figures[name] for name in ("k", "l")}


def k_and_l_pycanon(path: Path) -> Figures:
    """pyCANON: k_anonymity and l_diversity, nothing else."""
    return _pycanon(path, QUASI_FOUR)


def fine_k_and_l_pycanon(path: Path) -> Figures:
    """The same where nearly every row is a class of its own."""
    return _pycanon(path, QUASI_FINE)


def _pycanon(path: Path, columns: tuple[str, ...]) -> Figures:
    import pandas as pd
    from pycanon.anonymity import k_anonymity, l_diversity

    people = pd.read_parquet(path, columns=[*columns, SENSITIVE])
    return {"k": int(k_anonymity(people, list(columns))), "l": int(l_diversity(people, list(columns), [SENSITIVE]))}


def _sizes_here(path: Path, columns: tuple[str, ...], **limits: Any) -> Figures:
    from rai_pipelines.tables.equivalence_classes import equivalence_classes

    found = equivalence_classes(_source(path, **limits), columns)
    return {"k": found.k, "classes": found.classes, "rows below 5": found.rows_below(5), "unique rows": found.unique_rows}


def _sizes_pandas(path: Path, columns: tuple[str, ...]) -> Figures:
    import pandas as pd

    sizes = pd.read_parquet(path, columns=list(columns)).groupby(list(columns), dropna=False).size()
    below = sizes[sizes < 5].sum()
    return {"k": int(sizes.min()), "classes": len(sizes), "rows below 5": int(below), "unique rows": int((sizes == 1).sum())}


def _source(path: Path, **limits: Any) -> Any:
    from rai_pipelines.tables.source import open_table

    return open_table(str(path), name="training", data_folder=path.parent, **limits)
