"""A registry of MLflow in a SQLite file, with its tables and no version in them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from rai_pipelines.subjects.mlflow_registry import MlflowRegistry

SQLITE = "sqlite:///"


def new_registry(place: Path | str) -> str:
    """Make one in the file or behind the SQLite URI `place`, and return its URI.

    It is a copy of one that MLflow made: its migrations take a second, and many tests want a registry.
    """
    database = Path(str(place).removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    database.write_bytes(_made_by_mlflow())
    return f"{SQLITE}{database}"


@cache
def _made_by_mlflow() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "empty.db"
        assert MlflowRegistry(f"{SQLITE}{database}").versions_since(0, limit=1) == ()
        return database.read_bytes()
