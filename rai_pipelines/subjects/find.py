"""Bring a registered version to the auditor: its files, its datasheet, its digest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.canonical import digest_of_folder
from rai_pipelines.subjects.datasheet import DATASHEET_FILE, Datasheet, read_datasheet
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry
from rai_pipelines.subjects.subject import ModelLoader, Subject

EXPECTATIONS = "expectations"


def find_subject(
    version: ModelVersion, *, registry: ModelRegistry, scratch: Path, subjects_folder: Path, data_folder: Path, loader: ModelLoader
) -> Subject:
    """The subject registered as `version`. Its files are copied below `scratch`, under the digest of their content; none of them runs.

    Raises:
        RegistryUnavailable, UnknownModelVersion: from the registry.
        DatasheetError: neither the version nor the subjects folder has a usable datasheet.
    """
    registered = registry.get(version)
    folder = _fetch(version, registry, scratch / "models")
    files = [path for path in folder.rglob("*") if path.is_file() and _is_of_the_model(path.relative_to(folder))]
    return Subject(
        version=version,
        datasheet=_datasheet(version, folder, subjects_folder),
        folder=folder if files else None,
        model_digest=digest_of_folder(folder) if files else None,
        data_folder=data_folder,
        loader=loader if files else None,
        expectations=_expectations(datasheet_places(version, folder, subjects_folder)[1:]),
        live=registry.is_live(version),
        submitted_by=registered.submitted_by,
    )


def _is_of_the_model(path: Path) -> bool:
    return path.name != DATASHEET_FILE and path.parts[0] != EXPECTATIONS


def _expectations(places: Iterable[Path]) -> Path | None:
    """The folder of suite files beside the first datasheet place that has one; those in the model's own folder are found there."""
    return next((place.parent / EXPECTATIONS for place in places if (place.parent / EXPECTATIONS).is_dir()), None)


def datasheet_places(version: ModelVersion, folder: Path, subjects_folder: Path) -> tuple[Path, ...]:
    """Where a datasheet is looked for, in this order: with the model, for this version, for this model."""
    name, number = version.key.split("/")
    return (
        folder / DATASHEET_FILE,
        subjects_folder / name / number / DATASHEET_FILE,
        subjects_folder / name / DATASHEET_FILE,
    )


def _datasheet(version: ModelVersion, folder: Path, subjects_folder: Path) -> Datasheet:
    places = datasheet_places(version, folder, subjects_folder)
    for place in places:
        if place.is_file():
            return read_datasheet(place)
    raise DatasheetError(
        "has no datasheet", where=str(version), hint=f"Log {DATASHEET_FILE} with the model's files, or write {places[2]} (see docs/datasheet.md)"
    )


def _fetch(version: ModelVersion, registry: ModelRegistry, models: Path) -> Path:
    """A copy under the content's digest: two audits at once end with the same folder, and neither sees half of it."""
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix=".fetching-") as temporary:
        fetched = registry.fetch(version, Path(temporary) / "files")
        target = models / digest_of_folder(fetched).removeprefix("sha256:")
        if not target.exists():
            try:
                fetched.rename(target)
            except OSError:  # another audit of the same content was faster
                if not target.exists():
                    shutil.copytree(fetched, target)
        return target
