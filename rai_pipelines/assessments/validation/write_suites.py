"""Derive the suites of a datasheet's tables and write them as files that people can edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rai_pipelines.assessments.validation.data_validation import DataValidationParameters
from rai_pipelines.assessments.validation.reading import expected_of, features_of
from rai_pipelines.assessments.validation.suite import Margins, plan
from rai_pipelines.assessments.validation.suite_files import profile_digest, suite_json
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.tables.profile import TableProfile, profile

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource


def derived_suites(sheet: Datasheet, sources: Mapping[str, TableSource], parameters: DataValidationParameters, *, has_model: bool) -> dict[str, str]:
    """The text of the suite file of each table (`training` where there is one, and `evaluation`), as an audit would derive it.

    Raises:
        DataError: a table is empty or cannot be read.
    """
    columns = sheet.columns
    features, features_from = features_of(columns, sources)
    margins = Margins(parameters.missing_margin, parameters.missing_maximum, parameters.range_margin)
    profiles: dict[str, TableProfile] = {}
    texts = {}
    for name, source in sources.items():
        source.count_rows()
        expected = expected_of(name, columns, features, declared=features_from == "datasheet", runs_a_model=columns.prediction is None or has_model)
        present = [column for column in dict.fromkeys((*expected.required, *expected.checked)) if column in source.columns]
        profiles[name] = profile(source, present, values_cap=parameters.values_cap)
        training = profiles.get("training") if name != "training" else None
        planned = plan(name, expected, profiles[name], training, margins)
        texts[name] = suite_json(name, planned, profile_digest=profile_digest(training or profiles[name]), datasheet_digest=sheet.digest)
    return texts
