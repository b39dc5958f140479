"""What evidence says about the rows under attack, and what it says where there are too few."""

from __future__ import annotations

from typing import Any

from rai_pipelines.assessments.privacy_attacks.exposed_rows import Exposed
from rai_pipelines.evidence.model import Measurement, State


def what_was_sampled(exposed: Exposed, features: tuple[str, ...], *, asked_for: int, control: str) -> dict[str, Any]:
    """For the details of the evidence; `control` is the positive control in words."""
    training, evaluation = exposed.sides
    return {
        "features": list(features),
        "members": int(exposed.member.sum()),
        "non_members": int((~exposed.member).sum()),
        "asked_for": asked_for,
        "drawn": {"training": training.drawn, "evaluation": evaluation.drawn},
        "left_out_as_repeated": {"training": training.repeated, "evaluation": evaluation.repeated},
        "repeated_means": "inputs and label occur more than once in training and evaluation together",
        "positive_control": control,
    }


def too_few(exposed: Exposed, min_rows: int) -> list[Measurement]:
    """The main figures, which were not made."""
    members = int(exposed.member.sum())
    note = f"{members} sampled rows of each table have no equal in either, fewer than {min_rows}: no attack was made"
    metrics = ("membership_auc", "membership_tpr_at_fpr_1pct", "empirical_epsilon_lower_bound")
    return [Measurement(metric=metric, value=None, n=2 * members, denominator=members, state=State.INSUFFICIENT, note=note) for metric in metrics]
