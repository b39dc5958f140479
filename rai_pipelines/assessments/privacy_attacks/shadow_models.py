"""The likelihood-ratio attack (LiRA; Carlini et al. 2022), online: what the model says about a row, against refits with and without that row.

Refits are the model's own learner (see `refits`), fitted where the model lives to halves of the rows under attack. They see fewer rows than the
model did, so the attack is weaker than one with the whole training table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rai_pipelines.assessments.privacy_attacks.membership import Answers, Attack, Rows, best_threshold, confidence, probabilities_of
from rai_pipelines.assessments.refits import LEFT_OUT, Plan, Refused, answers_of_refits
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.subject import LoadedModel

SHADOW_MODELS = "lira_online"
CLIPPED = 1e-4  # probabilities are kept this far from 0 and 1, so that their logits are finite
LEAST_DEVIATION = 1e-3


def target_shadows(
    model: LoadedModel,
    rows: Rows,
    answers: Answers,
    features: tuple[str, ...],
    *,
    models: int,
    most_rows: int,
    seed: Sequence[int],
    classes: tuple[str, ...] = (),
) -> tuple[Attack | None, str | None]:
    """The attack on the model, or None and why it cannot be made. `classes` are the names of three or more classes."""
    scores = answers[1]
    if models < 2:
        return None, "no shadow models are allowed (shadow_models)"
    if scores is None:
        return None, "the model gives no score"
    chosen, inside = _halves(len(rows.truth), models, most_rows, seed)
    people = rows.frame.iloc[chosen][list(features)]
    draws = np.random.default_rng([*seed, 2])
    plans = [Plan(np.where(half, rows.truth[chosen], LEFT_OUT), int(draws.integers(2**31))) for half in inside]
    try:
        refits = answers_of_refits(model, people, people, plans, classes).scores
    except (ModelError, Refused) as error:  # a model that cannot be refitted is still open to the other attacks; the finding says why
        return None, f"the model cannot be refitted: {error}"
    if refits is None:
        return None, "the refits give no score"
    return _attack(rows, scores, chosen, inside, refits), None


def control_shadows(inputs: np.ndarray, rows: Rows, answers: Answers, *, models: int, seed: Sequence[int]) -> Attack:
    """The same attack on the positive control: unpruned trees, shadowed by unpruned trees."""
    from sklearn.tree import DecisionTreeClassifier

    assert answers[1] is not None
    chosen, inside = _halves(len(rows.truth), models, len(rows.truth), seed)
    refits = []
    for number, half in enumerate(inside):
        tree = DecisionTreeClassifier(random_state=number).fit(inputs[chosen][half], rows.truth[chosen][half])
        refits.append(probabilities_of(tree, inputs[chosen], rows.classes))
    return _attack(rows, answers[1], chosen, inside, np.array(refits))


def _halves(number: int, models: int, most: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The rows to use, and for each refit which of them it learns from: pairs of complements, so that each row is in half of the refits."""
    rng = np.random.default_rng(list(seed))
    chosen = np.sort(rng.permutation(number)[:most])
    halves = []
    for _ in range(models // 2):
        half = np.zeros(len(chosen), dtype=bool)
        half[rng.permutation(len(chosen))[: len(chosen) // 2]] = True
        halves += [half, ~half]
    return chosen, np.array(halves)


def _attack(rows: Rows, scores: np.ndarray, chosen: np.ndarray, inside: np.ndarray, refits: np.ndarray) -> Attack:
    ratio = likelihood_ratio(
        _logit(confidence(scores, rows.truth)[chosen]), np.array([_logit(confidence(refit, rows.truth[chosen])) for refit in refits]), inside
    )
    score = np.full(len(scores), ratio.min() - 1.0)
    score[chosen] = ratio
    judged = np.isin(np.arange(len(scores)), chosen)
    learning = rows.learning & judged
    guess = score >= best_threshold(score[learning], rows.member[learning])
    how = f"likelihood ratio against {len(inside)} refits, half of them with the row (online)"
    return Attack(score, guess, judged, judged & ~rows.learning, how)


def likelihood_ratio(said: np.ndarray, refits: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Log ratio of normal densities of logits with the row and without, shape (rows,); one variance for all rows, as there are few refits.

    Args:
        said: logits of the model under attack, shape (rows,).
        refits: logits of the refits, shape (models, rows).
        inside: whether each refit learnt from each row, the same shape; both kinds occur for every row.
    """
    means, deviations = [], []
    for kind in (inside, ~inside):
        counts = kind.sum(axis=0)
        mean = (refits * kind).sum(axis=0) / counts
        means.append(mean)
        deviations.append(max(float(np.sqrt((((refits - mean) * kind) ** 2).sum() / kind.sum())), LEAST_DEVIATION))
    (within, without), (spread_in, spread_out) = means, deviations
    return np.asarray(
        ((said - without) / spread_out) ** 2 / 2 - ((said - within) / spread_in) ** 2 / 2 + np.log(spread_out) - np.log(spread_in), dtype=float
    )


def _logit(probability: np.ndarray) -> np.ndarray:
    kept = np.clip(probability, CLIPPED, 1 - CLIPPED)
    return np.asarray(np.log(kept) - np.log1p(-kept))
