"""Membership inference: attacks that tell rows a model was trained on from rows that it never saw, by what it answers.

Every attack gives each row a score, higher for likelier members. What an attack learns, it learns from one half of the rows, and it is
judged on the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RULE_BASED = "rule_based"
LOSS_THRESHOLD = "loss_threshold"
LEARNED = "learned"
LABEL_ONLY = "label_only_noise"
# decisions (0, 1, or the place of a class), shape (rows,), and scores: of the favourable outcome, shape (rows,), or of all of three or more classes,
# shape (rows, classes)
Answers = tuple[np.ndarray, "np.ndarray | None"]


@dataclass
class Target:
    """A model under attack, which counts the rows it is asked about."""

    answer: Callable[[pd.DataFrame], Answers]
    queries: int = 0

    def ask(self, frame: pd.DataFrame) -> Answers:
        """Decisions and scores."""
        self.queries += len(frame)
        return self.answer(frame)


@dataclass(frozen=True)
class Rows:
    """The rows under attack; all arrays have shape (rows,). `learning` rows are those whose membership the attacker knows.

    `truth` is 1 for the favourable outcome and else 0, or the place of the class among `classes`.
    """

    frame: pd.DataFrame
    truth: np.ndarray
    member: np.ndarray
    learning: np.ndarray
    classes: int = 2


@dataclass(frozen=True)
class Noise:
    """How the label-only attack changes inputs: numbers by `scale` standard deviations, codes replaced with chance `flip`."""

    features: tuple[str, ...]
    categorical: tuple[str, ...]
    copies: int
    scale: float
    flip: float


@dataclass(frozen=True)
class Attack:
    """What an attack says: a score per row, its guess, and which rows it may be judged on (`guess_judged`: for the guess)."""

    score: np.ndarray
    guess: np.ndarray
    judged: np.ndarray
    guess_judged: np.ndarray
    how: str
    cut: str | None = field(default=None)


def run_attacks(target: Target, rows: Rows, noise: Noise, *, max_queries: int, seed: Sequence[int]) -> dict[str, Attack]:
    """The attacks that the answers allow, by name; the loss threshold needs scores, and the label-only attack an allowance of queries.

    Sources: Yeom et al. (2018) for the rule and the loss; Shokri et al. (2017) for the learned attack; Choquette-Choo et al. (2021) for labels
    under noise. Rule and learned attack are those of the Adversarial Robustness Toolbox.
    """
    decisions, scores = target.ask(rows.frame)
    everywhere = np.ones(len(rows.member), dtype=bool)
    rule = rule_based(decisions, rows.truth, rows.classes)
    found = {RULE_BASED: Attack(rule.astype(float), rule.astype(bool), everywhere, everywhere, "the decision is right: member")}
    if scores is not None:
        found[LOSS_THRESHOLD] = by_threshold(confidence(scores, rows.truth), rows, "probability of the true outcome")
    likely, guess = learned(decisions, scores, rows, seed=int(np.random.default_rng([*seed, 1]).integers(2**31)))
    judged = ~rows.learning
    what = "scores" if scores is not None else "decisions"
    found[LEARNED] = Attack(likely, guess, judged, judged, f"gradient boosting on {what} and label")
    copies = min(noise.copies, max(0, max_queries - target.queries) // max(1, len(rows.member)))
    if copies:
        kept = _kept_under_noise(target, rows, noise, copies, right=rule, seed=(*seed, 2))
        cut = f"{copies} of {noise.copies} noisy copies fit the allowance of {max_queries:,} queries" if copies < noise.copies else None
        found[LABEL_ONLY] = by_threshold(kept, rows, f"share of right decisions on {copies} noisy copies, 0 where the row is decided wrongly", cut)
    return found


def rule_based(decisions: np.ndarray, truth: np.ndarray, classes: int = 2) -> np.ndarray:
    """ART's rule: 1 (member) where the decision is right."""
    with _quiet():
        from art.attacks.inference.membership_inference import MembershipInferenceBlackBoxRuleBased

        attack = MembershipInferenceBlackBoxRuleBased(_looked_up(one_hot(decisions, classes)))
    return np.asarray(attack.infer(_numbers(len(truth)), one_hot(truth, classes)), dtype=np.int64)


def learned(decisions: np.ndarray, scores: np.ndarray | None, rows: Rows, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """ART's learned black-box attack, fitted to the learning half: probability of membership and guess, shape (rows,)."""
    with _quiet():
        from art.attacks.inference.membership_inference import MembershipInferenceBlackBox

        seen = one_hot(decisions, rows.classes) if scores is None else of_each_class(scores).astype(np.float32)
        attack = MembershipInferenceBlackBox(_looked_up(seen), attack_model_type="gb")
    attack.attack_model.set_params(random_state=seed)
    known, unknown = rows.learning & rows.member, rows.learning & ~rows.member
    labels, numbers = one_hot(rows.truth, rows.classes), _numbers(len(rows.truth))
    attack.fit(numbers[known], labels[known], numbers[unknown], labels[unknown])
    likely = np.asarray(attack.infer(numbers, labels, probabilities=True), dtype=float).ravel()
    return likely, np.asarray(attack.infer(numbers, labels)).ravel() > 0


def without_model(inputs: np.ndarray, rows: Rows, *, seed: int) -> np.ndarray:
    """Negative control: probability of membership from inputs and label alone, learnt from the learning half, shape (rows,)."""
    from sklearn.ensemble import GradientBoostingClassifier

    known = np.column_stack([inputs, rows.truth if rows.classes == 2 else one_hot(rows.truth, rows.classes)])
    attack = GradientBoostingClassifier(random_state=seed).fit(known[rows.learning], rows.member[rows.learning])
    return np.asarray(attack.predict_proba(known)[:, 1], dtype=float)


def fragile_target(inputs: np.ndarray, *, seed: Sequence[int], encode: Callable[[pd.DataFrame], np.ndarray], classes: int = 2) -> tuple[Target, Rows]:
    """Positive control: an unpruned tree that learnt random labels of half of the rows by heart, and the rows with that membership.

    Both halves come from the same pool, so that nothing but memory tells them apart. The rows' frame is left to the caller.
    """
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(list(seed))
    number = len(inputs)
    order = rng.permutation(number)
    member, learning = np.zeros(number, dtype=bool), np.zeros(number, dtype=bool)
    member[order[: number // 2]] = True
    learning[order[::2]] = True
    labels = rng.integers(0, classes, size=number)
    tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31))).fit(inputs[member], labels[member])

    def answer(frame: pd.DataFrame) -> Answers:
        scores = probabilities_of(tree, encode(frame), classes)
        return (scores > 0.5).astype(np.int64) if classes == 2 else scores.argmax(axis=1), scores

    return Target(answer), Rows(pd.DataFrame(), labels, member, learning, classes)


def confidence(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The probability that the model gives the true outcome, shape (rows,)."""
    return np.where(truth == 1, scores, 1 - scores) if scores.ndim == 1 else scores[np.arange(len(truth)), truth]


def of_each_class(scores: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, shape (rows, classes)."""
    return np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores


def probabilities_of(fitted: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
    """Scores of a model whose labels are places of classes, as `Answers` has them; 0 for a class of which it saw no row."""
    shares = np.zeros((len(inputs), classes))
    shares[:, fitted.classes_] = fitted.predict_proba(inputs)
    return shares[:, 1] if classes == 2 else shares


def best_threshold(score: np.ndarray, member: np.ndarray) -> float:
    """The smallest score to call a member, at the largest difference between the rates of members and non-members called so."""
    order = np.argsort(-score, kind="stable")
    ahead = np.cumsum(member[order]) / max(1, member.sum()) - np.cumsum(~member[order]) / max(1, (~member).sum())
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    return float(score[order][np.where(last_of_ties, ahead, -np.inf).argmax()])


def by_threshold(score: np.ndarray, rows: Rows, how: str, cut: str | None = None) -> Attack:
    """Scores need no learning; the threshold of the guess does."""
    threshold = best_threshold(score[rows.learning], rows.member[rows.learning])
    return Attack(score, score >= threshold, np.ones(len(score), dtype=bool), ~rows.learning, how, cut)


def _kept_under_noise(target: Target, rows: Rows, noise: Noise, copies: int, *, right: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Share of right decisions on each row and its noisy copies, 0 where the row itself is decided wrongly: what was learnt lies further inside.

    A question need not be a person who could exist, so inputs that a person cannot change move too.
    """
    rng = np.random.default_rng(list(seed))
    kept = np.ones(len(right))
    for _ in range(copies):
        kept += target.ask(noisy_copy(rows.frame, noise, rng))[0] == rows.truth
    return np.asarray(np.where(right == 1, kept / (copies + 1), 0.0))


def noisy_copy(frame: pd.DataFrame, noise: Noise, rng: np.random.Generator) -> pd.DataFrame:
    """Each row once, changed: numbers within the range seen and of their own type; missing values stay missing."""
    import pandas as pd

    made: dict[str, Any] = {}
    for name in noise.features:
        values = frame[name]
        if name in noise.categorical or not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            other = values.iloc[rng.integers(len(values), size=len(values))].reset_index(drop=True)
            made[name] = values.reset_index(drop=True).where(rng.random(len(values)) >= noise.flip, other)
            continue
        amounts = values.to_numpy(dtype=float, na_value=np.nan)
        drawn = rng.normal(size=len(amounts))
        if not np.isfinite(amounts).any():
            made[name] = values.reset_index(drop=True)
            continue
        moved = np.clip(amounts + noise.scale * np.nanstd(amounts) * drawn, np.nanmin(amounts), np.nanmax(amounts))
        moved = np.rint(moved) if pd.api.types.is_integer_dtype(values) else moved
        made[name] = pd.Series(moved).astype(values.dtype)
    return pd.DataFrame(made)


def one_hot(values: np.ndarray, classes: int) -> np.ndarray:
    """1 in the column of each row's class, shape (rows, classes)."""
    return np.asarray(np.eye(classes)[values], dtype=np.float32)


def _numbers(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.float64)[:, None]


def _looked_up(answers: np.ndarray) -> Any:
    """ART's view of a model that was asked already: its input is a row's number."""
    from art.estimators.classification import BlackBoxClassifier

    return BlackBoxClassifier(lambda numbers: answers[np.asarray(numbers)[:, 0].astype(int)], input_shape=(1,), nb_classes=answers.shape[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """ART warns when it is imported without PyTorch, which none of these attacks needs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        yield
