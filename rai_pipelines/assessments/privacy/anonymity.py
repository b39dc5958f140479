"""Can people be found in the table? Direct identifiers, equivalence classes over quasi-identifiers, diversity of sensitive attributes.

This file says what is measured and in which order; each part has its own file beside it. Sources: k-anonymity, Sweeney 2002; singling out,
Article 29 Working Party opinion WP216 (2014); risks, El Emam 2013; direct identifiers, 45 CFR 164.514(b)(2); those of the parts stand there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.privacy.diversity import sensitive_measurements
from rai_pipelines.assessments.privacy.free_text import measure_free_text
from rai_pipelines.assessments.privacy.identifier_columns import measure_identifiers, measure_row_keys
from rai_pipelines.assessments.privacy.minimisation import measure_minimisation
from rai_pipelines.assessments.privacy.parameters import AnonymityParameters
from rai_pipelines.assessments.privacy.recoding import measure_recoding
from rai_pipelines.assessments.privacy.reidentification import class_details, class_measurements, measured_population, wp216
from rai_pipelines.assessments.privacy.safe_harbor import measure_safe_harbor
from rai_pipelines.subjects.datasheet import ReleaseClass
from rai_pipelines.tables.equivalence_classes import equivalence_classes
from rai_pipelines.tables.profile import profile

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource


def assess_anonymity(context: AuditContext, parameters: AnonymityParameters) -> Measured:
    """Anonymity of the training table, or of the evaluation table when the datasheet names no training data (details say which).

    Beside what `measure_anonymity` says: columns without a purpose and proxies of protected attributes (`measure_minimisation`).

    Raises:
        DataError: the table is empty, unreadable, or lacks a column that the datasheet names as quasi-identifier or sensitive.
    """
    columns = context.subject.datasheet.columns
    codes = {name for name, attribute in columns.protected_attributes.items() if attribute.labels and not attribute.bins}
    published = context.subject.datasheet.release_class is ReleaseClass.PUBLIC
    trained = context.has_table("training")
    source = context.table("training" if trained else "evaluation")
    measured = measure_anonymity(
        source,
        quasi_identifiers=columns.quasi_identifiers,
        sensitive=columns.sensitive_attributes,
        declared_identifiers=columns.direct_identifiers,
        parameters=parameters.model_copy(update={"k_target": parameters.k_target_public}) if published else parameters,
        seed=context.seed,
        row_id=columns.row_id,
        categorical=tuple(sorted(codes | set(columns.categorical_features))),
        evaluation=context.table("evaluation") if trained else None,
        population=context.table("population") if context.has_table("population") else None,
    )
    minimal, details = measure_minimisation(source, columns, parameters=parameters, seed=context.seed, rows=source.count_rows())
    return Measured(measurements=(*measured.measurements, *minimal), details={**measured.details, **details})


def measure_anonymity(
    source: TableSource,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str],
    declared_identifiers: Sequence[str] = (),
    parameters: AnonymityParameters,
    seed: int,
    row_id: str | None = None,
    categorical: Sequence[str] = (),
    evaluation: TableSource | None = None,
    population: TableSource | None = None,
) -> Measured:
    """Anonymity of one table.

    Metrics: `direct_identifier_columns` and `direct_identifier_share` (attribute = column, group = kind); `row_key_columns`; those of
    `reidentification.CLASS_METRICS`; `linkability_share`; per sensitive attribute `inference_share` and `diversity.SENSITIVE_METRICS`; those of
    `safe_harbor.METRICS`; `free_text_identifier_share`; and, when k or l is below its target, those of `recoding.METRICS`. Without
    quasi-identifiers the class metrics are unavailable, which is not the same as safe.

    Args:
        source: the table.
        quasi_identifiers: columns that an attacker may know.
        sensitive: columns that an attacker wants to know.
        declared_identifiers: columns that the owner calls direct identifiers; those that the table has count.
        parameters: how to read the table.
        seed: chooses the values and rows that are read where there are too many.
        row_id: the declared key of a row, not reported as one.
        categorical: numeric columns whose numbers are codes, without an order.
        evaluation: a second table that unique rows may be linked with.
        population: everyone that the table may be a sample of, with the same quasi-identifiers; without it journalist and marketer risks are bounds.

    Raises:
        DataError: a table is empty, unreadable, or lacks a quasi-identifier or sensitive column.
    """
    source.require(*quasi_identifiers, *sensitive)
    rows = source.count_rows()
    quasi = tuple(dict.fromkeys(quasi_identifiers))
    figures = profile(source, values_cap=0)
    identifiers, details = measure_identifiers(source, figures, quasi, declared_identifiers, row_id=row_id, parameters=parameters, seed=seed)
    keys, key_columns = measure_row_keys(figures, row_id, parameters)
    measured = tuple(name for name in dict.fromkeys(sensitive) if name not in quasi)
    classes = None
    if quasi:
        classes = equivalence_classes(source, quasi, measured, categorical=categorical, inference_share=parameters.inference_share)
    seen = measured_population(source, population, quasi, parameters)
    parts = (
        wp216(source, evaluation, quasi, classes, rows=rows, parameters=parameters),
        measure_safe_harbor(source, figures, quasi),
        measure_free_text(source, figures, sample_rows=parameters.text_rows, level=parameters.level, seed=seed),
        measure_recoding(source, figures, classes, quasi, measured, categorical=categorical, parameters=parameters),
    )
    details |= {
        "table": source.name,
        "rows": rows,
        "quasi_identifiers": list(quasi_identifiers),
        "sensitive_attributes": list(sensitive),
        "row_key_columns": list(key_columns),
        "population": None if population is None else {"rows": population.count_rows(), "digest": population.digest()},
        **class_details(source, quasi, measured, classes, parameters),
    }
    for _, found in parts:
        details |= found
    return Measured(
        measurements=(
            *identifiers,
            keys,
            *class_measurements(classes, rows, parameters, seen),
            *sensitive_measurements(classes, sensitive, rows),
            *(item for items, _ in parts for item in items),
        ),
        details=details,
    )
