"""Loading model files that nobody vouches for: real models of every format, and real attempts to misuse the loader."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from rai_pipelines.errors import ModelError, ModelMissing, without_values
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.model_files import CheckedModel, load_model_files
from rai_pipelines.subjects.model_formats import Query

ROWS = 200


def datasheet(**columns: Any) -> Datasheet:
    return Datasheet.model_validate(
        {
            "schema": "rai.datasheet/v1",
            "model": "m",
            "purpose": "p",
            "out_of_scope": ["o"],
            "risk": {"class": "high", "reason": "r"},
            "owner": {"name": "n", "contact": "c"},
            "columns": {"label": "y", "protected_attributes": {"sex": {}}, **columns},
            "data": {"evaluation": "e.parquet"},
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(size=ROWS), "sex": rng.integers(0, 2, ROWS)})
    return frame.assign(y=(frame.a + 0.3 * rng.normal(size=ROWS) > 0).astype(int))


@pytest.fixture(scope="module")
def booster(table: pd.DataFrame) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(table[["a", "b"]], table.y)


def described(folder: Path, file: str, flavor: str = "sklearn", **more: Any) -> None:
    content = {"flavors": {flavor: {"pickled_model": file}, "python_function": {"loader_module": "mlflow.sklearn", "data": "elsewhere.pkl"}}, **more}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(n_estimators=5, random_state=1),
        HistGradientBoostingClassifier(max_iter=5, random_state=1),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
        lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_skops_model_answers_as_it_did_before_it_was_saved(tmp_path: Path, table: pd.DataFrame, model: Any) -> None:
    model.fit(table[["a", "b"]], table.y)
    skops.io.dump(model, tmp_path / "model.skops")
    described(tmp_path, "model.skops")
    loaded = load_model_files(tmp_path, datasheet())
    assert (loaded.flavor, loaded.features) == ("skops", ("a", "b"))
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table[["a", "b"]]))
    np.testing.assert_allclose(loaded.score(table), model.predict_proba(table[["a", "b"]])[:, 1])
    np.testing.assert_allclose(
        load_model_files(tmp_path, datasheet(favourable_outcome="0")).score(table), model.predict_proba(table[["a", "b"]])[:, 0]
    )
    assert load_model_files(tmp_path, datasheet(favourable_outcome="approved")).score(table) is None


def test_a_lightgbm_text_model_answers_as_the_classifier_did(tmp_path: Path, table: pd.DataFrame, booster: lightgbm.LGBMClassifier) -> None:
    booster.booster_.save_model(tmp_path / "model.lgb")
    loaded = load_model_files(tmp_path, datasheet())
    assert (loaded.flavor, loaded.features) == ("lightgbm", ("a", "b"))
    np.testing.assert_array_equal(loaded.predict(table[["sex", "b", "a"]]), booster.predict(table[["a", "b"]]))
    np.testing.assert_allclose(loaded.score(table), booster.predict_proba(table[["a", "b"]])[:, 1])
    np.testing.assert_allclose(
        load_model_files(tmp_path, datasheet(favourable_outcome="0")).score(table), booster.predict_proba(table[["a", "b"]])[:, 0]
    )


class RunsOnLoading:
    """What an attacker registers: unpickling it writes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.write_text, (self.proof, "ran")


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "python_model.cloudpickle", "model.skops", "model.txt"])
def test_a_malicious_pickle_is_refused_under_any_name_and_does_not_run(tmp_path: Path, name: str) -> None:
    proof = tmp_path / "proof"
    content = pickle.dumps(RunsOnLoading(proof))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / name).write_bytes(content)
    described(folder, name)
    with pytest.raises(ModelError, match=r"is a pickle.*skops"):
        load_model_files(folder, datasheet())
    assert not proof.exists()
    pickle.loads(content)
    assert proof.exists(), "the pickle is harmless, so this test showed nothing"


def test_a_pickle_loads_when_the_operator_trusts_it(tmp_path: Path, table: pd.DataFrame) -> None:
    model = LogisticRegression().fit(table[["a", "b"]], table.y)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    loaded = load_model_files(tmp_path, datasheet(), trust_pickles=True)
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table[["a", "b"]]))


class Unknown(ClassifierMixin, BaseEstimator):
    def fit(self, frame: Any, labels: Any) -> Unknown:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, frame: Any) -> Any:
        return np.ones(len(frame))


def test_an_unknown_skops_type_is_refused_by_name_even_when_the_model_calls_it_trusted(tmp_path: Path) -> None:
    skops.io.dump(Unknown().fit(None, [0, 1]), tmp_path / "model.skops")
    name = f"{Unknown.__module__}.Unknown"
    content = {"flavors": {"sklearn": {"pickled_model": "model.skops", "skops_trusted_types": [name]}}}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match=r"not trusted.*Unknown.*RAI_TRUSTED_SKOPS_TYPES"):
        load_model_files(tmp_path, datasheet())
    assert load_model_files(tmp_path, datasheet(), trusted_skops_types=(name,)).flavor == "skops"


def test_a_dangerous_function_that_scikit_learn_happens_to_import_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
    content = skops.io.dumps(model)
    assert b'"log1p"' in content
    (tmp_path / "harmless.skops").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "harmless.skops") as source, zipfile.ZipFile(tmp_path / "model.skops", "w") as target:
        for item in source.namelist():
            text = source.read(item)
            if item == "schema.json":
                schema = text.decode().replace('"log1p"', '"check_output"').replace('"__module__": "numpy"', '"__module__": "sklearn.utils._testing"')
                text = schema.replace('"scipy.special"', '"sklearn.utils._testing"').encode()
            target.writestr(item, text)
    (tmp_path / "harmless.skops").unlink()
    with pytest.raises(ModelError, match=r"not trusted.*check_output"):
        load_model_files(tmp_path, datasheet())


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", ["model.skops", "model.lgb"])
def test_a_truncated_file_is_a_model_error(tmp_path: Path, table: pd.DataFrame, booster: lightgbm.LGBMClassifier, name: str, kept: float) -> None:
    path = tmp_path / name
    if name == "model.skops":
        skops.io.dump(LogisticRegression().fit(table[["a", "b"]], table.y), path)
    else:
        path.write_text(booster.booster_.model_to_string().split("end of trees")[0])  # predictions do not rest on what follows
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ModelError, match=name) as raised:
        load_model_files(tmp_path, datasheet())
    assert str(tmp_path) not in str(raised.value)


def test_no_damage_to_a_lightgbm_text_ends_the_process(tmp_path: Path, table: pd.DataFrame) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1)
    model.fit(table[["a", "sex"]], table.y, categorical_feature=["sex"])
    (tmp_path / "whole.txt").write_text(model.booster_.model_to_string())
    ended = subprocess.run([sys.executable, "-c", DAMAGE, str(tmp_path / "whole.txt")], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
    loaded, refused = map(int, ended.stdout.split()[-2:])
    assert loaded + refused == 400
    assert refused > 100


DAMAGE = """
import sys
import lightgbm, numpy as np
from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.lightgbm_text import checked_lightgbm_text
text, rng, loaded, refused = open(sys.argv[1]).read(), np.random.default_rng(5), 0, 0
rows = np.zeros((3, 2))
for attempt in range(400):
    start = int(rng.integers(0, len(text) - 20))
    damaged = text[:start] + ("" if attempt % 2 else text[start + int(rng.integers(1, 20)):])
    try:
        lightgbm.Booster(model_str=checked_lightgbm_text(damaged, where="x")).predict(rows)
        loaded += 1
    except (ModelError, lightgbm.basic.LightGBMError):
        refused += 1
print(loaded, refused)
"""


def test_pandas_categories_survive_the_check_of_a_lightgbm_text(tmp_path: Path, table: pd.DataFrame) -> None:
    frame = table[["a"]].assign(colour=pd.Categorical(np.where(table.sex == 1, "red", "blue")))
    model = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(frame, table.y)
    (tmp_path / "model.txt").write_text(model.booster_.model_to_string())
    np.testing.assert_allclose(load_model_files(tmp_path, datasheet()).score(frame), model.predict_proba(frame)[:, 1])


@pytest.mark.parametrize("file", ["../outside.skops", "/etc/passwd", "nested/../../outside.skops", "."])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, table: pd.DataFrame, file: str) -> None:
    folder = tmp_path / "model"
    (folder / "nested").mkdir(parents=True)
    skops.io.dump(LogisticRegression().fit(table[["a", "b"]], table.y), tmp_path / "outside.skops")
    described(folder, file)
    with pytest.raises(ModelError, match="outside the model's folder"):
        load_model_files(folder, datasheet())


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("tree")
    (folder / "model.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ModelError, match="leaves the model's folder"):
        load_model_files(folder, datasheet())


@pytest.mark.parametrize("present", [(), ("datasheet.yaml",), ("datasheet.yaml", "requirements.txt", "README.md")])
def test_a_version_without_a_model_file_is_missing_and_not_broken(tmp_path: Path, present: tuple[str, ...]) -> None:
    for name in present:
        (tmp_path / name).write_text("x")
    with pytest.raises(ModelMissing, match="no model file"):
        load_model_files(tmp_path, datasheet())
    with pytest.raises(ModelMissing):
        load_model_files(tmp_path / "no such folder", datasheet())


def test_a_description_that_names_an_absent_file_is_missing(tmp_path: Path) -> None:
    described(tmp_path, "model.skops")
    with pytest.raises(ModelMissing, match=r"model\.skops"):
        load_model_files(tmp_path, datasheet())


@pytest.mark.parametrize("text", ["flavors: [", "just text", "flavors: 3", "a: !!python/object/apply:os.system ['true']"])
def test_a_description_that_is_none_is_a_model_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(ModelError, match="MLmodel"):
        load_model_files(tmp_path, datasheet())


def test_two_files_that_could_be_the_model_are_not_guessed_between(tmp_path: Path) -> None:
    (tmp_path / "a.skops").write_bytes(b"")
    (tmp_path / "b.lgb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"a\.skops, b\.lgb"):
        load_model_files(tmp_path, datasheet())


def test_a_booster_that_is_no_classifier_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1).fit(table[["a", "b"]], table.y).booster_.save_model(tmp_path / "model.lgb")
    with pytest.raises(ModelError, match="regression"):
        load_model_files(tmp_path, datasheet())


def test_a_missing_input_column_is_named(tmp_path: Path, table: pd.DataFrame, booster: lightgbm.LGBMClassifier) -> None:
    booster.booster_.save_model(tmp_path / "model.lgb")
    loaded = load_model_files(tmp_path, datasheet())
    for ask in (loaded.predict, loaded.score):
        with pytest.raises(ModelError, match=r"model\.lgb: needs the input 'b'"):
            ask(table[["a", "sex"]])


def test_model_and_datasheet_must_agree_about_the_inputs(tmp_path: Path, table: pd.DataFrame, booster: lightgbm.LGBMClassifier) -> None:
    booster.booster_.save_model(tmp_path / "model.lgb")
    assert load_model_files(tmp_path, datasheet(features=["b", "a"])).features == ("a", "b"), "the model's own order counts"
    with pytest.raises(ModelError, match=r"disagree about the inputs: b, sex"):
        load_model_files(tmp_path, datasheet(features=["a", "sex"]))


def test_inputs_come_from_the_signature_when_the_model_has_no_names(tmp_path: Path, table: pd.DataFrame) -> None:
    skops.io.dump(LogisticRegression().fit(table[["b", "a"]].to_numpy(), table.y), tmp_path / "model.skops")
    described(tmp_path, "model.skops", signature={"inputs": '[{"type": "double", "name": "b"}, {"type": "double", "name": "a"}]'})
    assert load_model_files(tmp_path, datasheet()).features == ("b", "a")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda frame: np.ones((len(frame), 2)), r"predicts shape \(200, 2\) where \(200,\) is expected"),
        (lambda frame: np.ones(3), r"predicts shape \(3,\) where \(200,\)"),
        (lambda frame: 1, r"predicts shape \(\)"),
        (lambda frame: np.where(np.arange(len(frame)) < 7, np.nan, 1.0), "predicts no value for 7 of 200 rows"),
        (lambda frame: [None, *["yes"] * (len(frame) - 1)], "predicts no value for 1 of 200 rows"),
        (lambda frame: 1 / 0, "fails on 200 rows .ZeroDivisionError"),
    ],
)
def test_a_model_that_answers_wrongly_is_a_model_error_that_says_how(table: pd.DataFrame, answer: Any, complaint: str) -> None:
    model = CheckedModel(Query("test", ("a",), None, answer, None), ("a",), "1", "model.test")
    with pytest.raises(ModelError, match=complaint):
        model.predict(table)
    assert model.score(table) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5, 1.5])
def test_probabilities_outside_their_range_are_a_model_error(table: pd.DataFrame, bad: float) -> None:
    query = Query("test", ("a",), ("0", "1"), lambda frame: np.ones(len(frame)), lambda frame: np.full((len(frame), 2), bad))
    with pytest.raises(ModelError, match="outside 0 to 1"):
        CheckedModel(query, ("a",), "1", "model.test").score(table)


@pytest.mark.parametrize("maps", [False, True], ids=["matrix", "a dictionary per row"])
@pytest.mark.parametrize(("labels", "favourable"), [((1, 2), "1"), (("yes", "no"), "no"), ((3, 1, 7), "7")], ids=str)
def test_an_onnx_score_is_that_of_the_favourable_class_however_classes_are_numbered(
    tmp_path: Path, table: pd.DataFrame, maps: bool, labels: tuple[Any, ...], favourable: str
) -> None:
    from skl2onnx import to_onnx

    inputs = table[["a", "b"]].to_numpy(dtype=np.float32)
    fitted = LogisticRegression().fit(inputs, np.array(labels)[np.arange(ROWS) % len(labels)])
    (tmp_path / "model.onnx").write_bytes(to_onnx(fitted, inputs[:1], options={"zipmap": maps}).SerializeToString())
    model = load_model_files(tmp_path, datasheet(features=["a", "b"], favourable_outcome=favourable))
    place = [str(name) for name in fitted.classes_].index(favourable)
    assert model.score(table) == pytest.approx(fitted.predict_proba(inputs)[:, place], abs=1e-6)
    assert model.predict(table).tolist() == fitted.predict(inputs).tolist()


def test_an_onnx_model_whose_classes_nobody_names_gives_no_score_for_what_it_decides(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skl2onnx import to_onnx

    inputs = table[["a", "b"]].to_numpy(dtype=np.float32)
    fitted = LogisticRegression().fit(inputs, np.where(table.y == 1, 2, 1))
    (tmp_path / "model.onnx").write_bytes(to_onnx(fitted, inputs[:1], options={"zipmap": False}).SerializeToString())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="which of its probabilities is whose is not known"):
        load_model_files(tmp_path, datasheet(features=["a", "b"])).score(table)


def test_onnx_inputs_are_given_as_the_graph_reads_them_and_a_fraction_is_no_whole_number(tmp_path: Path, table: pd.DataFrame) -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

    frame = table.assign(job=np.where(table.b > 0, "clerk", "cook"), count=np.arange(ROWS) % 7)[["a", "count", "job"]]
    parts = ColumnTransformer([("job", OneHotEncoder(), ["job"])], remainder="passthrough")
    fitted = make_pipeline(parts, LogisticRegression()).fit(frame, table.y)
    types = [("a", FloatTensorType([None, 1])), ("count", Int64TensorType([None, 1])), ("job", StringTensorType([None, 1]))]
    made = convert_sklearn(fitted, initial_types=types, options={id(fitted): {"zipmap": False}})
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    model = load_model_files(tmp_path, datasheet())
    assert model.score(frame) == pytest.approx(fitted.predict_proba(frame)[:, 1], abs=1e-5)
    with pytest.raises(ModelError, match="no whole number"):
        model.score(frame.assign(count=0.5))


def test_a_forest_saved_for_many_threads_gives_the_same_bits_each_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    forest = RandomForestClassifier(60, max_depth=6, random_state=0, n_jobs=4).fit(frame, rng.integers(0, 2, 300))
    skops.io.dump(make_pipeline(FunctionTransformer(), forest), tmp_path / "model.skops")
    model = load_model_files(tmp_path, datasheet())
    first = model.score(frame)
    assert first is not None
    for _ in range(15):
        assert np.array_equal(first, model.score(frame))  # type: ignore[arg-type]


class Odd:
    """Answers of the right shape that say something else than their bare numbers."""

    masked = staticmethod(lambda frame: np.ma.masked_array(np.ones(len(frame), dtype=int), np.arange(len(frame)) < 3))
    shuffled = staticmethod(lambda frame: frame.sort_values("a")["b"].gt(0).astype(int))
    imaginary = staticmethod(lambda frame: np.ones(len(frame)) * 1j)


@pytest.mark.parametrize(
    ("answer", "says"),
    [(Odd.masked, "masks its answer for 3 of 200 rows"), (Odd.shuffled, "rows in another order"), (Odd.imaginary, "complex numbers")],
)
def test_an_answer_that_numpy_would_misread_is_refused(table: pd.DataFrame, answer: Any, says: str) -> None:
    def both(frame: pd.DataFrame) -> Any:
        return np.column_stack([answer(frame)] * 2) if answer is Odd.imaginary else answer(frame)

    model = CheckedModel(Query("test", ("a", "b"), ("0", "1"), answer, both), ("a", "b"), "1", "model.test")
    with pytest.raises(ModelError, match=says):
        model.predict(table)
    with pytest.raises(ModelError, match=says):
        model.score(table)


def test_an_answer_with_an_index_of_its_own_or_that_of_the_rows_is_taken_as_it_stands(table: pd.DataFrame) -> None:
    for own in (table.index, pd.RangeIndex(5_000, 5_000 + ROWS)):
        made = CheckedModel(
            Query("test", ("a", "b"), None, lambda frame, own=own: pd.Series(frame.a.to_numpy() > 0, index=own), None), ("a", "b"), "1", "model.test"
        )
        assert made.predict(table).tolist() == (table.a > 0).tolist()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_tree_per_iteration", "0"),
        ("num_tree_per_iteration", "-1"),  # ended the process when it was asked
        ("num_class", "1000000000"),
        ("objective", "multiclass num_class:2000000000"),
        ("objective", "multiclass num_class:1"),
        ("pandas_categorical", "[" * 5_000),
    ],
)
def test_a_lightgbm_header_that_cannot_be_is_refused_as_inconsistent(booster: lightgbm.LGBMClassifier, field: str, value: str) -> None:
    from rai_pipelines.subjects.lightgbm_text import checked_lightgbm_text

    text = booster.booster_.model_to_string()
    crafted = "\n".join(f"{field}{line[len(field)]}{value}" if line.startswith((f"{field}=", f"{field}:")) else line for line in text.split("\n"))
    assert crafted != text
    with pytest.raises(ModelError, match="is not a consistent LightGBM model"):
        checked_lightgbm_text(crafted, where="model.lgb")


@pytest.mark.parametrize("favourable", ["1", "true", "True"])
def test_a_model_of_truth_values_gives_the_score_of_true_however_the_datasheet_spells_it(
    tmp_path: Path, table: pd.DataFrame, favourable: str
) -> None:
    fitted = LogisticRegression().fit(table[["a", "b"]], table.y == 1)
    skops.io.dump(fitted, tmp_path / "model.skops")
    model = load_model_files(tmp_path, datasheet(favourable_outcome=favourable))
    assert model.score(table) == pytest.approx(fitted.predict_proba(table[["a", "b"]])[:, 1])


def test_an_error_keeps_the_name_of_a_library_that_is_not_there_and_no_value() -> None:
    absent = ModuleNotFoundError("No module named 'a_library'", name="a_library")
    assert without_values(str(absent), error=absent) == "No module named 'a_library'"
    assert without_values("could not convert 'Alice'", error=ValueError("could not convert 'Alice'")) == "could not convert '…'"
    forged = ModuleNotFoundError("No module named 'Alice Smith 123-45-6789'", name="Alice Smith 123-45-6789")
    assert without_values(str(forged), error=forged) == "No module named '…'"
