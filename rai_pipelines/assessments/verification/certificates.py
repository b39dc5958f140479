"""The answer to one declared property: proved, refuted by a place where the model itself breaks it, or unknown and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.feature_space import FeatureSpace


class Answer(StrEnum):
    """What is known about a property."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Certificate:
    """`places` are vectors, shape (1 or 2, features): where a property fails, or the two inputs that show it between them."""

    answer: Answer
    method: str
    nodes: int = 0
    reason: str | None = None
    places: np.ndarray | None = None


def shown_places(space: FeatureSpace, places: np.ndarray, hidden: Collection[str], named: Collection[int]) -> JsonValue:
    """The inputs that a property names, as at the places found: numbers in three digits; columns that could identify a person are left out."""
    shown: list[JsonValue] = []
    for place in places:
        row: dict[str, JsonValue] = {}
        for at in sorted(named):
            feature = space.features[at]
            if set(feature.columns) & set(hidden):
                row[feature.name] = "not shown"
            elif np.isnan(place[at]):
                row[feature.name] = None
            else:
                row[feature.name] = str(feature.values[int(place[at])]) if feature.values is not None else float(f"{place[at]:.3g}")
        shown.append(row)
    return shown
