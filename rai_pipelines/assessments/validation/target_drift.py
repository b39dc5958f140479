"""Do label and score of the evaluation table look like those of training? Effect sizes with intervals; no p-value decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rai_pipelines.assessments.statistics.column_drift import Frame, column_drift, figures_of
from rai_pipelines.assessments.statistics.drift_tests import DriftState, simultaneous_level
from rai_pipelines.assessments.validation.columns import family
from rai_pipelines.assessments.validation.reading import NO_TRAINING, ValidatedTable
from rai_pipelines.assessments.validation.rows import Found
from rai_pipelines.assessments.validation.suite import Outcome
from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.subjects.datasheet import Columns, Task
from rai_pipelines.tables.column_shift import CategoryShift, NumericShift, compare_categories, compare_numbers, is_amount, spread
from rai_pipelines.tables.profile import kind_of

# Effect sizes: the defaults of the drift assessment, which compares production data.
THRESHOLDS = {"psi": 0.2, "js_distance": 0.2, "ks": 0.2, "wasserstein_normalised": 0.4, "cramers_v": 0.2, "new_category_share": 0.01}
BINS, RESAMPLES = 10, 400


def target_drift(
    training: ValidatedTable | None, evaluation: ValidatedTable, columns: Columns, task: Task, *, level: float, minimum_rows: int, seed: int
) -> tuple[Found, dict[str, Any]]:
    """Distances of label and score (attribute) between the two tables: `psi`, `js_distance`, and `cramers_v` with `new_category_share` for
    classes, `ks` with `wasserstein_normalised` for numbers. Intervals hold together at `level` (Bonferroni).

    The expectation fails where an interval lies above its threshold (`THRESHOLDS`); where one reaches across its threshold it
    is not evaluated, and the details say how many rows would decide.
    """
    targets = {"label": columns.label, "score": columns.score}
    named = {role: name for role, name in targets.items() if name is not None}
    absent = {name: why for name in named.values() if (why := _why_not(training, evaluation, name))}
    if not named:
        return ([Measurement(metric="psi", value=None, state=State.UNAVAILABLE, note="the datasheet names no label")], []), {}
    measured = [
        Measurement(metric="psi", value=None, attribute=name, reference="training", comparison="evaluation", state=State.UNAVAILABLE, note=why)
        for name, why in absent.items()
    ]
    shifts = {
        name: _shift(training, evaluation, name, as_class=role == "label" and task in {"binary_classification", "multiclass_classification"})
        for role, name in named.items()
        if training is not None and name not in absent
    }
    frame = Frame(
        reference="training",
        current="evaluation",
        thresholds=THRESHOLDS,
        level=simultaneous_level(level, sum(len(figures_of(shift)) for shift in shifts.values())),
        resamples=RESAMPLES,
        min_rows=minimum_rows,
        seed=seed,
    )
    outcomes: list[Outcome] = []
    details: dict[str, Any] = {}
    for name, shift in shifts.items():
        assert training is not None
        width = spread(training.source, name) if isinstance(shift, NumericShift) else None
        drift = column_drift(name, shift, width, frame, bins=BINS)
        measured += drift.measurements
        details[name] = {key: drift.facts[key] for key in ("kind", "state", "states", "rows", "missing", "rows_that_decide", "p_value")}
        outcomes.append(_outcome(name, drift.facts, THRESHOLDS))
    return (measured, outcomes), details


def _outcome(name: str, facts: Mapping[str, Any], thresholds: Mapping[str, float]) -> Outcome:
    state = facts["state"]
    success = {DriftState.DRIFTED.value: False, DriftState.STABLE.value: True}.get(state)
    drifted = [metric for metric, called in facts["states"].items() if called == DriftState.DRIFTED.value]
    observed = f"drifted by {', '.join(drifted)}" if drifted else "stable" if success else f"not evaluated: {state}"
    words = ", ".join(f"{metric} {thresholds[metric]:g}" for metric in facts["states"])
    return Outcome("evaluation", "distribution_to_match_training", name, "warning", success, observed, f"intervals below {words}")


def _why_not(training: ValidatedTable | None, evaluation: ValidatedTable, name: str) -> str | None:
    if training is None:
        return NO_TRAINING
    lacking = [table.name for table in (training, evaluation) if name not in table.source.columns]
    if lacking:
        return f"no such column in the {' and the '.join(lacking)} table"
    kinds = {family(kind_of(table.source.table()[name].type())) for table in (training, evaluation)}
    return "its type changed, so values cannot be compared" if len(kinds) > 1 else None


def _shift(training: ValidatedTable | None, evaluation: ValidatedTable, name: str, *, as_class: bool) -> NumericShift | CategoryShift:
    assert training is not None
    left, right = training.source, evaluation.source
    kinds = {kind_of(source.table()[name].type()) for source in (left, right)}
    if kinds == {"boolean", "numeric"}:
        return compare_categories(left, right, name, as_numbers=True)
    if not as_class and is_amount(left, name) and is_amount(right, name):
        return compare_numbers(left, right, name)
    return compare_categories(left, right, name)
