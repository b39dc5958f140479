"""Every test of a check asks it about excerpts: what a check reads without declaring it is not there."""

from __future__ import annotations

from typing import Any

import pytest

from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.excerpts import JudgedEvidence


@pytest.fixture(autouse=True)
def _checks_see_excerpts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Question.__init__

    def about_excerpts(question: Question, *values: Any, **named: Any) -> None:
        asked(question, *values, **named)
        digests = {name: item.digest for name, item in question.evidence.items()}
        excerpts = JudgedEvidence.of(question.evidence, digests, model_name="m", model_version="1").excerpts
        object.__setattr__(question, "evidence", {**question.evidence, **excerpts})

    monkeypatch.setattr(Question, "__init__", about_excerpts)
