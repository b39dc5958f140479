"""HopSkipJump on a tree model: one row after the other by the Adversarial Robustness Toolbox (ART), and many at once by this project.

Both attack the same rows from the same starts with the same seeds, so their adversarial examples are equal, bit for bit. The file that a job is
given is not read: the model is trained once per process on synthetic rows, in the warm-up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.run_job import Figures

TRAINED, ATTACKED, FEATURES = 3_000, 32, 12
TREES = 100
SEED = 20261201
EFFORT = {"max_iter": 4, "init_eval": 60, "max_eval": 200}  # what an audit spends on a row
LIMIT = 5.0  # standard deviations


def forest_by_art(path: Path) -> Figures:
    """ART alone on scikit-learn's random forest."""
    return _one_by_one("forest")


def forest_here(path: Path) -> Figures:
    """At once, through ONNX Runtime."""
    return _at_once("forest", fast=True)


def forest_here_native(path: Path) -> Figures:
    """At once, asking scikit-learn."""
    return _at_once("forest", fast=False)


def lightgbm_by_art(path: Path) -> Figures:
    """ART alone on LightGBM."""
    return _one_by_one("lightgbm")


def lightgbm_here(path: Path) -> Figures:
    """At once, through ONNX Runtime."""
    return _at_once("lightgbm", fast=True)


def xgboost_by_art(path: Path) -> Figures:
    """ART alone on XGBoost."""
    return _one_by_one("xgboost")


def xgboost_here(path: Path) -> Figures:
    """At once, asking XGBoost, which answers batches faster than ONNX Runtime."""
    return _at_once("xgboost", fast=False)


def _one_by_one(kind: str) -> Figures:
    import numpy as np

    rows, starts = _people(kind)
    model = _trained(kind)
    found = []
    for number in range(len(rows)):
        np.random.seed(SEED + number)
        found.append(_attack(number, rows, starts)(lambda asked: _one_hot(model.predict(asked))))
    return _figures(rows, found)


def _at_once(kind: str, *, fast: bool) -> Figures:
    import numpy as np

    from rai_pipelines.assessments.security.lockstep import run_in_lockstep

    rows, starts = _people(kind)
    predict = _fast(kind) if fast else _trained(kind).predict

    def answer(questions: Any) -> Any:
        decided = _one_hot(predict(np.concatenate([asked for _, asked in questions])))
        return np.split(decided, np.cumsum([len(asked) for _, asked in questions])[:-1])

    attacks = [_attack(number, rows, starts) for number in range(len(rows))]
    return _figures(rows, run_in_lockstep(attacks, answer, seeds=[SEED + number for number in range(len(rows))]))


def _attack(number: int, rows: Any, starts: Any) -> Callable[[Any], Any]:
    import numpy as np
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifier

    def run(ask: Callable[[Any], Any]) -> Any:
        classifier = BlackBoxClassifier(ask, (FEATURES,), 2, clip_values=(np.full(FEATURES, -LIMIT), np.full(FEATURES, LIMIT)))
        attack = HopSkipJump(classifier, norm=2, batch_size=100_000, verbose=False, **EFFORT)
        return attack.generate(rows[number : number + 1].copy(), x_adv_init=starts[number : number + 1].copy())

    return run


def _figures(rows: Any, found: list[Any]) -> Figures:
    """Every coordinate of every adversarial example."""
    moved = [one[0] for one in found]
    assert any((one != row).any() for one, row in zip(moved, rows, strict=True))
    return {f"{number}.{at}": float(value) for number, one in enumerate(moved) for at, value in enumerate(one)}


@cache
def _table() -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(SEED)
    rows = np.clip(rng.normal(size=(TRAINED, FEATURES)), -LIMIT, LIMIT).astype(np.float32)
    return rows, (rows[:, 0] + rows[:, 1] * rows[:, 2] + rng.normal(size=TRAINED) * 0.5 > 0).astype(int)


@cache
def _trained(kind: str) -> Any:
    rows, labels = _table()
    if kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        model: Any = RandomForestClassifier(TREES, n_jobs=1, random_state=0)
    elif kind == "lightgbm":
        from lightgbm import LGBMClassifier

        model = LGBMClassifier(n_estimators=TREES, n_jobs=1, random_state=0, verbose=-1)
    else:
        from xgboost import XGBClassifier

        model = XGBClassifier(n_estimators=TREES, n_jobs=1, random_state=0)
    return model.fit(rows, labels)


@cache
def _fast(kind: str) -> Any:
    """The model's decisions through ONNX Runtime, shown to be its own on the training rows."""
    from rai_pipelines.subjects.model_formats import _estimator
    from rai_pipelines.subjects.onnx_queries import fast_query

    query, parity = fast_query(_estimator(_trained(kind), "skops"), _frame(_table()[0]))
    assert parity.proved, parity
    return lambda asked: query.predict(_frame(asked))


@cache
def _people(kind: str) -> tuple[Any, Any]:
    """The attacked rows, and for each the first training row that is decided otherwise."""
    import numpy as np

    rows = _table()[0]
    decided = np.asarray(_trained(kind).predict(rows))
    other = [int(np.flatnonzero(decided != mine)[0]) for mine in decided[:ATTACKED]]
    return rows[:ATTACKED], rows[other]


def _one_hot(decisions: Any) -> Any:
    import numpy as np

    return np.eye(2, dtype=np.float32)[np.asarray(decisions, dtype=int)]


def _frame(rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=[f"f{at}" for at in range(FEATURES)])
