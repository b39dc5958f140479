"""What all parts of the check share: sampled training rows that refits learn from, evaluation rows that they are asked about, and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.refits import Answers, Plan, answers_of_refits
from rai_pipelines.assessments.security.robust_sample import draw_rows
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines.tables.contingency import MISSING, OUTSIDE, as_outcome, group_of_each

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Sampled labelled rows of one table: all drawn columns, the outcome (1 favourable), and the group of each row by attribute."""

    frame: pd.DataFrame
    truth: np.ndarray
    groups: dict[str, np.ndarray]


@dataclass(frozen=True)
class Target:
    """The group of an attribute that the model selects least often against the reference."""

    attribute: str
    group: str
    reference: str


@dataclass
class Material:
    """`decisions` are the model's own on the evaluation rows. `clean` are refits to the rows as they are, one for each of `seeds`."""

    model: LoadedModel
    features: tuple[str, ...]
    training: Rows
    evaluation: Rows
    decisions: np.ndarray
    seeds: tuple[int, ...]
    clean: Answers
    refits: int

    def ask(self, plans: list[Plan], *, asked: pd.DataFrame | None = None) -> Answers:
        """Refits as planned, asked about the evaluation rows or others, and counted."""
        self.refits += len(plans)
        inputs = list(self.features)
        return answers_of_refits(self.model, self.training.frame[inputs], (self.evaluation.frame if asked is None else asked)[inputs], plans)

    def losses(self, answers: Answers) -> np.ndarray:
        """Squared error of the score against the outcome (Brier), or wrong decisions where there are no scores; shape (refits, rows)."""
        return np.asarray((answers.beliefs - self.evaluation.truth) ** 2)

    def wrong(self, answers: Answers) -> np.ndarray:
        """Which evaluation rows each refit decides wrongly; shape (refits, rows)."""
        return np.asarray(answers.decisions != (self.evaluation.truth == 1))


def read_rows(context: AuditContext, table: str, features: tuple[str, ...], number: int, *, salt: int, source: str | None = None) -> Rows:
    """At most `number` labelled rows, drawn with the audit's seed.

    Raises:
        DataError: the table cannot be read, lacks a column, or has no labelled row.
    """
    columns = context.subject.datasheet.columns
    assert columns.label is not None
    held = context.table(table)
    attributes = {name: one for name, one in columns.protected_attributes.items() if name in held.columns}
    others = tuple(dict.fromkeys([*attributes, *([source] if source is not None else [])]))
    frame = draw_rows(held, features, number, seed=(context.seed, salt), label=columns.label, others=others)
    truth = as_outcome(frame[columns.label], columns.favourable_outcome).to_numpy(dtype=np.int64)
    return Rows(frame, truth, {name: group_of_each(frame[name], one.bins) for name, one in attributes.items()})


def targets(declared: Any, training: Rows, evaluation: Rows, decisions: np.ndarray, least: int) -> tuple[list[Target], dict[str, str]]:
    """For each declared attribute the group to aim at, and why there is none for others."""
    found, without = [], {}
    for attribute, rule in declared.items():
        if attribute not in training.groups or attribute not in evaluation.groups:
            without[attribute] = "the column is not in both tables"
            continue
        groups, learnt = evaluation.groups[attribute], training.groups[attribute]
        names = [
            name
            for name in sorted(set(groups.tolist()) - {MISSING, OUTSIDE})
            if min(int((groups == name).sum()), int((learnt == name).sum())) >= least
        ]
        rates = {name: float(decisions[groups == name].mean()) for name in names}
        reference = rule.reference if rule.reference in rates else None
        if reference is None and rule.reference == "highest" and rates:
            reference = max(names, key=lambda name: (rates[name], name))
        rest = [name for name in names if name != reference]
        if reference is None or not rest or rates[reference] == 0:
            without[attribute] = f"no two groups with {least} sampled rows in both tables, or nobody of the reference is selected"
            continue
        found.append(Target(attribute, min(rest, key=lambda name: (rates[name], name)), reference))
    return found, without
