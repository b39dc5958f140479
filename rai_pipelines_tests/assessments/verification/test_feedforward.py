"""Bounds and certificates of networks: never too narrow, and no certificate for what sampling can break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
from rai_pipelines.assessments.security.networks import read_layers
from rai_pipelines.assessments.verification.certificates import Answer
from rai_pipelines.assessments.verification.domain import Asked, Region, whole_domain
from rai_pipelines.assessments.verification.feedforward import Feedforward, feedforward_of
from rai_pipelines.assessments.verification.feedforward_proofs import certified_radius, prove_decision, prove_score
from rai_pipelines.assessments.verification.tree_dumps import Unsupported
from rai_pipelines.assessments.verification.verification import VerificationParameters, assess_verification
from rai_pipelines.subjects.networks import AFFINE, SCALE, Layer, Network
from rai_pipelines_tests.assessments.security.network_subjects import FEATURES, SHEET, applicants, context, network_model, space_of_applicants

SPACE = FeatureSpace(
    (
        Feature("a", -3.0, 3.0, 1.0, False, None, True),
        Feature("n", 0.0, 6.0, 2.0, True, None, True),
        Feature("c", 0.0, 2.0, 1.0, False, (1, 2, 5), True),
    ),
    ("a", "n", "c"),
)
CURVES = [("relu", ()), ("leaky_relu", (0.1,)), ("elu", (0.8,)), ("softplus", ()), ("tanh", ()), ("sigmoid", ()), ("hardtanh", (-0.7, 1.1))]


def network(seed: int, outputs: int, curve: tuple[str, tuple[float, ...]]) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        Layer(SCALE, rng.normal(size=3), rng.normal(size=3)),
        Layer(AFFINE, rng.normal(size=(6, 3)), rng.normal(size=6)),
        Layer(curve[0], numbers=curve[1]),
        Layer(AFFINE, rng.normal(size=(4, 6)), None),
        Layer(curve[0], numbers=curve[1]),
        Layer(AFFINE, rng.normal(size=(outputs, 4)), rng.normal(size=outputs)),
    ]
    return Network(tuple(layers), 3)


def form_of(seed: int, outputs: int = 1, curve: tuple[str, tuple[float, ...]] = CURVES[0], favourable: str = "1") -> Feedforward:
    return feedforward_of(network(seed, outputs, curve), SPACE, ("a", "n", "c"), positive=favourable == "1")


def asked_of(form: Feedforward) -> Asked:
    """Stands for the model: the very same numbers."""
    asked: Any = Asked(SPACE, None, None, None)  # type: ignore[arg-type]
    object.__setattr__(asked, "decisions", lambda places: (form.raw(places) > 0).astype(int))
    object.__setattr__(asked, "scores", lambda places: form.score(form.raw(places)))
    return asked  # type: ignore[no-any-return]


regions = st.builds(
    lambda a, n, codes: Region(SPACE, np.array([a[0], n[0], 0.0]), np.array([a[1], n[1], 2.0]), {2: codes}),
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted),
    st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted),
    st.sampled_from([(0,), (1, 2), (0, 1, 2)]),
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.sampled_from(CURVES), st.sampled_from(["0", "1"]), regions)
def test_no_place_of_a_region_is_beyond_its_bounds(seed: int, outputs: int, curve: Any, favourable: str, region: Region) -> None:
    form = form_of(seed, outputs, curve, favourable)
    least, most = form.bounds(region)
    raw = form.raw(region.sample(np.random.default_rng(seed), 200))
    assert least <= raw.min() and raw.max() <= most


def test_bounds_of_one_layer_are_its_extremes() -> None:
    form = feedforward_of(Network((Layer(AFFINE, np.array([[2.0, -1.0, 0.5]]), np.array([1.0])),), 3), SPACE, ("a", "n", "c"), positive=True)
    assert form.bounds(whole_domain(SPACE)) == pytest.approx((-6 - 6 + 0.5 + 1, 6 - 0 + 2.5 + 1), rel=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_answers_about_decisions_agree_with_every_place_of_a_grid(outputs: int) -> None:
    grid = np.array([(a, n, c) for a in np.linspace(-3, 3, 41) for n in range(7) for c in range(3)], dtype=float)
    answers = []
    for seed in range(25):
        form = form_of(seed, outputs)
        for decision in (0, 1):
            found = prove_decision(form, asked_of(form), whole_domain(SPACE), decision, limit=400)
            answers.append(found.answer)
            if found.answer is Answer.PROVED:
                assert ((form.raw(grid) > 0) == decision).all()
            if found.answer is Answer.REFUTED:
                assert found.places is not None and (form.raw(found.places) > 0)[0] != decision
    assert answers.count(Answer.UNKNOWN) <= 5 and answers.count(Answer.PROVED) >= 3 and answers.count(Answer.REFUTED) > 20


def test_score_bounds_are_proved_down_to_nearly_the_true_extreme() -> None:
    form = form_of(3)
    grid = np.array([(a, n, c) for a in np.linspace(-3, 3, 121) for n in range(7) for c in range(3)], dtype=float)
    highest = float(form.score(form.raw(grid)).max())
    region = whole_domain(SPACE)
    above = prove_score(form, asked_of(form), region, highest + 0.3 * (1 - highest), 1, limit=5_000)
    below = prove_score(form, asked_of(form), region, highest - 0.01, 1, limit=5_000)
    assert (above.answer, below.answer) == (Answer.PROVED, Answer.REFUTED)


def test_nothing_within_a_certified_radius_changes_the_decision() -> None:
    rng = np.random.default_rng(1)
    radii = []
    for seed in range(20):
        form = form_of(seed)
        row = whole_domain(SPACE).sample(rng, 1)[0]
        radius = certified_radius(form, row)
        radii.append(radius)
        tried = np.tile(row, (500, 1))
        tried[:, :2] += rng.uniform(-1, 1, (500, 2)) * radius * SPACE.step[:2]
        assert len(set((form.raw(tried) > 0).tolist())) == 1
    assert max(radii) > 0.2


def test_a_network_of_three_classes_is_not_read_as_one_of_two() -> None:
    with pytest.raises(Unsupported, match="two classes"):
        form_of(1, outputs=3)


def test_the_assessment_certifies_rows_of_a_network_and_proves_or_refutes_its_properties(tmp_path: Path) -> None:
    extra = """
safety_properties:
  - {name: grows, monotone: {feature: income, direction: increasing}}
  - {name: rich, rule: {when: {income: [70, 80], age: [50, 60]}, decision: favourable}}
  - {name: never-sure, bounded_output: {low: 0.4, high: 0.6}}
  - {name: falls, monotone: {feature: income, direction: decreasing}}
"""
    measured = assess_verification(context(tmp_path, SHEET + extra), VerificationParameters(rows=40))
    answers: Any = measured.details["certificates"]
    assert (answers["grows"]["answer"], answers["rich"]["answer"], answers["never-sure"]["answer"]) == ("proved", "proved", "refuted")
    assert answers["falls"]["answer"] == "refuted" and answers["falls"]["counterexample_confirmed_by_the_model"] is True
    assert measured.details["form"] == "feedforward"
    shares = {item.metric: item.value for item in measured.measurements}
    assert (shares["certified_share"] or 0) > 0.5 and (shares["refuted_share"] or 0) > 0
    assert sum(shares[name] or 0 for name in ("certified_share", "refuted_share", "unknown_share")) == pytest.approx(1)
    assert (shares["mean_bound"] or 0) > 0


def test_the_assessment_certifies_rows_of_an_exported_network_of_three_classes(tmp_path: Path) -> None:
    sheet = (
        SHEET.replace("columns:\n", "task: multiclass_classification\ncolumns:\n  classes: ['2', '0', '1']\n")
        + """
safety_properties:
  - {name: sure, outcome: '0', bounded_output: {high: 0.01}}
  - {name: same, invariant_to: {features: [sex]}}
  - {name: rises, outcome: '2', monotone: {feature: income, direction: increasing}}
  - {name: poor, outcome: '2', rule: {when: {income: [10, 25], age: [18, 25]}, decision: unfavourable}}
"""
    )
    given = context(tmp_path, sheet)
    model = network_model(tmp_path, "three.pt2")
    subject = replace(given.subject, loader=lambda _folder, _sheet: model)
    measured = assess_verification(replace(given, subject=subject), VerificationParameters(rows=20, property_nodes=2_000))
    assert measured.details["form"] == "feedforward", measured.details["why_not_verified"]
    compared: Any = measured.details["compared_with_the_model"]
    assert compared["rows"] >= 400 and compared["largest_difference"] < 1e-9
    answers: Any = measured.details["certificates"]
    assert {name: one["answer"] for name, one in answers.items()} == {"sure": "refuted", "same": "refuted", "rises": "proved", "poor": "proved"}
    income = np.linspace(10, 90, 81)
    line = applicants(81, 1)[list(FEATURES)].assign(income=income, age=44, sex=1)
    shares = model.probabilities(line)
    assert shares is not None and (np.diff(shares[:, 2]) >= -1e-9).all() and shares[:, 0].max() > 0.01
    poor = model.predict(applicants(200, 3)[list(FEATURES)].assign(income=np.linspace(10, 25, 200), age=np.arange(200) % 8 + 18))
    assert 2 not in poor
    figures = {item.metric: item.value or 0 for item in measured.measurements}
    assert figures["certified_share"] > 0 and figures["certified_share"] + figures["refuted_share"] + figures["unknown_share"] == pytest.approx(1)


@pytest.mark.slow
def test_what_pytorch_computes_in_single_precision_is_within_the_bounds_of_a_point(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch installs it")
    from rai_pipelines_tests.subjects.test_pt2_archive import FOLDER

    program = torch.export.load(FOLDER / "three.pt2").module()
    space, read = space_of_applicants(tmp_path), read_layers(network_model(tmp_path, "three.pt2"), 3)
    assert read is not None
    pair = Network((*read.layers, Layer(AFFINE, np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), None)), 3)
    form = feedforward_of(pair, space, FEATURES, positive=True)
    rows = whole_domain(space).sample(np.random.default_rng(3), 300)
    with torch.no_grad():
        said = program(torch.tensor(form.columns(rows), dtype=torch.float32)).numpy().astype(float)
    for row, logits in zip(rows, said, strict=True):
        codes = {at: (int(row[at]),) for at, one in enumerate(space.features) if one.values is not None}
        least, most = form.bounds(Region(space, row, row, codes))
        assert least <= logits[2] - logits[1] <= most
