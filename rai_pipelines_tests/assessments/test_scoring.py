"""The scored evaluation table: declared decisions are taken as they are, others are made once by the model."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rai_pipelines.assessments import scoring
from rai_pipelines.assessments.base import AuditContext, run_assessment
from rai_pipelines.assessments.fairness.bias import assess_bias
from rai_pipelines.assessments.fairness.lattice import BiasParameters
from rai_pipelines.assessments.scoring import scored_evaluation
from rai_pipelines.errors import DataError, ModelError, ModelMissing
from rai_pipelines.evidence.model import Status
from rai_pipelines.subjects.datasheet import parse_datasheet
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import Query
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.subject import Subject

DATASHEET = """
schema: rai.datasheet/v1
model: m
purpose: Test
out_of_scope: [Anything else]
risk: {class: high, reason: Decides about people}
owner: {name: Team, contact: team@example.org}
columns: {label: y, features: [x], protected_attributes: {g: {}}}
data: {evaluation: rows.parquet}
"""


class Threshold:
    """Favourable above zero; counts how often it is asked."""

    flavor, features = "threshold", ("x",)

    def __init__(self, scores: Callable[[np.ndarray], np.ndarray | None] = lambda x: 1 / (1 + np.exp(-x))) -> None:
        self.scores, self.asked = scores, 0

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        self.asked += 1
        return (frame["x"].to_numpy() > 0).astype(int)

    def score(self, frame: pd.DataFrame) -> np.ndarray | None:
        return self.scores(frame["x"].to_numpy())


def context(
    folder: Path, model: object | None, *, digest: str | None = "sha256:" + "1" * 64, datasheet: str = DATASHEET, rows: int = 1_000
) -> AuditContext:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=rows), "g": rng.choice(["a", "b"], rows), "y": rng.integers(0, 2, rows), "secret": "unused"})
    frame.to_parquet(folder / "rows.parquet")
    loader = (lambda _folder, _datasheet: model) if model is not None else None
    subject = Subject(ModelVersion("m", "1"), parse_datasheet(datasheet, source="d"), folder, digest, folder, loader)  # type: ignore[arg-type]
    return AuditContext(subject, 1, folder / "scratch")


def test_the_model_is_run_in_batches_and_only_what_is_needed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "BATCH_ROWS", 300)
    model = Threshold()
    scored = scored_evaluation(context(tmp_path, model))
    found = scored.source.run(scored.source.table())
    raw = pd.read_parquet(tmp_path / "rows.parquet")
    assert list(found.columns) == ["y", "g", "rai_prediction", "rai_score"]
    assert (found["rai_prediction"] == (raw["x"] > 0)).all()
    assert np.allclose(found["rai_score"], 1 / (1 + np.exp(-raw["x"])))
    assert (found["y"] == raw["y"]).all()
    assert model.asked == 4
    assert (scored.prediction_column, scored.score_column, scored.label_column) == ("rai_prediction", "rai_score", "y")


def test_a_second_audit_of_the_same_model_and_data_runs_the_model_no_more(tmp_path: Path) -> None:
    model = Threshold()
    scored_evaluation(context(tmp_path, model))
    scored_evaluation(context(tmp_path, model))
    assert model.asked == 1
    scored_evaluation(context(tmp_path, model, digest="sha256:" + "2" * 64))
    scored_evaluation(context(tmp_path, model, rows=999))
    assert model.asked == 3


def test_a_model_without_a_digest_is_always_run(tmp_path: Path) -> None:
    model = Threshold()
    for _ in range(2):
        scored_evaluation(context(tmp_path, model, digest=None))
    assert model.asked == 2


def test_a_model_without_scores_gives_decisions_alone(tmp_path: Path) -> None:
    scored = scored_evaluation(context(tmp_path, Threshold(scores=lambda x: None)))
    assert scored.score_column is None
    assert scored.source.columns == ("y", "g", "rai_prediction")


def test_declared_decisions_are_taken_from_the_table_without_a_model(tmp_path: Path) -> None:
    scored = scored_evaluation(context(tmp_path, None, datasheet=DATASHEET.replace("label: y", "label: y, prediction: secret, score: x")))
    assert (scored.source.name, scored.prediction_column, scored.score_column) == ("evaluation", "secret", "x")
    with pytest.raises(DataError, match="no column 'decision'"):
        scored_evaluation(context(tmp_path, None, datasheet=DATASHEET.replace("label: y", "label: y, prediction: decision")))


def test_no_decisions_and_no_model_is_missing_evidence(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="m/1"):
        scored_evaluation(context(tmp_path, None))


@pytest.mark.parametrize(
    ("scores", "words"),
    [(lambda x: x[:-1], "scores of shape"), (lambda x: np.full(len(x), np.nan), "not finite"), (lambda x: np.stack([x, x], 1), "scores of shape")],
)
def test_a_wrong_answer_leaves_no_file_behind(tmp_path: Path, scores: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        scored_evaluation(context(tmp_path, Threshold(scores=scores)))
    assert list((tmp_path / "scratch" / "scored").iterdir()) == []


def test_an_empty_table_and_an_absent_feature_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        scored_evaluation(context(tmp_path, Threshold(), rows=0))
    with pytest.raises(DataError, match="no column 'gone'"):
        scored_evaluation(context(tmp_path, Threshold(), datasheet=DATASHEET.replace("features: [x]", "features: [x, gone]")))


def test_no_path_of_this_machine_is_in_the_reference(tmp_path: Path) -> None:
    assert str(tmp_path) not in scored_evaluation(context(tmp_path, Threshold())).source.reference


def test_decimals_reach_the_model_as_numbers(tmp_path: Path) -> None:
    asked = context(tmp_path, Threshold())
    frame = pd.read_parquet(tmp_path / "rows.parquet")
    frame["x"] = [Decimal(f"{value:.3f}") for value in frame["x"]]
    frame.to_parquet(tmp_path / "rows.parquet")
    scored = scored_evaluation(asked)
    decisions = scored.source.run(scored.source.table())["rai_prediction"]
    assert (decisions == (frame["x"].astype(float) > 0)).all()


class Careless(Threshold):
    """Says what it could not convert, as scikit-learn does."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        raise ValueError(f"could not convert string to float: 'Jane Doe 536-22-1234' in column 'x' of {len(frame)} rows")


def test_what_a_library_quotes_of_the_data_is_not_in_the_evidence(tmp_path: Path) -> None:
    evidence, _ = run_assessment("bias_assessment", assess_bias, context(tmp_path, Careless()), BiasParameters(), inputs=())
    assert evidence.status is Status.ERROR
    assert "could not convert string to float: '…' in column 'x'" in str(evidence.reason)
    assert "Jane" not in str(evidence.reason)
    checked = CheckedModel(Query("careless", None, None, Careless().predict, None), ("x",), "1", "model.skops")
    with pytest.raises(ModelError, match=r"fails on 2 rows .*float: '…' in column 'x'"):
        checked.predict(pd.DataFrame({"x": ["Jane Doe", "1"]}))
