"""How networks rise and what moves them: interval slopes and changes against sampling, certificates against a fine grid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.verification.certificates import Answer
from rai_pipelines.assessments.verification.domain import Asked, Region, whole_domain
from rai_pipelines.assessments.verification.feedforward import Feedforward, feedforward_of
from rai_pipelines.assessments.verification.several import asked_twice, pair_of
from rai_pipelines.assessments.verification.smooth import change_bound, least_mean, slope_bounds
from rai_pipelines.assessments.verification.smooth_proofs import prove_invariant, prove_monotone
from rai_pipelines.subjects.networks import AFFINE, Layer, Network
from rai_pipelines_tests.assessments.verification.test_feedforward import CURVES, SPACE, form_of, network, regions

COLUMNS = ("a", "n", "c")
GRID = np.array([(a, n, c) for a in np.linspace(-3, 3, 61) for n in range(7) for c in range(3)], dtype=float)
LIKE = pd.DataFrame({"a": [0.5], "n": [1], "c": [1]})


def asked_of(form: Feedforward) -> Asked:
    """Stands for the model: the very same numbers, read from a table."""

    def raw(frame: pd.DataFrame) -> np.ndarray:
        return form.raw(SPACE.encode(frame))

    return Asked(SPACE, LIKE, lambda frame: (raw(frame) > 0).astype(int), lambda frame: form.score(raw(frame)))


def rising(seed: int, curve: Any) -> Feedforward:
    """Rises with its first input: every weight on the way from there is positive."""
    layers = list(network(seed, 1, curve).layers)
    first, *rest = (at for at, layer in enumerate(layers) if layer.kind == AFFINE)
    weight = layers[first].weight
    assert weight is not None and layers[0].weight is not None
    weight = np.column_stack([np.abs(weight[:, 0]) * np.sign(layers[0].weight[0]), weight[:, 1:]])
    layers[first] = replace(layers[first], weight=weight)
    for at in rest:
        layers[at] = replace(layers[at], weight=np.abs(layers[at].weight))
    return feedforward_of(Network(tuple(layers), 3), SPACE, COLUMNS, positive=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.sampled_from(CURVES), st.sampled_from(["0", "1"]), regions)
def test_no_slope_and_no_change_in_a_region_is_beyond_its_bounds(seed: int, outputs: int, curve: Any, favourable: str, region: Region) -> None:
    form = form_of(seed, outputs, curve, favourable)
    rng = np.random.default_rng(seed)
    here = region.sample(rng, 100)
    least, most = slope_bounds(form, region, 0)
    true = form.network.pulled_back(form.columns(here), np.repeat(form.along, 100, axis=0))[:, 0]
    assert least <= true.min() + 1e-9 and true.max() <= most + 1e-9
    moved = here.copy()
    moved[:, [0, 2]] = region.sample(rng, 100)[:, [0, 2]]
    assert np.abs(form.raw(moved) - form.raw(here)).max() <= change_bound(form, region, [0, 2]) + 1e-5  # single precision of the inputs


@pytest.mark.parametrize("curve", CURVES, ids=[name for name, _ in CURVES])
def test_a_network_whose_weights_all_push_one_way_is_proved_monotone_and_never_the_other_way(curve: Any) -> None:
    form = rising(3, curve)
    both = [prove_monotone(pair_of(form), asked_twice(asked_of(form)), whole_domain(SPACE), 1, at=0, sign=sign, limit=200) for sign in (1, -1)]
    assert [one.answer for one in both] == [Answer.PROVED, Answer.REFUTED]
    assert both[0].nodes == 1
    places = both[1].places
    assert places is not None and form.raw(places)[1] > form.raw(places)[0] and places[1, 0] > places[0, 0]


@pytest.mark.slow
def test_monotone_is_proved_only_where_a_fine_grid_agrees_and_refuted_by_two_places_that_fall() -> None:
    answers: Counter[Answer] = Counter()
    for seed in range(24):
        form = form_of(seed, 1 + seed % 2, CURVES[seed % len(CURVES)])
        raw = form.raw(GRID).reshape(61, 7, 3)
        for at, sign in ((0, 1), (0, -1), (1, 1)):
            one = prove_monotone(pair_of(form), asked_twice(asked_of(form)), whole_domain(SPACE), 1, at=at, sign=sign, limit=300)
            answers[one.answer] += 1
            if one.answer is Answer.PROVED:
                assert (sign * np.diff(raw, axis=at) >= -1e-6).all()
            if one.answer is Answer.REFUTED:
                assert one.places is not None and sign * np.diff(form.raw(one.places))[0] < 0
                assert one.places[1, at] > one.places[0, at] and np.array_equal(np.delete(one.places[0], at), np.delete(one.places[1], at))
    assert answers[Answer.PROVED] >= 4 and answers[Answer.REFUTED] >= 40 and answers[Answer.UNKNOWN] <= 15, answers


def test_a_slope_of_whole_numbers_is_looked_at_between_them_too() -> None:
    # falls between 2 and 3 only, so no half that ends at a whole number shows it unless the halves meet
    bump = (
        Layer(AFFINE, np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), np.array([-2.0, -3.0])),
        Layer("relu"),
        Layer(AFFINE, np.array([[-1.0, 1.0]]), np.array([0.5])),
    )
    form = feedforward_of(Network(bump, 3), SPACE, COLUMNS, positive=True)
    one = prove_monotone(pair_of(form), asked_twice(asked_of(form)), whole_domain(SPACE), 1, at=1, sign=1, limit=200)
    assert one.answer is Answer.REFUTED


@pytest.mark.parametrize("tolerance", [None, pytest.param(0.3, marks=pytest.mark.slow)])
def test_invariance_is_proved_only_where_a_fine_grid_agrees_and_refuted_by_two_places(tolerance: float | None) -> None:
    answers: Counter[Answer] = Counter()
    for seed in range(24):
        form = form_of(seed, 1 + seed % 2, CURVES[seed % len(CURVES)])
        last = form.network.layers[-1]
        shifted = replace(last, bias=np.asarray(last.bias) + ((4.0 if seed % 3 else 0.0) * np.arange(1, len(np.asarray(last.bias)) + 1)))
        form = replace(form, network=Network((*form.network.layers[:-1], shifted), 3))
        raw = form.raw(GRID).reshape(61, 7, 3)
        for positions, axes in (([2], (2,)), ([1, 2], (1, 2))):
            one = prove_invariant(
                pair_of(form), asked_twice(asked_of(form)), whole_domain(SPACE), positions, outcome=1, tolerance=tolerance, limit=400
            )
            answers[one.answer] += 1
            if one.answer is Answer.PROVED:
                assert not np.ptp((raw > 0).astype(int), axis=axes).any()
                assert tolerance is None or np.ptp(form.score(raw), axis=axes).max() <= tolerance
            if one.answer is Answer.REFUTED:
                assert one.places is not None
                said = form.raw(one.places)
                assert (said > 0)[0] != (said > 0)[1] or (tolerance is not None and np.ptp(form.score(said)) > tolerance)
                assert one.places[0, 0] == one.places[1, 0]
    assert answers[Answer.PROVED] >= 20 and answers[Answer.REFUTED] >= 10 and answers[Answer.UNKNOWN] <= 2, answers


def test_inputs_without_weight_change_nothing() -> None:
    layers = list(network(5, 1, CURVES[4]).layers)
    assert layers[1].weight is not None
    layers[1] = replace(layers[1], weight=layers[1].weight * np.array([1.0, 1.0, 0.0]))
    form = feedforward_of(Network(tuple(layers), 3), SPACE, COLUMNS, positive=True)
    asked = asked_twice(asked_of(form))
    one = prove_invariant(pair_of(form), asked, whole_domain(SPACE), [2], outcome=1, tolerance=0.0, limit=5)
    assert (one.answer, one.nodes) == (Answer.PROVED, 0)
    other = prove_invariant(pair_of(form), asked, whole_domain(SPACE), [1], outcome=1, tolerance=0.0, limit=50)
    assert other.answer is Answer.REFUTED


def test_a_proof_that_is_cut_short_is_unknown() -> None:
    form = form_of(3, 1, CURVES[4])
    short = prove_monotone(pair_of(form), asked_twice(asked_of(form)), whole_domain(SPACE), 1, at=0, sign=1, limit=0)
    assert short.answer is Answer.UNKNOWN and "limit" in str(short.reason)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2, max_size=6), st.integers(0, 1000))
def test_no_mean_over_allowed_weights_is_below_the_least_one(parts: list[tuple[float, float, float]], seed: int) -> None:
    low, raw = np.array([one for one, _, _ in parts]), np.random.default_rng(seed).dirichlet(np.ones(len(parts)))
    least, most = raw * np.array([one for _, one, _ in parts]), np.minimum(1.0, raw * (1 + np.array([one for _, _, one in parts])))
    assert least_mean(low.tolist(), least, most) <= float(low @ raw) + 1e-9
