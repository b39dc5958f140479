"""The Dagster instance of the embedded default: where it lies and how it is set up."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rai_pipelines.evidence.store import write_atomically
from rai_pipelines.settings import Settings


def dagster_home(settings: Settings) -> Path:
    """The folder that DAGSTER_HOME names for these settings."""
    return settings.home_path / "dagster"


def prepare_instance(settings: Settings) -> Path:
    """Make the instance folder with its dagster.yaml; an existing dagster.yaml, which an operator may have changed, is left alone."""
    home = dagster_home(settings)
    target = home / "dagster.yaml"
    if not target.exists():
        source = resources.files("rai_pipelines.orchestration") / "instance.yaml"
        write_atomically(target, source.read_bytes())
    return home
