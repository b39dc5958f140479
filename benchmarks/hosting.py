"""What a confined process costs: the same requests to the same model, loaded here and in the model host.

Both are asked through `score()`, as an audit asks, and every score of every request is compared. The file that a job is given is not read: models are
trained once per process on synthetic rows, and started in the warm-up. The processor time and memory that are printed are the auditor's alone.
"""

from __future__ import annotations

import atexit
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.run_job import Figures

FEATURES, TRAINED, TREES = 20, 3_000, 100
SEED = 20261201
LARGE, SMALL = 4_096, 64
REQUESTS, MANY = 40, 400  # many of those that take less than a millisecond
NAMES = [f"f{at}" for at in range(FEATURES)]


def forest_here(path: Path) -> Figures:
    """A random forest of scikit-learn, in the auditor's process."""
    return _asked("forest", hosted=False, rows=LARGE)


def forest_hosted(path: Path) -> Figures:
    """The same in the model host."""
    return _asked("forest", hosted=True, rows=LARGE)


def onnx_forest_here(path: Path) -> Figures:
    """The forest as an ONNX file, in the auditor's process."""
    return _asked("onnx_forest", hosted=False, rows=LARGE)


def onnx_forest_hosted(path: Path) -> Figures:
    """The same in the model host."""
    return _asked("onnx_forest", hosted=True, rows=LARGE)


def lightgbm_here(path: Path) -> Figures:
    """LightGBM, in the auditor's process."""
    return _asked("lightgbm", hosted=False, rows=LARGE)


def lightgbm_hosted(path: Path) -> Figures:
    """The same in the model host."""
    return _asked("lightgbm", hosted=True, rows=LARGE)


def onnx_regression_here(path: Path) -> Figures:
    """A logistic regression as an ONNX file, in the auditor's process."""
    return _asked("onnx_regression", hosted=False, rows=LARGE, requests=MANY)


def onnx_regression_hosted(path: Path) -> Figures:
    """The same in the model host."""
    return _asked("onnx_regression", hosted=True, rows=LARGE, requests=MANY)


def floor_here(path: Path) -> Figures:
    """Next to no work: few rows and a logistic regression, in the auditor's process."""
    return _asked("onnx_regression", hosted=False, rows=SMALL, requests=MANY)


def floor_hosted(path: Path) -> Figures:
    """The same in the model host: what is left is the way there and back."""
    return _asked("onnx_regression", hosted=True, rows=SMALL, requests=MANY)


def forest_share(path: Path) -> Figures:
    """Of a request to the hosted forest, the share of time that the same model here does not need."""
    return _share("forest")


def onnx_forest_share(path: Path) -> Figures:
    """The same of the forest in ONNX."""
    return _share("onnx_forest")


def lightgbm_share(path: Path) -> Figures:
    """The same of LightGBM."""
    return _share("lightgbm")


def onnx_regression_share(path: Path) -> Figures:
    """The same of the logistic regression."""
    return _share("onnx_regression")


def _share(kind: str) -> Figures:
    """Both are asked about each frame in turn, so that other work on the machine meets both alike; medians. Answers are equal to the last bit."""
    here, hosted = _model(kind, False), _model(kind, True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for frame in _frames(LARGE):
        answers = []
        for away, model in ((False, here), (True, hosted)):
            started = time.perf_counter()
            answers.append(model.score(frame))
            seconds[away].append(time.perf_counter() - started)
        assert answers[0].tobytes() == answers[1].tobytes()
    return {"share": max(0.0, 1.0 - statistics.median(seconds[False]) / statistics.median(seconds[True]))}


def _asked(kind: str, *, hosted: bool, rows: int, requests: int = REQUESTS) -> Figures:
    """All requests, one after the other. Figures: of each frame the sum of its scores, and every 97th score, to the last bit."""
    model, frames = _model(kind, hosted), _frames(rows)
    figures: Figures = {}
    for number in range(requests):
        scores = model.score(frames[number % len(frames)])
        if number >= len(frames):
            continue
        figures[f"{number}.sum"] = float(scores.sum())
        figures |= {f"{number}.{at}": float(value) for at, value in enumerate(scores[::97])}
    return figures


@cache
def _frames(rows: int) -> list[Any]:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(SEED)
    return [pd.DataFrame(rng.normal(size=(rows, FEATURES)).astype(np.float32), columns=NAMES) for _ in range(REQUESTS)]


@cache
def _model(kind: str, hosted: bool) -> Any:
    from rai_pipelines.model_host.host import HostedModel
    from rai_pipelines.subjects.datasheet import Datasheet
    from rai_pipelines.subjects.model_files import load_model_files

    folder = tempfile.TemporaryDirectory(prefix="rai-hosting-")
    atexit.register(folder.cleanup)
    _WRITERS[kind](Path(folder.name))
    sheet = Datasheet.model_validate(
        {
            "schema": "rai.datasheet/v1", "model": "m", "purpose": "p", "out_of_scope": ["o"], "risk": {"class": "high", "reason": "r"},
            "owner": {"name": "n", "contact": "c"}, "data": {"evaluation": "e.parquet"},
            "columns": {"label": "y", "protected_attributes": {"sex": {}}, "features": NAMES},
        }
    )  # fmt: skip
    if not hosted:
        return load_model_files(Path(folder.name), sheet)
    model = HostedModel(Path(folder.name), sheet)
    atexit.register(model.close)
    return model


def _table() -> tuple[Any, Any]:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(SEED)
    rows = pd.DataFrame(rng.normal(size=(TRAINED, FEATURES)).astype(np.float32), columns=NAMES)
    return rows, (rows.f0 + rows.f1 * rows.f2 + rng.normal(size=TRAINED) * 0.5 > 0).astype(int)


def _write_forest(folder: Path) -> None:
    import skops.io

    skops.io.dump(_forest(), folder / "model.skops")


def _write_onnx_forest(folder: Path) -> None:
    _write_onnx(_forest(), folder)


def _write_onnx_regression(folder: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    _write_onnx(LogisticRegression().fit(*_table()), folder)


def _write_lightgbm(folder: Path) -> None:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=TREES, random_state=0, verbose=-1).fit(*_table())
    model.booster_.save_model(folder / "model.lgb")


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, n_jobs=1, random_state=0).fit(*_table())


def _write_onnx(model: Any, folder: Path) -> None:
    from skl2onnx import to_onnx

    made = to_onnx(model, _table()[0].to_numpy()[:1], options={id(model): {"zipmap": False}}, target_opset=17)
    (folder / "model.onnx").write_bytes(made.SerializeToString())


_WRITERS: dict[str, Callable[[Path], None]] = {
    "forest": _write_forest,
    "onnx_forest": _write_onnx_forest,
    "lightgbm": _write_lightgbm,
    "onnx_regression": _write_onnx_regression,
}
