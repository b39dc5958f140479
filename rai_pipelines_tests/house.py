"""A small house for tests: synthetic people, a model that scikit-learn trained, its datasheet, and a home to audit it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from rai_pipelines.settings import Settings
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.registries import new_registry

FEATURES = ["age", "income", "visits", "sex"]


def people(rows: int = 3000, *, seed: int = 7, penalty: float = 0.0) -> pd.DataFrame:
    """People with an outcome that depends on income and visits, and by `penalty` on sex."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.choice([20, 30, 40, 50, 60], rows),
            "income": np.round(rng.normal(50, 12, rows), 1),
            "visits": rng.poisson(3, rows),
            "sex": rng.choice([1, 2], rows),
            "region": rng.choice(["north", "south"], rows),
        }
    )
    chance = 1 / (1 + np.exp(-((frame["income"] - 50) / 8 + (frame["visits"] - 3) / 2 - penalty * (frame["sex"] == 2))))
    frame["y"] = (rng.random(rows) < chance).astype(int)
    return frame


def datasheet(**changes: Any) -> dict[str, Any]:
    """A complete datasheet about the model `calls`, as plain data."""
    return {
        "schema": "rai.datasheet/v1",
        "model": "calls",
        "purpose": "Decide who gets a call first",
        "out_of_scope": ["Deciding who gets no call at all"],
        "limitations": ["The people are synthetic"],
        "risk": {"class": "limited", "reason": "A later call costs a person little"},
        "owner": {"name": "Calls team", "contact": "calls@example.org"},
        "deputy": {"name": "Contact centre", "contact": "centre@example.org"},
        "runbook": "https://example.org/runbooks/calls",
        "human_oversight": "Agents may call in any order",
        "provenance": "Drawn by a seeded generator in the tests",
        "columns": {
            "label": "y",
            "features": list(FEATURES),
            "protected_attributes": {"sex": {"reference": 1}},
            "quasi_identifiers": ["age", "sex"],
            "sensitive_attributes": ["region"],
            "immutable_features": ["age", "sex"],
            "categorical_features": ["sex"],
        },
        "data": {"training": "training.parquet", "evaluation": "evaluation.parquet"},
        **changes,
    }


def write_model(folder: Path, sheet: dict[str, Any], *, training: pd.DataFrame) -> Path:
    """A logistic regression on `FEATURES` as a skops file, with its datasheet, in `folder`."""
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(training[FEATURES], training["y"])
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "model.skops")
    (folder / "datasheet.yaml").write_text(yaml.safe_dump(sheet), encoding="utf-8")
    return folder


class House:
    """A home folder with data, and a registry to register versions of `calls` in."""

    def __init__(self, folder: Path, *, tracking_uri: str | None = None, penalty: float = 0.0) -> None:
        self.folder = folder
        self.settings = Settings(home=folder / "home", tracking_uri=tracking_uri)
        self.training, self.evaluation = people(seed=7, penalty=penalty), people(seed=8, penalty=penalty)
        self.settings.data_path.mkdir(parents=True)
        self.training.to_parquet(self.settings.data_path / "training.parquet")
        self.evaluation.to_parquet(self.settings.data_path / "evaluation.parquet")
        self.registry = MlflowRegistry(tracking_uri or new_registry(self.settings.registry_uri))
        self._made = 0

    def register(self, sheet: dict[str, Any] | None = None, *, name: str = "calls") -> ModelVersion:
        """Train, write and register one version."""
        self._made += 1
        made = write_model(self.folder / "models" / str(self._made), sheet or datasheet(), training=self.training)
        return self.registry.register(name, made)

    def register_folder(self, folder: Path, *, name: str = "calls") -> ModelVersion:
        """Register a folder as it is."""
        return self.registry.register(name, folder)
