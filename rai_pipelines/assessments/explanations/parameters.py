"""How much is explained, how hard the quality of explanations is tested, and how many rows the model may be asked about."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from rai_pipelines.assessments.base import Parameters

LEAST_ROWS = 5  # of any part, however few queries are allowed


class ExplanationParameters(Parameters):
    """Rows are drawn with the audit's seed."""

    sample: int = Field(default=400, ge=20, le=10_000, description="Evaluation rows with Shapley values")
    background: int = Field(default=100, ge=10, le=1_000, description="Training rows that stand for an unknown input")
    pool: int = Field(default=2_000, ge=100, le=20_000, description="Training rows for LIME, counterfactuals and other backgrounds")
    permutations: int = Field(default=2, ge=1, le=100, description="Pairs of feature orders for each row, where only answers can be explained")
    tolerance: float = Field(default=0.001, gt=0, description="Largest additivity error of an explanation that counts; in units of the output")
    surrogate_rows: int = Field(default=4_000, ge=100, le=100_000, description="Training rows that the surrogate tree is fitted to")
    surrogate_depth: int = Field(default=4, ge=1, le=4)
    held_out_rows: int = Field(default=2_000, ge=50, le=100_000, description="Evaluation rows that test the surrogate and look for proxies")
    lime_rows: int = Field(default=30, ge=5, le=1_000)
    lime_samples: int = Field(default=1_000, ge=100, le=20_000, description="Neighbours that LIME draws for each row")
    counterfactual_rows: int = Field(default=40, ge=5, le=2_000)
    deletion_rows: int = Field(default=100, ge=5, le=2_000)
    deletion_repeats: int = Field(default=10, ge=2, le=200, description="Random orders and background rows for each row")
    stability_rows: int = Field(default=50, ge=5, le=2_000)
    stability_runs: int = Field(default=5, ge=2, le=20, description="Other backgrounds and seeds")
    trace_rows: int = Field(default=10, ge=1, le=500, description="Decisions that are traced and replayed")
    proxy_min_group: int = Field(default=50, ge=10, description="Rows from which a group is told from the others")
    min_rows: int = Field(default=20, ge=5, description="Rows below which a bin, a category or a figure is not shown as one")
    resamples: int = Field(default=2_000, ge=200, le=100_000)
    interval_level: float = Field(default=0.90, gt=0, lt=1)
    max_classes: int = Field(default=5, ge=1, le=100, description="Of several classes, those that are explained: the most frequently decided ones")
    max_queries: int = Field(default=1_000_000, ge=10_000, description="Rows that the model may be asked about")


@dataclass(frozen=True)
class Plan:
    """Rows for each part, and what they would have been without the limit on queries."""

    sample: int
    lime: int
    counterfactual: int
    deletion: int
    stability: int
    traces: int
    cut: dict[str, str]


SINGLE_QUERIES = 1_500  # of one row's counterfactual, about: known counterexamples, changes of one and of two inputs, shrinking


def plan(parameters: ExplanationParameters, *, features: int, by_answers: bool) -> Plan:
    """All parts reduced by one factor where their queries together exceed what is allowed.

    Args:
        features: inputs of the model.
        by_answers: Shapley values cost queries (permutations), because the model itself cannot be read.
    """
    shapley = parameters.permutations * (2 * features + 1) * parameters.background if by_answers else 0
    price = {
        "sample": (parameters.sample, shapley + 2),
        "lime": (parameters.lime_rows, parameters.lime_samples),
        "counterfactual": (parameters.counterfactual_rows, SINGLE_QUERIES),
        "deletion": (parameters.deletion_rows, 2 * parameters.deletion_repeats * features),
        "stability": (parameters.stability_rows, shapley * parameters.stability_runs),
        "traces": (parameters.trace_rows, 2 * shapley + 4),
    }
    fixed = parameters.surrogate_rows + 2 * parameters.held_out_rows + parameters.pool
    wanted = sum(rows * cost for rows, cost in price.values())
    factor = min(1.0, max(parameters.max_queries - fixed, 0) / wanted)
    rows = {name: max(min(LEAST_ROWS, asked), int(asked * factor)) for name, (asked, _) in price.items()}
    rows["sample"] = max(min(price["sample"][0], 4 * LEAST_ROWS), rows["sample"])
    cut = {name: f"{rows[name]} rows instead of {asked}" for name, (asked, _) in price.items() if rows[name] < asked}
    return Plan(**rows, cut=cut)
