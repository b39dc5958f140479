"""Gradient attacks on a network: what they find, what they leave alone, and that the toolbox is given the right gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from rai_pipelines.assessments.security.attack_suite import GRADIENTS
from rai_pipelines.assessments.security.gradients import network_gradient
from rai_pipelines.assessments.security.networks import TASK, along_gradient, network_view, read_layers
from rai_pipelines.assessments.security.oracle import Effort, Oracle
from rai_pipelines.assessments.security.robustness import RobustnessParameters, assess_robustness
from rai_pipelines.errors import ModelError
from rai_pipelines.evidence.model import State
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import query_of
from rai_pipelines_tests.assessments.security.network_subjects import FEATURES, applicants, context, network_model, space_of_applicants

PARAMETERS = RobustnessParameters(sample=60, pool=200, attacks=("valid_neighbours", *GRADIENTS), gradient_steps=20)


def test_the_layers_that_are_handed_over_are_the_network(tmp_path: Path) -> None:
    model = network_model(tmp_path)
    network = read_layers(model, 3)
    assert network is not None
    rows = applicants(50, 5)[list(FEATURES)]
    assert network.probabilities(rows.to_numpy(dtype=float))[:, 1] == pytest.approx(model.score(rows), abs=0)
    tree = CheckedModel(query_of(LogisticRegression().fit(rows, rows.age > 40), "skops"), FEATURES, "1", "m")
    assert read_layers(tree, 3) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda told, tables: told["layers"][0].update(kind="exec"),
        lambda told, tables: told["layers"][1].update(shape=[8, 4]),
        lambda told, tables: told.update(inputs=4),
        lambda told, tables: tables.update(layer1=pa.table({"values": [float("nan")] * 32})),
        lambda told, tables: tables.pop("layer1"),
    ],
)
def test_layers_that_are_none_are_refused(change: Any, tmp_path: Path) -> None:
    model = network_model(tmp_path)
    told, tables = (dict(part) for part in model.run(TASK, {}, {}))
    change(told, tables)
    model.run = lambda *_: (told, tables)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="something else"):
        read_layers(model, 3)


@pytest.mark.parametrize("name", GRADIENTS)
def test_what_a_gradient_attack_finds_is_nearer_than_chance_and_moves_only_what_can_move(name: str, tmp_path: Path) -> None:
    space, model = space_of_applicants(tmp_path), network_model(tmp_path)
    network = read_layers(model, 3)
    assert network is not None
    frame = applicants(60, 7)
    rows = space.encode(frame)
    view = network_view(network, space, lambda vectors: space.decode(vectors, frame).to_numpy(dtype=float))
    oracle = Oracle(lambda vectors: np.asarray(model.predict(space.decode(vectors, frame))))
    chosen: dict[str, Any] = {"view": view, "epsilon": 1.0, "effort": Effort(gradient_steps=20), "seed": 4}
    found = network_gradient(name, oracle, space, rows, **chosen)
    again = network_gradient(name, oracle, space, rows, **chosen)
    np.testing.assert_array_equal(found.rows, again.rows)
    assert (found.rows[:, 2] == rows[:, 2]).all()
    broken = np.isfinite(found.distance)
    assert broken.mean() > 0.3
    assert (oracle.ask(found.rows[broken]) != oracle.ask(rows[broken])).all()
    rng, by_chance = np.random.default_rng(1), []
    for at in np.flatnonzero(broken)[:10]:  # random ways of the same length hardly ever do
        way = rng.normal(size=(200, 2))
        way *= found.distance[at] / np.linalg.norm(way, axis=1, keepdims=True)
        tried = np.tile(rows[at], (200, 1))
        tried[:, :2] += way * space.step[:2]
        by_chance.append((oracle.ask(tried) != oracle.ask(rows[at][None])).mean())
    assert np.mean(by_chance) < 0.2


def test_numpys_global_generator_is_put_back(tmp_path: Path) -> None:
    space, model = space_of_applicants(tmp_path), network_model(tmp_path)
    network, frame = read_layers(model, 3), applicants(10, 7)
    assert network is not None
    view = network_view(network, space, lambda vectors: space.decode(vectors, frame).to_numpy(dtype=float))
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    along_gradient("auto_pgd", view, space, space.encode(frame), epsilon=0.5, steps=5, seed=1)
    assert np.random.random() == expected


def test_the_assessment_of_a_network_runs_its_gradient_attacks_and_their_controls(tmp_path: Path) -> None:
    measured = assess_robustness(context(tmp_path), PARAMETERS)
    attacks: Any = measured.details["attacks"]
    assert attacks == dict.fromkeys(PARAMETERS.attacks, "effective")
    figures = {(item.metric, item.group): item for item in measured.measurements}
    assert figures["robust_to_clean_ratio", None].state is State.MEASURED
    assert all((figures["positive_control_success", name].value or 0) >= 0.9 for name in GRADIENTS)
    assert (figures["attack_success_rate", "gradient"].value or 0) >= (figures["attack_success_rate", "fast_gradient"].value or 0) - 0.05
    assert measured.details["against_the_threat_model"] == {}
