"""Which suite a table is validated with: the file that people edited, where there is one, otherwise the derived suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.validation.suite import Outcome, Planned
from rai_pipelines.assessments.validation.suite_changes import Changes, compare
from rai_pipelines.assessments.validation.suite_files import FOLDER, SuiteFile, read_suite
from rai_pipelines.evidence.model import Measurement

if TYPE_CHECKING:
    from rai_pipelines.subjects.subject import Subject

DERIVED, EDITED = "derived from datasheet and training profile", "suite file"


@dataclass(frozen=True)
class ChosenSuite:
    """The expectations that run, and how they differ from the derived ones."""

    planned: tuple[Planned, ...]
    file: SuiteFile | None
    changes: Changes

    def as_detail(self) -> dict[str, Any]:
        """What the evidence says of it."""
        if self.file is None:
            return {"from": DERIVED, "digest": None, "changes": None}
        return {
            "from": EDITED,
            "digest": self.file.digest,
            "derived_from": dict(self.file.derived_from),
            "changes": self.changes.as_detail(),
        }


def suite_files(subject: Subject, tables: Sequence[str]) -> dict[str, SuiteFile]:
    """The suite files of the subject by table: with the model's files, otherwise beside its datasheet.

    Raises:
        DataError: a file is there and cannot be used.
    """
    found = {}
    for table in tables:
        for folder in _folders(subject):
            path = folder / f"{table}.json"
            if path.exists() or path.is_symlink():
                found[table] = read_suite(path, table)
                break
    return found


def choose(derived: Sequence[Planned], file: SuiteFile | None) -> ChosenSuite:
    """The suite to run. What a file lacks of the critical expectations, which follow from the datasheet, is evaluated all the same."""
    if file is None:
        return ChosenSuite(tuple(derived), None, Changes(len(derived)))
    changes = compare(derived, file.planned)
    return ChosenSuite((*file.planned, *changes.kept_critical), file, changes)


def changes_measured(table: str, chosen: ChosenSuite) -> tuple[list[Measurement], list[Outcome]]:
    """`suite_expectations_removed`, `_loosened`, `_added` (group = table; n = derived expectations); loosening and removing is a warning."""
    if chosen.file is None:
        return [], []
    changes = chosen.changes
    kinds = (("removed", changes.removed), ("loosened", changes.loosened), ("added", changes.added))
    measured = [
        Measurement(metric=f"suite_expectations_{kind}", value=len(names), n=changes.derived, denominator=changes.derived, group=table)
        for kind, names in kinds
    ]
    told = f"{len(changes.removed)} removed, {len(changes.loosened)} loosened, {len(changes.added)} added"
    success = not changes.removed and not changes.loosened
    return measured, [Outcome(table, "suite_file_to_be_no_looser_than_derived", None, "warning", success, told, "nothing removed or loosened")]


def _folders(subject: Subject) -> list[Path]:
    beside: Path | None = getattr(subject, "expectations", None)
    return [folder for folder in (subject.folder / FOLDER if subject.folder else None, beside) if folder is not None]
