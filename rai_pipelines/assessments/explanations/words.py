"""Contributions and changes of one row as sentences for the person who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rai_pipelines.assessments.explanations.explained_model import DECISION, PREDICTION, ExplainedModel
from rai_pipelines.assessments.explanations.global_view import spoken_value
from rai_pipelines.assessments.explanations.shapley import LOG_ODDS
from rai_pipelines.assessments.security.feature_space import Feature
from rai_pipelines.subjects.datasheet import ProtectedAttribute

SIGNIFICANT = 2
NEGLIGIBLE = 0.01  # of the sum of all absolute contributions: not worth a sentence


def spoken_input(feature: Feature, value: float, attributes: Mapping[str, ProtectedAttribute]) -> str:
    """`AGEP = 23`, with what a code means where the datasheet says so."""
    if np.isnan(value):
        return f"{feature.name} is missing"
    return f"{feature.name} = {spoken_code(feature, value, attributes)}"


def spoken_code(feature: Feature, value: float, attributes: Mapping[str, ProtectedAttribute]) -> str:
    """A value as the table has it, with its label."""
    if np.isnan(value):
        return "missing"
    text = spoken_value(feature.values[int(value)]) if feature.values is not None else f"{value:.12g}"
    label = attributes[feature.name].labels.get(text) if feature.name in attributes else None
    return f"{text} ({label})" if label else text


def spoken_output(explained: ExplainedModel, output: str) -> str:
    """What contributions are parts of."""
    if output == LOG_ODDS:
        return "log-odds of the favourable outcome"
    return {DECISION: "share of favourable decisions", PREDICTION: "prediction"}.get(explained.output, "score")


def reason_sentences(
    explained: ExplainedModel, inputs: np.ndarray, values: np.ndarray, *, output: str, attributes: Mapping[str, ProtectedAttribute], most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What lowered the output and what raised it, the strongest first, at most `most` each: `AGEP = 23 lowered the score by 0.11`."""
    total, unit = float(np.abs(values).sum()), spoken_output(explained, output)
    lowered: list[str] = []
    raised: list[str] = []
    for at in np.argsort(-np.abs(values), kind="stable"):
        if total == 0 or abs(values[at]) < NEGLIGIBLE * total:
            continue
        did, side = ("lowered", lowered) if values[at] < 0 else ("raised", raised)
        side.append(f"{spoken_input(explained.space.features[at], inputs[at], attributes)} {did} the {unit} by {rounded(abs(values[at]))}")
    return tuple(lowered[:most]), tuple(raised[:most])


def rounded(amount: Any) -> str:
    """Two significant digits, never in powers of ten for ordinary amounts."""
    text = np.format_float_positional(float(f"{float(amount):.{SIGNIFICANT}g}"), trim="-")
    return str(text)
