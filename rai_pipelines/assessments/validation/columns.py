"""What a column holds: its type, missing values, numbers among texts, one value only, or nearly as many values as rows."""

from __future__ import annotations

from typing import Any

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.validation.reading import ValidatedTable
from rai_pipelines.assessments.validation.rows import Found
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.tables.profile import ColumnProfile
from rai_pipelines.tables.text_forms import TextForms, text_forms


def missing_shares(table: ValidatedTable) -> list[Measurement]:
    """`missing_share` of every column (attribute), per table (group)."""
    rows = table.rows
    return [
        Measurement(metric="missing_share", value=column.missing_share, n=rows, denominator=rows, attribute=name, group=table.name)
        for name, column in table.figures.columns.items()
    ]


def types_match(training: ValidatedTable, evaluation: ValidatedTable) -> list[Outcome]:
    """Types as the engines declare them: numbers of any width, and flags, are one family."""
    outcomes = []
    for name, found in evaluation.figures.columns.items():
        known = training.figures.columns.get(name)
        if known is None:
            continue
        empty = found.nulls == found.rows or known.nulls == known.rows
        success = None if empty else family(found.kind) == family(known.kind)
        observed = "not evaluated: one of the columns has no values" if empty else f"{found.kind} ({found.dtype})"
        expected = f"{known.kind} ({known.dtype}) as in training"
        outcomes.append(Outcome("evaluation", "column_type_to_match_training", name, "critical", success, observed, expected))
    return outcomes


def family(kind: str) -> str:
    """A flag is stored as true/false or as 0/1."""
    return "numeric" if kind == "boolean" else kind


def contents(table: ValidatedTable, *, key_share: float, values_cap: int, level: float) -> Found:
    """Warnings about columns that say little or too much; `numeric_text_share` (attribute = column, group = table) with its interval.

    A column without a value or with one value only tells a model nothing. A text column with nearly as many values as rows is close to a
    key, which a model can learn by heart. Numbers among texts are often a second coding of a missing value.
    """
    measured: list[Measurement] = []
    outcomes: list[Outcome] = []
    texts = [name for name, column in table.figures.columns.items() if column.kind == "text"]
    forms = text_forms(table.source, texts)
    for name, column in table.figures.columns.items():
        present = column.rows - column.nulls
        told = f"{present} of {column.rows} rows have a value, {column.distincts} distinct"
        outcomes.append(_warning(table, "column_to_have_values", name, success=present > 0, told=told, expected="some row has a value"))
        varies = None if present == 0 or column.rows == 1 else column.distincts > 1 or column.nulls > 0
        outcomes.append(_warning(table, "column_to_vary", name, success=varies, told=told, expected="more than one value"))
        if column.kind == "text":
            outcomes.append(_many_values(table, column, present, key_share=key_share, values_cap=values_cap))
            found, outcome = _numbers_among_texts(table, name, forms[name], level)
            measured.append(found)
            outcomes.append(outcome)
    return measured, outcomes


def _many_values(table: ValidatedTable, column: ColumnProfile, present: int, *, key_share: float, values_cap: int) -> Outcome:
    success = None if present == 0 else column.distincts <= values_cap or column.distincts <= key_share * present
    told = f"{column.distincts} distinct values in {present} rows"
    return _warning(table, "text_to_repeat", column.name, success=success, told=told, expected=f"at most {key_share:.0%} as many values as rows")


def _numbers_among_texts(table: ValidatedTable, name: str, forms: TextForms, level: float) -> tuple[Measurement, Outcome]:
    told = f"{forms.numbers} of {forms.told} texts are numbers; {forms.blank} more are blank"
    where: dict[str, Any] = {"metric": "numeric_text_share", "attribute": name, "group": table.name, "n": forms.rows, "denominator": forms.told}
    expected = "numbers only, or none"
    if forms.told == 0:
        unmeasured = Measurement(value=None, state=State.UNDEFINED, note="no text that is not blank", **where)
        return unmeasured, _warning(table, "text_to_be_of_one_form", name, success=None, told=told, expected=expected)
    share = proportion(forms.numbers, forms.told, level)
    success = forms.numbers in {0, forms.told}
    return Measurement(value=share.value, interval=share.interval, **where), _warning(
        table, "text_to_be_of_one_form", name, success=success, told=told, expected=expected
    )


def _warning(table: ValidatedTable, expectation: str, column: str, *, success: bool | None, told: str, expected: str) -> Outcome:
    observed = told if success is not None else f"not evaluated: {told}"
    return Outcome(table.name, expectation, column, "warning", success, observed, expected)
