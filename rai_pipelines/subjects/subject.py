"""The subject of one audit: a model version, its datasheet, and its model (or why there is none)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from rai_pipelines.errors import ModelMissing
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.names import ModelVersion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

Tables = Mapping[str, "pa.Table"]


class LoadedModel(Protocol):
    """A model that answers queries. `features` are its inputs in order, or None when its file does not say."""

    flavor: str
    features: tuple[str, ...] | None

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Decisions, shape (rows,). Raises `ModelError` on a wrong shape or a failing model."""

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Probability of the favourable outcome, shape (rows,), or None when the model gives none."""

    def run(self, task: str, parameters: Mapping[str, JsonValue], tables: Tables) -> tuple[Mapping[str, JsonValue], Tables]:
        """Run `module:function` of this package where the model is loaded (see `model_tasks`), and return what it answers. Raises `ModelError`."""


@dataclass(frozen=True)
class Subject:
    """What an audit is about. `load_model()` is called by the assessments that need it."""

    version: ModelVersion
    datasheet: Datasheet
    folder: Path | None  # files of the version; None for an audit from predictions alone
    model_digest: str | None
    data_folder: Path  # relative data references start here
    loader: ModelLoader | None = None
    expectations: Path | None = None  # folder of suite files beside the datasheet
    live: bool = False  # whether the registry says that it is in use
    submitted_by: tuple[str, ...] = ()  # identities that the registry gives for who registered it

    def load_model(self) -> LoadedModel:
        """The model, loaded once per call.

        Raises:
            ModelMissing: the version has no model file.
            ModelError: the file is refused or does not load.
        """
        if self.loader is None or self.folder is None:
            raise ModelMissing(
                "has no model file", where=str(self.version), hint="Register the model's files, or leave what needs the model unassessed"
            )
        return self.loader(self.folder, self.datasheet)


class ModelLoader(Protocol):
    """Makes a model from a folder of files that nobody vouches for."""

    def __call__(self, folder: Path, datasheet: Datasheet) -> LoadedModel:
        """Load, or raise `ModelMissing` or `ModelError`."""
