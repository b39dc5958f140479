"""What all parts of the check share: sampled training rows that refits learn from, evaluation rows that they are asked about, and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext
from rai_pipelines.assessments.refits import Answers, Plan, answers_of_refits
from rai_pipelines.assessments.security.robust_sample import Outcomes, draw_rows
from rai_pipelines.subjects.subject import LoadedModel
from rai_pipelines.tables.group_names import MISSING, OUTSIDE, group_of_each

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Sampled labelled rows of one table: all drawn columns, the outcome (1 favourable, 0; or the place of its class), and the group of each row
    by attribute."""

    frame: pd.DataFrame
    truth: np.ndarray
    groups: dict[str, np.ndarray]


@dataclass(frozen=True)
class Target:
    """The group of an attribute that the model selects least often against the reference; `outcome` is what it is selected for.

    Of three or more classes it has a `name`.
    """

    attribute: str
    group: str
    reference: str
    outcome: int = 1
    name: str | None = None

    @property
    def where(self) -> dict[str, Any]:
        """How a measurement says what it compares."""
        return {"attribute": self.attribute, "comparison": self.group, "reference": self.reference, "outcome": self.name}


@dataclass
class Material:
    """`decisions` are the model's own on the evaluation rows. `clean` are refits to the rows as they are, one for each of `seeds`.

    `classes` are the names of three or more classes, or none.
    """

    model: LoadedModel
    features: tuple[str, ...]
    training: Rows
    evaluation: Rows
    decisions: np.ndarray
    seeds: tuple[int, ...]
    clean: Answers
    refits: int
    classes: tuple[str, ...] = ()

    def ask(self, plans: list[Plan], *, asked: pd.DataFrame | None = None) -> Answers:
        """Refits as planned, asked about the evaluation rows or others, and counted."""
        self.refits += len(plans)
        inputs = list(self.features)
        asked = self.evaluation.frame if asked is None else asked
        return answers_of_refits(self.model, self.training.frame[inputs], asked[inputs], plans, self.classes)

    def losses(self, answers: Answers) -> np.ndarray:
        """Squared error of the scores against the outcome (see `Answers`), or wrong decisions where there are no scores; shape (refits, rows)."""
        return answers.squared_error(self.evaluation.truth)

    def wrong(self, answers: Answers) -> np.ndarray:
        """Which evaluation rows each refit decides wrongly; shape (refits, rows)."""
        return answers.wrong(self.evaluation.truth)

    def with_another_label(self, which: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """The training labels, with those of the rows `which` (a mask, or places) turned: into the other of two, or any other of more at random."""
        labels = self.training.truth.copy()
        if not self.classes:
            labels[which] = 1 - labels[which]
            return labels
        step = np.random.default_rng([*seed, 1]).integers(1, len(self.classes), len(labels))
        labels[which] = ((labels + step) % len(self.classes))[which]
        return labels


def read_rows(context: AuditContext, table: str, features: tuple[str, ...], number: int, *, salt: int, source: str | None = None) -> Rows:
    """At most `number` labelled rows, drawn with the audit's seed.

    Raises:
        DataError: the table cannot be read, lacks a column, has no labelled row, or has a class that the datasheet does not name.
    """
    columns = context.subject.datasheet.columns
    assert columns.label is not None
    held = context.table(table)
    attributes = {name: one for name, one in columns.protected_attributes.items() if name in held.columns}
    others = tuple(dict.fromkeys([*attributes, *([source] if source is not None else [])]))
    frame = draw_rows(held, features, number, seed=(context.seed, salt), label=columns.label, others=others)
    truth = Outcomes.of(context.subject.datasheet).labels(frame[columns.label], table)
    return Rows(frame, truth, {name: group_of_each(frame[name], one.bins) for name, one in attributes.items()})


def targets(
    declared: Any, training: Rows, evaluation: Rows, decisions: np.ndarray, *, least: int, outcomes: Outcomes
) -> tuple[list[Target], dict[str, str]]:
    """For each declared attribute the group to aim at, and why there is none for others.

    Of three or more classes, groups are selected for the favourable outcome where it is one of them; else for the class in which a group lies
    furthest behind.
    """
    found, without = [], {}
    named = dict(enumerate(outcomes.classes)) if outcomes.classes else {1: None}
    chosen = {at: name for at, name in named.items() if name is None or name == outcomes.favourable} or named
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
        open_to = []
        for outcome, name in chosen.items():
            rates = {group: float((decisions[groups == group] == outcome).mean()) for group in names}
            behind = _furthest_behind(rates, rule.reference)
            if behind is not None:
                open_to.append((rates[behind[0]] / rates[behind[1]], Target(attribute, *behind, outcome, name)))
        if not open_to:
            without[attribute] = f"no two groups with {least} sampled rows in both tables, or nobody of the reference is selected"
            continue
        found.append(min(open_to, key=lambda item: item[0])[1])
    return found, without


def _furthest_behind(rates: dict[str, float], declared: str) -> tuple[str, str] | None:
    """The group that is selected least often, and the reference; None where there are no two groups, or nobody of the reference is selected."""
    reference = declared if declared in rates else None
    if reference is None and declared == "highest" and rates:
        reference = max(rates, key=lambda name: (rates[name], name))
    rest = [name for name in rates if name != reference]
    if reference is None or not rest or rates[reference] == 0:
        return None
    return min(rest, key=lambda name: (rates[name], name)), reference
