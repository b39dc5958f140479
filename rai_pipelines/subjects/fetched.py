"""Where adapters put a version's files: whole, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from rai_pipelines.evidence.canonical import digest_of_folder

FILES_FOLDER = "files"


def put_in_place(made: Path, target: Path) -> Path:
    """Make `made` appear as `target` in one step; another process that fetched the same files first wins."""
    if target.exists() and digest_of_folder(target) != digest_of_folder(made):
        shutil.rmtree(target)
    if not target.exists():
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir() or digest_of_folder(target) != digest_of_folder(made):
                raise
    return target
