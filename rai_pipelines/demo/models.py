"""Put the demo's model versions into the registry; doing it again changes nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from rai_pipelines.demo.training import VARIANTS, write_model_folder
from rai_pipelines.evidence.canonical import digest_of_folder
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion

MODEL_NAME = "employment-ma"
VARIANT_TAG = "rai.demo"
ALL_VERSIONS = 2**31
DESCRIPTIONS = {str(number): variant.title for number, variant in enumerate(VARIANTS, start=1)}  # in a registry that was empty before


def train_and_register(
    registry_uri: str, artifact_root: Path, data_folder: Path, *, on_progress: Callable[[str], None] = lambda message: None
) -> list[ModelVersion]:
    """The three versions of `employment-ma`, trained and registered where they are not yet; plain, mitigated, coarse in that order.

    Raises:
        RegistryUnavailable: the registry does not answer.
        DataError: the demo's tables are not in `data_folder`.
    """
    registry = MlflowRegistry(registry_uri, artifact_root=artifact_root)
    on_progress(f"looking for {MODEL_NAME} in the registry")
    known = {
        item.tags[VARIANT_TAG]: item.version
        for item in registry.versions_since(0, limit=ALL_VERSIONS)
        if item.version.name == MODEL_NAME and VARIANT_TAG in item.tags
    }
    versions = []
    for variant in VARIANTS:
        if variant.key in known:
            on_progress(f"{known[variant.key]} ({variant.key}) is already registered")
        else:
            with tempfile.TemporaryDirectory(prefix="rai-demo-") as scratch:
                folder = write_model_folder(variant, data_folder, Path(scratch) / variant.key, on_progress=on_progress)
                known[variant.key] = register_folder(registry, artifact_root, MODEL_NAME, folder, tags={VARIANT_TAG: variant.key})
            on_progress(f"registered {known[variant.key]} ({variant.key})")
        versions.append(known[variant.key])
    return versions


def register_folder(registry: MlflowRegistry, artifact_root: Path, name: str, folder: Path, *, tags: Mapping[str, str] | None = None) -> ModelVersion:
    """Copy `folder` below `artifact_root` under its digest and register it as the next version of `name`.

    For a registry that reads the same file system: a database, or a tracking server that allows local sources.
    """
    digest = digest_of_folder(folder).removeprefix("sha256:")
    kept = artifact_root / quote(name, safe="") / digest[:16]
    if not kept.exists() or digest_of_folder(kept) != digest_of_folder(folder):
        shutil.rmtree(kept, ignore_errors=True)  # what a killed run left
        shutil.copytree(folder, kept)
    return registry.register(name, kept, tags=tags)
