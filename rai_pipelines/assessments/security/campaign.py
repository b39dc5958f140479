"""One attack on a model from end to end: ask it the fast way, attack, have the model itself confirm, and check against the threat model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.security.attack_suite import GRADIENTS, Effect, Inside, Scene, breakable_rows, effects, run_attacks, starting_points
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.gradients import linear_weights
from rai_pipelines.assessments.security.networks import GRADIENT, NetworkView, network_view, read_layers
from rai_pipelines.assessments.security.oracle import Attacked, confirmed
from rai_pipelines.assessments.security.robust_sample import Sampled
from rai_pipelines.assessments.security.threat_model import violations
from rai_pipelines.assessments.security.tree_leaves import DECISION_TREE, leaves_of
from rai_pipelines.subjects.datasheet import RobustnessBudget
from rai_pipelines.subjects.onnx_queries import PREPARE, RESTORE
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd

MIXED_ROWS = 2_000  # rows of the sample, and of the sample with inputs of training, on which the fast way is proved


@dataclass(frozen=True)
class Outcome:
    """What the attacks found, confirmed by the model itself and within the threat model.

    `effect` says how well each works, `path` how the model was asked meanwhile, `unconfirmed` how many findings the model did not confirm at
    once, `invalid` how many broke which rule of the threat model (they count as not found), `queries` how many rows the model was asked about.
    `control_rows` are those of the positive control.
    """

    found: Mapping[str, Attacked]
    effect: Mapping[str, Effect]
    path: Mapping[str, JsonValue]
    unconfirmed: Mapping[str, int]
    invalid: Mapping[str, int]
    queries: int
    control_rows: np.ndarray


def attack_model(
    scene: Scene,
    model: LoadedModel,
    sampled: Sampled,
    *,
    attacks: Sequence[str],
    control_rows: int,
    fast: bool,
    rules: RobustnessBudget,
    fixed: Sequence[str],
) -> Outcome:
    """Every attack of `attacks` that fits the model, on the rows of `scene`.

    Raises:
        ModelError: the model fails on rows that could exist.
    """
    with _answers(model, scene, sampled, fast) as path:
        inside = _inside(model, scene.space, sampled.frame, attacks)
        starts = starting_points(scene)
        found = run_attacks(attacks, scene, inside, starts=starts)
        breakable = breakable_rows(scene, sampled.vectors, control_rows)
        effect = effects(found, scene, inside, starts=starts, control_rows=breakable, checked=control_rows)
    checked = {name: confirmed(scene.oracle, scene.space, scene.rows, one, instead=starts) for name, one in found.items()}
    kept, invalid = _valid({name: one for name, (one, _) in checked.items()}, scene, sampled.frame, rules, fixed)
    return Outcome(kept, effect, path, {name: lost for name, (_, lost) in checked.items()}, invalid, scene.oracle.queries, breakable)


@contextmanager
def _answers(model: LoadedModel, scene: Scene, sampled: Sampled, fast: bool) -> Iterator[Mapping[str, JsonValue]]:
    """Meanwhile the model may answer through ONNX Runtime, once that is proved on rows like those that will be asked about."""
    import pyarrow as pa

    if not fast:
        yield {"path": "native", "reason": "as asked"}
        return
    space, rows = scene.space, sampled.vectors
    number = min(len(scene.pool), MIXED_ROWS)
    donors, origins = scene.pool[:number], rows[np.arange(number) % len(rows)]
    likely = np.concatenate([rows[:MIXED_ROWS], space.project(donors, origins)])
    frame = space.decode(likely, sampled.frame)
    path, _ = model.run(PREPARE, {"batches": True}, {"rows": pa.Table.from_pandas(frame, preserve_index=False)})
    try:
        yield _told(path)
    finally:
        model.run(RESTORE, {}, {})


def _told(path: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What the model's side may say in evidence: the known facts, each of its type."""
    kinds: dict[str, tuple[type, ...]] = {"rows": (int,), "max_difference": (float, int), "decisions_different": (int,), "reason": (str,)}
    facts = {name: path.get(name) for name, kind in kinds.items() if isinstance(path.get(name), kind)}
    if "reason" in facts:
        facts["reason"] = " ".join(str(facts["reason"]).split())[:300]
    return {"path": "onnx" if path.get("path") == "onnx" else "native", **facts}


def _inside(model: LoadedModel, space: FeatureSpace, like: pd.DataFrame, attacks: Sequence[str]) -> Inside:
    network: NetworkView | None = None
    if set(attacks) & set(GRADIENTS):
        layers = read_layers(model, len(space.columns))
        if layers is not None:
            network = network_view(layers, space, lambda vectors: space.decode(vectors, like).to_numpy(dtype=float))
    return Inside(
        network=network,
        leaves=leaves_of(model, space) if DECISION_TREE in attacks else None,
        weights=linear_weights(model, space) if GRADIENT in attacks and network is None else None,
    )


def _valid(
    found: Mapping[str, Attacked], scene: Scene, like: pd.DataFrame, rules: RobustnessBudget, fixed: Sequence[str]
) -> tuple[dict[str, Attacked], dict[str, int]]:
    """The findings that keep to the threat model, and how often each of its rules was broken."""
    originals = scene.space.decode(scene.rows, like)
    kept: dict[str, Attacked] = {}
    broken: dict[str, int] = {}
    for name, one in found.items():
        by_row = violations(scene.space, rules, scene.space.decode(one.rows, like), originals, fixed=fixed)
        for rule in (rule for of_row in by_row for rule in of_row):
            broken[rule] = broken.get(rule, 0) + 1
        kept[name] = replace(one, distance=np.where([bool(of_row) for of_row in by_row], np.inf, one.distance))
    return kept, broken
