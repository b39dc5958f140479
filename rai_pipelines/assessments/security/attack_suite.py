"""All chosen attacks on the same rows, and whether each of them is able to find what is there.

An attack that finds nothing proves nothing unless it is known to work. So each has to break decisions that are easy to break (the positive
control), must not find less when it may try more, and must find a counterexample at any distance where one is known to exist
(Carlini et al. 2019, On Evaluating Adversarial Robustness).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rai_pipelines.assessments.security.evasion import BOUNDARY, HOP_SKIP_JUMP, black_box
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.gradients import gradient, network_gradient
from rai_pipelines.assessments.security.neighbours import nearest_known_counterexamples, search_valid_neighbours
from rai_pipelines.assessments.security.networks import AUTO_PGD, FAST_GRADIENT, GRADIENT, NetworkView, line_network, network_view
from rai_pipelines.assessments.security.oracle import Attacked, Effort, Guard, Oracle, nearest_of
from rai_pipelines.assessments.security.tree_leaves import DECISION_TREE, Leaves, decision_tree, leaves_of_vectors

VALID_NEIGHBOURS = "valid_neighbours"
BLACK_BOX = (HOP_SKIP_JUMP, BOUNDARY)
GRADIENTS = (FAST_GRADIENT, GRADIENT, AUTO_PGD)
ATTACKS = (HOP_SKIP_JUMP, BOUNDARY, VALID_NEIGHBOURS, DECISION_TREE, *GRADIENTS)
SHARES = {
    HOP_SKIP_JUMP: 0.4,
    BOUNDARY: 0.3,
    VALID_NEIGHBOURS: 0.2,
    DECISION_TREE: 0.05,
    FAST_GRADIENT: 0.05,
    GRADIENT: 0.05,
    AUTO_PGD: 0.05,
}  # of the rows asked about
LESS = 0.25  # the part of the effort that the check on effort compares with
TOLERATED_FALL = 0.1  # share of the checked rows by which more effort may find less, for attacks that draw
NOTHING_TO_BREAK = "no decision of a fragile model can be changed within the budget, so nothing shows that it works"
LEAST_CONTROL = 5  # rows of the positive control; one or two that break would show next to nothing
CANDIDATES = 10  # times as many rows are looked through for those whose decision can be changed
NEAR_ALL = 0.9  # of the rows that are known to have a counterexample


@dataclass(frozen=True)
class Scene:
    """What is attacked and how. `budgets` are Euclidean distances, the declared one first."""

    oracle: Oracle
    space: FeatureSpace
    rows: np.ndarray
    pool: np.ndarray
    budgets: tuple[float, ...]
    effort: Effort
    guard: Guard
    seed: int

    def first(self, number: int) -> Scene:
        """The same with the first rows alone."""
        return replace(self, rows=self.rows[:number])


@dataclass(frozen=True)
class Inside:
    """What white-box attacks know of the model: a tree's leaves, a linear model's weights or a network's layers; None where it is none of them."""

    leaves: Leaves | None = None
    weights: np.ndarray | None = None
    network: NetworkView | None = None


@dataclass(frozen=True)
class Effect:
    """Whether an attack works. `control` are the rows of the positive control; `of` rows were attacked with less and with full effort;
    `unbounded` of the `reachable` ones, which have a known counterexample, were broken when distance did not count."""

    control: Attacked
    of: int
    with_less: int
    with_full: int
    reachable: int
    unbounded: int

    def problem(self, epsilon: float, min_control_success: float) -> str | None:
        """Why the attack shows nothing, or None."""
        broken, rows = int(self.control.within(epsilon).sum()), len(self.control.rows)
        if rows < LEAST_CONTROL:
            return too_small_a_control(rows)
        if broken < min_control_success * rows:
            return f"it breaks {broken} of {rows} decisions of a fragile model"
        if self.with_full < self.with_less - TOLERATED_FALL * self.of:
            return f"with all its effort it breaks {self.with_full} of {self.of} rows, with a quarter {self.with_less}"
        if self.unbounded < NEAR_ALL * self.reachable:
            return f"at any distance it finds {self.unbounded} of {self.reachable} counterexamples that are known to exist"
        return None


def too_small_a_control(rows: int) -> str:
    """Why a positive control of so few rows shows nothing."""
    if not rows:
        return NOTHING_TO_BREAK
    return f"no more than {rows} decisions of a fragile model can be changed within the budget, and {LEAST_CONTROL} are needed to show that it works"


def run_attacks(names: Sequence[str], scene: Scene, inside: Inside, *, starts: Attacked) -> dict[str, Attacked]:
    """The attacks that fit the model, by name in the order of `ATTACKS`; `starts` are where the black-box ones begin."""
    found: dict[str, Attacked] = {}
    if not len(scene.rows) or not len(scene.space.movable):
        return {name: Attacked.nothing(scene.rows) for name in names if _fits(name, inside)}
    for name in (name for name in ATTACKS if name in names and _fits(name, inside)):
        found[name] = _run(name, scene, inside, starts)
    return found


def starting_points(scene: Scene) -> Attacked:
    """Training values that change the decision of each row."""
    if not len(scene.rows) or not len(scene.space.movable):
        return Attacked.nothing(scene.rows)
    return nearest_known_counterexamples(scene.oracle, scene.space, scene.rows, scene.pool, scene.effort)


def breakable_rows(scene: Scene, candidates: np.ndarray, number: int) -> np.ndarray:
    """Up to `number` rows whose decision by the fragile tree some change within the budget turns over: the exact attack on its leaves knows.

    What no attack could break would only say how much the budget reaches, not whether an attack works.
    """
    if not len(scene.space.movable):
        return candidates[:0]
    looked = candidates[: CANDIDATES * number]
    tree = _fragile_tree(scene.pool, scene.seed)
    exact = decision_tree(_oracle_of(tree), scene.space, looked, leaves=leaves_of_vectors(tree, scene.space))
    return np.asarray(looked[exact.within(scene.budgets[0])][:number])


def effects(
    found: Mapping[str, Attacked], scene: Scene, inside: Inside, *, starts: Attacked, control_rows: np.ndarray, checked: int
) -> dict[str, Effect]:
    """How each attack of `found` does in the positive control, and in the checks on effort and distance on the first `checked` rows of `scene`."""
    number = min(checked, len(scene.rows))
    small, begun = scene.first(number), starts.part(number)
    control = _positive_control(tuple(found), scene, control_rows, as_network=inside.network is not None)
    less = run_attacks(tuple(found), replace(small, effort=scene.effort.share(LESS)), inside, starts=begun)
    far = replace(small, budgets=(scene.space.diameter,))
    reachable = np.isfinite(begun.distance)
    effect = {}
    for name, attacked in found.items():
        unbounded = attacked.part(number) if name in BLACK_BOX or name == DECISION_TREE else run_attacks((name,), far, inside, starts=begun)[name]
        effect[name] = Effect(
            control[name],
            number,
            int(less[name].within(scene.budgets[0]).sum()),
            int(attacked.part(number).within(scene.budgets[0]).sum()),
            0 if name in GRADIENTS else int(reachable.sum()),  # a gradient moves numbers only: categories may be all that is known to help
            int((np.isfinite(unbounded.distance) & reachable).sum()),
        )
    return effect


def together(found: Mapping[str, Attacked], rows: np.ndarray) -> Attacked:
    """The nearest counterexample of each row that any attack found."""
    return nearest_of(list(found.values()), rows)


def row_seeds(seed: int, salt: int, number: int) -> np.ndarray:
    """One seed per row; the first ones are the same for any number of rows."""
    return np.random.default_rng([seed, salt]).integers(2**32, size=number)


def _fits(name: str, inside: Inside) -> bool:
    if name == DECISION_TREE:
        return inside.leaves is not None
    if name == GRADIENT:
        return inside.weights is not None or inside.network is not None
    return inside.network is not None or name not in GRADIENTS


def _run(name: str, scene: Scene, inside: Inside, starts: Attacked) -> Attacked:
    oracle, space, rows = scene.oracle, scene.space, scene.rows
    effort = replace(scene.effort, allowance=max(1, int(scene.effort.allowance * SHARES[name])))
    if name in BLACK_BOX:
        seeds = row_seeds(scene.seed, 30 + BLACK_BOX.index(name), len(rows)).tolist()
        return black_box(name, oracle, space, rows, starts=starts, effort=effort, seeds=seeds, guard=scene.guard)
    if name == VALID_NEIGHBOURS:
        return search_valid_neighbours(oracle, space, rows, budgets=scene.budgets, effort=effort, seeds=row_seeds(scene.seed, 23, len(rows)))
    if name == DECISION_TREE and inside.leaves is not None:
        return decision_tree(oracle, space, rows, leaves=inside.leaves)
    if name in GRADIENTS and inside.network is not None:
        seed = int(row_seeds(scene.seed, 35, 1)[0])
        return network_gradient(name, oracle, space, rows, view=inside.network, epsilon=max(scene.budgets), effort=effort, seed=seed)
    if name == GRADIENT and inside.weights is not None:
        return gradient(oracle, space, rows, weights=inside.weights, epsilon=max(scene.budgets), effort=effort)
    raise KeyError(name)


def _positive_control(names: Sequence[str], scene: Scene, rows: np.ndarray, *, as_network: bool) -> dict[str, Attacked]:
    """Each attack on decisions that are easy to break: an unpruned tree over random labels, and lines that pass close to each row."""
    tree = _fragile_tree(scene.pool, scene.seed)
    shown = replace(scene, oracle=_oracle_of(tree), rows=rows)
    inside = Inside(leaves=leaves_of_vectors(tree, scene.space))
    found = run_attacks([name for name in names if name not in GRADIENTS], shown, inside, starts=starting_points(shown))
    return found | {name: _close_lines(name, scene, rows, as_network=as_network) for name in names if name in GRADIENTS}


def _fragile_tree(pool: np.ndarray, seed: int) -> Any:
    """A model with no structure at all: an unpruned tree that learnt random labels by heart."""
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng([seed, 24])
    tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31)))
    return tree.fit(pool.astype(np.float32), rng.integers(0, 2, size=len(pool)))


def _oracle_of(tree: Any) -> Oracle:
    return Oracle(lambda vectors: np.asarray(tree.predict(vectors.astype(np.float32))))


def _close_lines(name: str, scene: Scene, rows: np.ndarray, *, as_network: bool) -> Attacked:
    """Gradient attacks on one linear model per row, whose boundary lies at half the budget from it, towards the wider side of each range."""
    if not len(rows):
        return Attacked.nothing(rows)
    space, epsilon = scene.space, scene.budgets[0]
    rng = np.random.default_rng([scene.seed, 29])
    parts = []
    for row in rows:
        low, high = space.bounds(row[None])
        room = np.where(space.categorical | np.isnan(row), 0.0, (high + low)[0] / 2 - row)
        slope = np.sign(np.nan_to_num(room)) * (0.2 + rng.random(len(row))) * np.isin(np.arange(len(row)), space.movable) / space.step
        length = np.linalg.norm(slope * space.step)
        offset = -float(slope @ np.nan_to_num(row)) - epsilon / 2 * length
        line = np.append(slope, offset)
        oracle = Oracle(lambda vectors, line=line: (np.nan_to_num(vectors) @ line[:-1] + line[-1] > 0).astype(int))  # type: ignore[misc]
        if as_network:
            line_view = network_view(line_network(line), replace(space, columns=space.names), np.nan_to_num)
            chosen: dict[str, Any] = {"view": line_view, "epsilon": max(scene.budgets), "effort": scene.effort, "seed": scene.seed}
            parts.append(network_gradient(name, oracle, space, row[None], **chosen))
        else:
            parts.append(gradient(oracle, space, row[None], weights=line, epsilon=max(scene.budgets), effort=scene.effort))
    return Attacked(np.concatenate([part.rows for part in parts]), np.concatenate([part.distance for part in parts]))
