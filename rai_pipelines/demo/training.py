"""Train the demo's three model versions and write each as a folder that MLflow, and the audit, can read.

plain      LightGBM on all columns
mitigated  the same, with one threshold per group of disability, sex and age (Fairlearn, parity of false positive rates)
coarse     LightGBM on four coarse columns of an anonymised training table, with error rates per sex and age band held together
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rai_pipelines.demo.make_data import AGE_EDGES, COARSE_COLUMNS, COARSE_TRAINING_FILE, DETAILED_COLUMNS, LABEL, TRAINING_FILE
from rai_pipelines.demo.thresholds import GroupThresholdClassifier, fit_group_thresholds, fit_thresholds_within, group_names
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.store import write_atomically
from rai_pipelines.subjects.datasheet import DATASHEET_FILE
from rai_pipelines.subjects.model_files import MLMODEL_FILE

if TYPE_CHECKING:
    import pandas as pd
    from lightgbm import LGBMClassifier

MODEL_SEED = 7
FOLDS = 5
THREADS = 1  # a fit takes half a second; two threads on a busy machine wait for each other and take ten
TREES = 120
LEARNING_RATE = 0.08


@dataclass(frozen=True)
class Variant:
    """One version of the demo's model: its training table, inputs, and the groups whose error rates it brings together.

    `cross_fitted` scores choose the thresholds, except for a model with so few possible inputs (80) that it cannot memorise rows:
    there, five models with five slightly different scores for the same input would only blur the thresholds.
    """

    key: str
    title: str
    training_file: str
    features: tuple[str, ...]
    group_columns: tuple[str, ...] = ()
    cross_fitted: bool = True
    allowance: float | None = None  # None: parity of false positive rates; else how far both error rates may differ between groups


VARIANTS = (
    Variant("plain", "LightGBM on all columns", TRAINING_FILE, DETAILED_COLUMNS),
    Variant("mitigated", "LightGBM with thresholds per disability, sex and age", TRAINING_FILE, DETAILED_COLUMNS, ("DIS", "SEX", "AGEP")),
    Variant(
        "coarse",
        "LightGBM on coarse columns, error rates per sex and age band held within 0.08",
        COARSE_TRAINING_FILE,
        COARSE_COLUMNS,
        ("SEX", "AGE_BAND"),
        cross_fitted=False,
        allowance=0.08,  # below the policy's 0.10, because other people than those of the training table will be judged
    ),
)


def write_model_folder(variant: Variant, data_folder: Path, target: Path, *, on_progress: Callable[[str], None]) -> Path:
    """Train `variant` and write MLmodel, the model file and datasheet.yaml into `target`; the same data gives the same bytes.

    Raises:
        DataError: the training table is not in `data_folder`.
    """
    training = _read_training(variant, data_folder)
    on_progress(f"training {variant.key}: {variant.title}, {len(training):,} rows")
    model = _classifier().fit(training[list(variant.features)], training[LABEL])
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if variant.group_columns:
        on_progress(f"balancing error rates of {variant.key} across {', '.join(variant.group_columns)}")
        _write_skops(_with_group_thresholds(variant, model, training), target, variant)
    else:
        _write_booster(model, target, variant)
    write_atomically(target / DATASHEET_FILE, datasheet_text(variant.key).encode("utf-8"))
    return target


def datasheet_text(key: str) -> str:
    """The datasheet of a variant as it ships with the package."""
    return (resources.files("rai_pipelines.demo") / "datasheets" / f"{key}.yaml").read_text(encoding="utf-8")


def _read_training(variant: Variant, data_folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = data_folder / variant.training_file
    if not path.is_file():
        raise DataError("the demo's training table is not there", where=str(path), hint="Write the demo's tables first (rai demo does)")
    return pd.read_parquet(path)


def _classifier() -> LGBMClassifier:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=TREES, learning_rate=LEARNING_RATE, n_jobs=THREADS, random_state=MODEL_SEED, deterministic=True, force_col_wise=True, verbose=-1
    )  # with deterministic and one histogram layout, the number of threads does not change the trees


def _with_group_thresholds(variant: Variant, model: LGBMClassifier, training: pd.DataFrame) -> GroupThresholdClassifier:
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    inputs, labels = training[list(variant.features)], training[LABEL].to_numpy()
    if variant.cross_fitted:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=MODEL_SEED)
        scores = cross_val_predict(_classifier(), inputs, labels, cv=folds, method="predict_proba")[:, 1]
    else:
        scores = model.predict_proba(inputs)[:, 1]
    columns = list(variant.group_columns)
    bins = {name: list(AGE_EDGES[:-1]) for name in columns if name == "AGEP"}
    groups = group_names(training, columns, bins)
    if variant.allowance is None:
        thresholds = fit_group_thresholds(scores, labels, groups)
    else:
        thresholds = fit_thresholds_within(scores, labels, groups, allowance=variant.allowance)
    middle = sorted(thresholds.values())[len(thresholds) // 2]
    return GroupThresholdClassifier(model, columns, bins, thresholds, fallback=middle)


def _write_booster(model: LGBMClassifier, target: Path, variant: Variant) -> None:
    import lightgbm

    write_atomically(target / "model.lgb", model.booster_.model_to_string().encode("utf-8"))
    flavor = {"data": "model.lgb", "model_class": "lightgbm.basic.Booster", "lgb_version": lightgbm.__version__}
    _write_mlmodel(target, variant, "lightgbm", flavor, "model.lgb")


def _write_skops(model: GroupThresholdClassifier, target: Path, variant: Variant) -> None:
    import sklearn
    import skops.io

    write_atomically(target / "model.skops", reproducible_skops(skops.io.dumps(model)))
    flavor = {"pickled_model": "model.skops", "serialization_format": "skops", "sklearn_version": sklearn.__version__}
    _write_mlmodel(target, variant, "sklearn", flavor, "model.skops")


def _write_mlmodel(target: Path, variant: Variant, flavor: str, details: dict[str, str], file: str) -> None:
    inputs = [{"type": "long", "name": name, "required": True} for name in variant.features]
    outputs = [{"type": "long", "name": LABEL, "required": True}]
    described = {
        "flavors": {flavor: details, "python_function": {"loader_module": f"mlflow.{flavor}", "data": file}},
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None},
    }  # no time and no random id: the folder's digest depends on the model alone
    write_atomically(target / MLMODEL_FILE, yaml.safe_dump(described, sort_keys=True).encode("utf-8"))


def reproducible_skops(content: bytes) -> bytes:
    """The same skops file with memory addresses and times replaced: equal models get equal bytes.

    skops names array files and objects by their address in memory; here they are numbered in order of appearance.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    schema = _renumbered(json.loads(members.pop("schema.json")), numbers, files)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, new_name in files.items():
            archive.writestr(_undated(new_name), members[name])
        archive.writestr(_undated("schema.json"), json.dumps(schema, indent=1))
    return made.getvalue()


def _renumbered(node: Any, numbers: dict[int, int], files: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_renumbered(item, numbers, files) for item in node]
    if not isinstance(node, dict):
        return node
    renumbered: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__":
            renumbered[key] = numbers.setdefault(value, len(numbers) + 1)
        elif key == "file" and isinstance(value, str):
            renumbered[key] = files.setdefault(value, f"{len(files) + 1}{Path(value).suffix}")
        else:
            renumbered[key] = _renumbered(value, numbers, files)
    return renumbered


def _undated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
