"""How much less often the model is right in production than on the evaluation table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.scoring import Scored, scored_table
from rai_pipelines.assessments.statistics.proportions import difference_of_proportions, proportion
from rai_pipelines.errors import DataError, ModelMissing
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns
from rai_pipelines.tables.contingency import MAX_CELLS
from rai_pipelines.tables.group_keys import without_nan
from rai_pipelines.tables.group_names import as_outcome, group_name, outcome_name, spelled, told_values

if TYPE_CHECKING:
    import pandas as pd

METRIC = "performance_drop"


def performance_drop(context: AuditContext, *, level: float, min_rows: int) -> list[Measurement]:
    """`accuracy` of the evaluation and the production table (group = table), the share of production rows whose label has arrived
    (`labelled_share`), and `performance_drop`: the first accuracy minus the second, above 0 where production is worse.

    Raises:
        DataError: a table does not fit the datasheet.
        ModelError: the model fails on the production table.
    """
    sheet = context.subject.datasheet
    columns, rows = sheet.columns, context.table("production").count_rows()
    why = None
    if sheet.task not in {"binary_classification", "multiclass_classification"}:
        why = f"loss of performance is measured for classifications, the task is {sheet.task}"
    elif columns.label is None:
        why = "the datasheet names no label"
    elif columns.label not in context.table("production").columns:
        why = f"the production table has no label column {columns.label!r} yet"
    if why is None:
        try:
            tables = {name: _right_and_labelled(context, scored_table(context, name)) for name in ("evaluation", "production")}
        except ModelMissing as error:
            why = f"there are no decisions to compare: {error}"
    if why is not None:
        return [Measurement(metric=METRIC, value=None, n=rows, state=State.UNAVAILABLE, note=why)]
    arrived = proportion(tables["production"][1], rows, level)
    found = [_figure("labelled_share", arrived, n=rows, denominator=rows, group="production")]
    for name, (right, labelled) in tables.items():
        if labelled:
            found.append(_figure("accuracy", proportion(right, labelled, level), n=labelled, denominator=labelled, group=name))
    fewest = min(labelled for _, labelled in tables.values())
    common: dict[str, Any] = {"reference": "evaluation", "comparison": "production", "n": sum(labelled for _, labelled in tables.values())}
    note = f"labels have arrived for {arrived.value:.1%} of production rows"
    if fewest == 0:
        return [*found, Measurement(metric=METRIC, value=None, denominator=0, state=State.UNAVAILABLE, note=note, **common)]
    drop = difference_of_proportions(tables["evaluation"], tables["production"], level)
    if fewest < min_rows:
        common |= {"state": State.INSUFFICIENT}
        note = f"{fewest} labelled rows, fewer than {min_rows}"
    return [*found, _figure(METRIC, drop, denominator=fewest, note=note, **common)]


def _right_and_labelled(context: AuditContext, scored: Scored) -> tuple[int, int]:
    """Labelled rows with the right decision, and labelled rows. The first labels to arrive may be of one class only."""
    sheet = context.subject.datasheet
    favourable = sheet.columns.favourable_outcome
    label = str(sheet.columns.label)
    scored.source.require(label, scored.prediction_column)
    table = scored.source.table()
    pairs = table.select(y=without_nan(table[label]), p=without_nan(table[scored.prediction_column]))
    pairs = pairs.filter(pairs.y.notnull())
    counts = scored.source.run(pairs.group_by(["y", "p"]).aggregate(n=pairs.count()).limit(MAX_CELLS + 1))
    if len(counts) > MAX_CELLS:
        raise DataError(f"column {label!r} has too many values for a label", where=scored.source.shown, hint="Correct columns.label or task")
    _check_coding(counts, sheet.columns, scored)
    if sheet.task == "binary_classification":
        same = (as_outcome(counts["y"], favourable) == as_outcome(counts["p"], favourable)).fillna(False)
    else:
        same = counts["y"].map(group_name) == counts["p"].map(group_name)
    return int(counts.loc[same.astype(bool), "n"].sum()), int(counts["n"].sum())


def _check_coding(counts: pd.DataFrame, columns: Columns, scored: Scored) -> None:
    """Refuse labels and decisions that are not coded alike: what equals no class would count as the other one, and so as right.

    Raises:
        DataError: names the values.
    """
    if columns.classes:
        name, wanted = group_name, set(columns.classes)
    else:
        name, wanted = outcome_name, {spelled(columns.favourable_outcome)}
    seen = {name(value) for part in ("y", "p") for value in counts[part].dropna().unique()}
    strange = sorted(seen - wanted) if columns.classes else sorted(seen) if len(seen | wanted) > 2 else []
    if strange:
        raise DataError(
            f"labels and decisions of the {scored.source.name} table are not coded alike ({told_values(strange, len(strange))})",
            where=scored.source.shown,
            hint=f"Code column {columns.label!r} as in the evaluation table: {', '.join(map(repr, sorted(wanted)))}",
        )


def _figure(metric: str, figure: Any, **facts: Any) -> Measurement:
    return Measurement(metric=metric, value=figure.value, interval=figure.interval, standard_error=figure.standard_error, **facts)
