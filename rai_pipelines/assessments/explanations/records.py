"""What is said about one row, as records: `row` fills them, the command line prints them."""

from __future__ import annotations

from rai_pipelines.evidence.model import Record


class Contribution(Record):
    """One input, its value, its Shapley value and LIME's weight (None where LIME could not be used)."""

    feature: str
    value: str
    shapley: float
    lime: float | None = None


class Change(Record):
    """An input before and after."""

    feature: str
    before: str
    after: str


class Counterfactual(Record):
    """The nearest row found that is decided differently. `distance` is in standard deviations of training."""

    changes: tuple[Change, ...]
    distance: float
    favourable: bool
    output: float


class RowExplanation(Record):
    """One decision explained. `output` is the explained number for this row and `base` the mean of it over the background.

    `favourable` is None where the task has no decisions. `counterfactual` is None with the reason in `no_counterfactual`.
    """

    favourable: bool | None
    score: float | None
    explained: str
    output: float
    base: float
    lowered: tuple[str, ...]
    raised: tuple[str, ...]
    contributions: tuple[Contribution, ...]
    counterfactual: Counterfactual | None
    no_counterfactual: str | None
    additivity_error: float
    inputs_digest: str
