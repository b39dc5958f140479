"""Dates of laws are data with sources; controls name them."""

from datetime import date
from pathlib import Path

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.load import read_policy, shipped_policy_path
from rai_pipelines.policy.versions.legal_dates import legal_dates


def test_every_legal_date_names_its_law_and_how_it_was_verified() -> None:
    for name, item in legal_dates().items():
        assert item.law and item.verified.how, name
        assert item.before is None or item.before.day != item.day


def test_the_days_of_the_ai_act_are_those_of_its_article_113_as_amended() -> None:
    assert legal_dates()["eu-ai-act-general-application"].day == date(2026, 8, 2)
    high_risk = legal_dates()["eu-ai-act-high-risk-annex-iii"]
    assert (high_risk.day, high_risk.before.day if high_risk.before else None) == (date(2027, 12, 2), date(2026, 8, 2))
    assert "2026/1744" in high_risk.law and high_risk.verified.confidence == "medium"


def test_a_control_takes_its_day_from_the_law_it_names() -> None:
    control = read_policy().control("DOCS-A")
    assert control is not None
    assert (control.legal_date, control.effective_from) == ("eu-ai-act-high-risk-annex-iii", date(2027, 12, 2))


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("effective_from: {legal_date: eu-ai-act-someday}", "known: eu-ai-act-entry-into-force"),
        ("effective_from: 2030-01-01\n    legal_date: eu-ai-act-high-risk-annex-iii", "is not the day of a legal date"),
        ("effective_from: {law: gdpr}", "effective_from"),
    ],
)
def test_a_date_that_no_law_sets_is_refused_with_its_line(tmp_path: Path, new: str, words: str) -> None:
    old = "effective_from: {legal_date: eu-ai-act-high-risk-annex-iii}"
    text = shipped_policy_path().read_text(encoding="utf-8")
    file = tmp_path / "policy.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"policy\.yaml:\d+: ") as caught:
        read_policy(file)
    assert words in str(caught.value)
