"""The tables that ship with the package: working-age residents of Massachusetts in the American Community Survey 2015 to 2018."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rai_pipelines.demo.make_data import DATA_FILES
from rai_pipelines.errors import DataError
from rai_pipelines.evidence.canonical import digest_of_file
from rai_pipelines.evidence.store import write_atomically


def demo_data_folder() -> Path:
    """The folder of the tables that ship with the package.

    Raises:
        DataError: the package was installed without them.
    """
    folder = Path(str(resources.files("rai_pipelines.demo") / "data"))
    absent = [name for name in DATA_FILES if not (folder / name).is_file()]
    if absent:
        raise DataError(f"the package lacks the demo's tables {', '.join(absent)}", where=str(folder), hint="Install rai-pipelines again")
    return folder


def write_demo_data(target: Path) -> list[Path]:
    """Copy the demo's tables into `target` where they are absent or differ; returns the files that were written."""
    written = []
    for name in DATA_FILES:
        source, copy = demo_data_folder() / name, target / name
        if not copy.is_file() or digest_of_file(copy) != digest_of_file(source):
            write_atomically(copy, source.read_bytes())
            written.append(copy)
    return written
