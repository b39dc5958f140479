"""The area under the ROC curve: binned with a bracket and exact by this project, and by scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.run_job import Figures

BINS = 2_000
DIGITS = 3  # to which the bracket holds the area


def binned_here(path: Path) -> Figures:
    """From a histogram of 2,000 bins; the figure is the area to three digits, which the width of the bracket (below 0.001) allows."""
    from rai_pipelines.assessments.statistics.auc import binned_auc
    from rai_pipelines.tables.score_histogram import score_histogram

    found = binned_auc(score_histogram(_source(path), score="score", label="label", favourable="1", bins=BINS).by_label())
    assert found is not None
    assert found.high - found.low < 0.5 * 10**-DIGITS * 2
    return {"area": round(found.value, DIGITS)}


def exact_here(path: Path) -> Figures:
    """The exact area, ranked in the engine."""
    from rai_pipelines.tables.ranks import exact_auc

    found = exact_auc(_source(path), score="score", label="label", favourable="1")
    assert found.value is not None
    return {"area": found.value}


def binned_by_scikit_learn(path: Path) -> Figures:
    """scikit-learn's exact area, to three digits."""
    return {"area": round(by_scikit_learn(path)["area"], DIGITS)}


def by_scikit_learn(path: Path) -> Figures:
    """pandas reads the two columns, scikit-learn's roc_auc_score sorts them."""
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    people = pd.read_parquet(path, columns=["score", "label"])
    return {"area": float(roc_auc_score(people["label"], people["score"]))}


def _source(path: Path) -> Any:
    from rai_pipelines.tables.source import open_table

    return open_table(str(path), name="evaluation", data_folder=path.parent)
