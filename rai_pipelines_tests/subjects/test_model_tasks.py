"""Tasks run next to the model: only functions of this package, and nothing but data comes back."""

from __future__ import annotations

import pytest

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.model_files import CheckedModel
from rai_pipelines.subjects.model_formats import Query
from rai_pipelines.subjects.model_tasks import run_task


@pytest.fixture
def model() -> CheckedModel:
    query = Query(flavor="test", features=None, classes=None, predict=lambda frame: frame, probabilities=None, native=object())
    return CheckedModel(query, ("income",), "1", "model.bin")


@pytest.mark.parametrize("task", ["os:system", "rai_pipelines.errors:_private", "rai_pipelines.errors:nothing_here", "rai_pipelines.errors", "x y:z"])
def test_nothing_outside_this_package_is_called_by_name(model: CheckedModel, task: str) -> None:
    with pytest.raises(ValueError, match="no task"):
        run_task(task, model, {}, {})


def test_a_task_that_breaks_on_the_model_is_the_model_s_error_and_names_the_task(model: CheckedModel) -> None:
    with pytest.raises(ModelError, match=r"fails in digest_of \(TypeError"):
        model.run("rai_pipelines.evidence.canonical:digest_of", {}, {})
