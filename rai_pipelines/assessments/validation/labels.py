"""The label: is it what the task needs, and do rows that look alike have different ones?"""

from __future__ import annotations

from collections.abc import Sequence

from rai_pipelines.assessments.statistics.proportions import proportion
from rai_pipelines.assessments.validation.reading import ValidatedTable
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns, Task
from rai_pipelines.tables.group_names import as_outcome, group_name
from rai_pipelines.tables.label_conflicts import label_conflicts

CONFLICT_METRICS = ("label_conflict_share", "label_minority_share")


def label_outcomes(table: ValidatedTable, columns: Columns, task: Task) -> list[Outcome]:
    """Counted over all rows, because a sample can miss a rare class. Labels are named as groups are: 1, 1.0 and true are one name."""
    label, name = table.expected.label, table.name
    if label is None or label not in table.figures.columns:
        return []
    import pandas as pd

    favourable, found = columns.favourable_outcome, table.figures.columns[label]
    if task == "regression":
        numeric = found.kind == "numeric" and found.infinite == 0
        return [Outcome(name, "label_to_be_finite_numbers", label, "critical", numeric, f"{found.kind}, {found.infinite} infinite", "finite numbers")]
    values = found.values
    distinct = pd.Series([value for value, _ in values or ()], dtype=object)
    classes = len({group_name(value) for value in distinct})
    observed = f"{classes} classes" if values is not None else "too many values for a label"
    if task == "multiclass_classification":
        strange = sorted({group_name(value) for value in distinct} - set(columns.classes)) if values is not None else ["too many values"]
        words = f"one of the {len(columns.classes)} declared classes"
        return [Outcome(name, "label_to_be_declared_class", label, "critical", not strange, f"{len(strange)} other values", words)]
    contains = bool((as_outcome(distinct, favourable) == 1).any())
    expected = f"the class {favourable}"
    return [
        Outcome(name, "label_to_be_binary", label, "critical", classes == 2, observed, "two classes"),
        Outcome(name, "label_to_contain_favourable_outcome", label, "critical", contains, "it does" if contains else "it does not", expected),
    ]


def conflicts(table: ValidatedTable, features: Sequence[str], *, level: float) -> list[Measurement]:
    """`label_conflict_share`: labelled rows whose features another row has with another label; `label_minority_share`: rows whose label is not
    the most frequent one among rows of equal features, which no model of these features can get right.

    Both are counted exactly. Rows of equal features stand or fall together, so the interval takes classes of equal rows as the units that
    were drawn (Kish's effective size n^2 / sum of squared class sizes). Conflicts are hints: coarse features conflict without any wrong label.
    """
    label = table.expected.label
    known = [name for name in features if name in table.source.columns and name != label]
    why = None
    if label is None:
        why = "the datasheet names no label"
    elif label not in table.source.columns:
        why = f"the {table.name} table has no label column"
    elif not known:
        why = f"the {table.name} table has no feature"
    if why is not None or label is None:
        return [Measurement(metric=metric, value=None, group=table.name, state=State.UNAVAILABLE, note=why) for metric in CONFLICT_METRICS]
    found = label_conflicts(table.source, known, label)
    if found.labelled == 0:
        note = "no row has a label"
        return [
            Measurement(metric=metric, value=None, n=found.rows, denominator=0, group=table.name, state=State.UNDEFINED, note=note)
            for metric in CONFLICT_METRICS
        ]
    effective = found.labelled**2 / found.squares
    note = f"on {len(known)} of {len([name for name in features if name != label])} features; {found.classes} classes of equal rows"
    made = []
    for metric, rows in zip(CONFLICT_METRICS, (found.conflicting, found.minority), strict=True):
        share = rows / found.labelled
        limits = proportion(min(effective, share * effective), effective, level)
        interval = limits.interval.model_copy(update={"method": f"{limits.interval.method}, Kish effective size"})
        made.append(Measurement(metric=metric, value=share, interval=interval, n=found.rows, denominator=found.labelled, group=table.name, note=note))
    return made
