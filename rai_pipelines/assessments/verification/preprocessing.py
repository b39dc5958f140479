"""What the last estimator of a pipeline reads: for each of its columns the input it is made of, the number of each category, and how it is scaled.

A column without codes is its input, moved step by step: `["subtract", 3.0]`, `["divide", 2.0]` ... in double precision and in this order, as
scikit-learn's scalers do it. Every step keeps the order of numbers, so a threshold behind them is one before them. Where an imputer fills a
column, `missing` is the number that stands for a missing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.feature_space import scalar
from rai_pipelines.assessments.verification.tree_dumps import Unsupported

Step = tuple[str, float]


def column_of(source: str) -> dict[str, Any]:
    """An input as it is."""
    return {"source": source, "codes": None, "steps": [], "missing": None}


def stepped(values: np.ndarray, steps: Sequence[Sequence[Any]]) -> np.ndarray:
    """Numbers after the steps.

    Raises:
        ValueError: there is no such step.
    """
    found = np.asarray(values, dtype=float)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, as in the scaler
        for name, by in steps:
            match name:
                case "subtract":
                    found = found - by
                case "add":
                    found = found + by
                case "divide":
                    found = found / by
                case "multiply":
                    found = found * by
                case "at_least":
                    found = np.maximum(found, by)
                case "at_most":
                    found = np.minimum(found, by)
                case _:
                    raise ValueError(f"step {name!r}")
    return found


def transformed(step: Any, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns behind one transformer.

    Raises:
        Unsupported: what it does is not written down here.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

    if step is None or (isinstance(step, str) and step == "passthrough") or (type(step) is FunctionTransformer and step.func is None):
        return columns
    moves = _moves(step, len(columns))
    if moves is not None:
        return [_moved(column, made) for column, made in zip(columns, moves, strict=True)]
    if type(step) is SimpleImputer:
        return _filled(step, columns)
    if type(step) in (OneHotEncoder, OrdinalEncoder):
        return _encoded(step, columns)
    if type(step) is ColumnTransformer:
        return _chosen(step, columns)
    if type(step).__name__ == "Pipeline":
        for _, one in step.steps:
            columns = transformed(one, columns)
        return columns
    raise Unsupported(f"its {type(step).__name__} is not written down here")


def _moves(step: Any, width: int) -> list[list[Step]] | None:
    """What a scaler does to each column; None for other transformers."""
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    kind = type(step)
    if kind not in (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler):
        return None
    ways: list[tuple[str, Any]]
    if kind is StandardScaler:
        ways = [("subtract", step.mean_ if step.with_mean else None), ("divide", step.scale_ if step.with_std else None)]
    elif kind is RobustScaler:
        ways = [("subtract", step.center_ if step.with_centering else None), ("divide", step.scale_ if step.with_scaling else None)]
    elif kind is MaxAbsScaler:
        ways = [("divide", step.scale_)]
        if getattr(step, "clip", False):
            ways += [("at_least", np.full(width, -1.0)), ("at_most", np.full(width, 1.0))]
    else:
        ways = [("multiply", step.scale_), ("add", step.min_)]
        if step.clip:
            ways += [(name, np.full(width, end)) for name, end in zip(("at_least", "at_most"), step.feature_range, strict=True)]
    found = [[(name, float(by[at])) for name, by in ways if by is not None] for at in range(width)]
    if any(name in ("divide", "multiply") and not by > 0 for column in found for name, by in column):
        raise Unsupported(f"its {kind.__name__} turns a column around")
    return found


def _moved(column: dict[str, Any], steps: list[Step]) -> dict[str, Any]:
    if column["codes"] is None:
        gone = None if column["missing"] is None else float(stepped(np.array(column["missing"]), steps))
        return {**column, "steps": [*column["steps"], *steps], "missing": gone}
    return {**column, "codes": [[value, float(stepped(np.array(number), steps))] for value, number in column["codes"]]}


def _filled(step: Any, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is missing is replaced; codes of categories have nothing missing here."""
    numbers = [value if isinstance(value, int | float) else None for value in np.asarray(step.statistics_).tolist()]
    if step.add_indicator or not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        raise Unsupported("its imputer marks what it fills, or fills something else than missing values")
    if len(numbers) != len(columns) or any(number is not None and np.isnan(number) for number in numbers):
        raise Unsupported("its imputer drops columns")
    return [
        column if column["codes"] is not None or column["missing"] is not None or number is None else {**column, "missing": float(number)}
        for column, number in zip(columns, numbers, strict=True)
    ]


def _encoded(step: Any, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from sklearn.preprocessing import OrdinalEncoder

    if any(column["codes"] is not None or column["steps"] for column in columns):
        raise Unsupported("columns are encoded after they are encoded or scaled")
    if type(step) is OrdinalEncoder:
        return [
            {**column, "codes": [[scalar(value), float(code)] for code, value in enumerate(values)]}
            for column, values in zip(columns, step.categories_, strict=True)
        ]
    if step.drop is not None or step.min_frequency is not None or step.max_categories is not None:
        raise Unsupported("its one-hot encoder drops or merges categories")
    return [
        {**column, "codes": [[scalar(value), float(value == hot)] for value in values]}
        for column, values in zip(columns, step.categories_, strict=True)
        for hot in values
    ]


def _chosen(step: Any, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a column transformer: each part on its own columns, put where it puts them."""
    if step.transformer_weights:
        raise Unsupported("its column transformer weighs its parts")
    places = {column["source"]: at for at, column in enumerate(columns)}
    found: dict[int, dict[str, Any]] = {}
    for name, part, chosen in step.transformers_:
        where = step.output_indices_[name]
        if where.stop == where.start:
            continue
        keys = [chosen] if isinstance(chosen, str | int | np.integer) else list(chosen)
        try:
            given = [columns[places[key] if isinstance(key, str) else int(key)] for key in keys]
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise Unsupported("its column transformer chooses columns in a way that is not followed here") from error
        made = transformed(part, [dict(column) for column in given])
        found |= dict(zip(range(where.start, where.stop), made, strict=True))
    return [found[at] for at in sorted(found)]
