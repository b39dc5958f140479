"""Policy files: the shipped one covers all cells, and a broken one is refused with its place."""

from pathlib import Path

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.load import read_policy, shipped_policy_path
from rai_pipelines.policy.model import Area, Tier
from rai_pipelines_tests.conftest import DAY


def test_the_shipped_policy_has_a_control_in_every_cell() -> None:
    policy = read_policy()
    assert policy.cells_without_control() == ()
    assert {(control.area, control.tier) for control in policy.controls} == {(area, tier) for area in Area for tier in Tier}


def test_the_shipped_policy_puts_in_force_only_what_this_version_can_judge() -> None:
    from rai_pipelines.policy.checks.registry import checks

    controls = read_policy().controls
    for control in controls:
        assert control.check in checks() or not control.in_force(DAY), control.id
    # budgets, properties, sources, reviewers, approvers and statements have to be there first; the law asks for oversight from a later day
    announced = [control.id for control in controls if control.check in checks() and not control.in_force(DAY)]
    assert announced == ["FAIR-B", "FAIR-A", "ACCT-S", "ACCT-A", "PRIV-S", "SAFE-S", "DATA-S", "MONI-B", "DOCS-A"]


def test_the_disparate_impact_band_is_four_fifths_and_its_reciprocal() -> None:
    control = read_policy().control("FAIR-S")
    assert control is not None
    assert list(control.threshold["impact_ratio"]) == [0.8, 1.25]


def test_comments_do_not_change_the_digest_and_thresholds_do(tmp_path: Path) -> None:
    text = shipped_policy_path().read_text(encoding="utf-8")
    commented, changed = tmp_path / "commented.yaml", tmp_path / "changed.yaml"
    commented.write_text("# more words\n" + text, encoding="utf-8")
    changed.write_text(text.replace("equalized_odds_difference_max: 0.10", "equalized_odds_difference_max: 0.11", 1), encoding="utf-8")
    assert read_policy(commented).digest == read_policy().digest
    assert read_policy(changed).digest != read_policy().digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("check: group_fairness", "check: group_fairnes", ["controls.1.check", "unknown check", "group_fairness", "accuracy_over_baseline"]),
        ("impact_ratio: [0.8, 1.25]", "impact_ratio: [1.25, 0.8]", ["threshold.impact_ratio", "upside down"]),
        ("tier: basic", "tier: lowest", ["controls.0.tier", "'basic', 'standard' or 'advanced'", "lowest"]),
        ("l_min: 2", "l_minimum: 2", ["l_minimum", "unknown field; allowed", "l_min"]),
        ("id: FAIR-S", "id: FAIR-B", ["FAIR-B appears twice"]),
        ("evidence: [bias_assessment]", "evidence: [performance_report]", ["reads bias_assessment"]),
        ("alpha: 0.05", "alpha: 5", ["statistics.alpha", "less than or equal to 0.2"]),
        ("review_by: 2027-11-01", "review_by: 2025-11-01", ["review_by must be later"]),
        ("review_by: 2027-11-01", "review_by: 2099-11-01", ["review_by must be within 1096 days"]),
        ("date: 2026-11-01, confidence: low", "confidence: low", ["provenance.date", "Field required"]),
        ("confidence: low", "confidence: certain", ["provenance.confidence", "'high', 'medium' or 'low'"]),
    ],
)
def test_a_broken_policy_is_refused_with_line_field_and_allowed_values(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    text = shipped_policy_path().read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "policy.yaml"
    broken = text.replace(old, new, 1)
    file.write_text(broken, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        read_policy(file)
    message = str(caught.value)
    assert f"{file}:" in message
    assert all(word in message for word in words), message


def test_the_line_in_the_message_is_the_line_of_the_mistake(tmp_path: Path) -> None:
    lines = shipped_policy_path().read_text(encoding="utf-8").splitlines()
    number = next(index for index, line in enumerate(lines) if "impact_ratio" in line)
    lines[number] = lines[number].replace("[0.8, 1.25]", "[1.25, 0.8]")
    file = tmp_path / "policy.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(PolicyError, match=f":{number + 1}: "):
        read_policy(file)


@pytest.mark.parametrize("value", [".inf", ".nan", "99999999999999999999999", "!!binary aGVsbG8="])
def test_a_value_that_has_no_digest_is_refused_in_every_control(tmp_path: Path, value: str) -> None:
    text = shipped_policy_path().read_text(encoding="utf-8")
    for number, old in enumerate(("prosecutor_risk_max: {internal: 0.2", "hops_encrypted_min: 1.0")):  # of a check, and of one that is planned
        path = tmp_path / f"policy-{number}.yaml"
        path.write_text(text.replace(old, old.rpartition(" ")[0] + f" {value}"), encoding="utf-8")
        with pytest.raises(PolicyError, match=rf"policy-{number}\.yaml:\d+: controls\.\d+"):
            read_policy(path)


def test_a_version_with_digits_of_another_script_is_no_version(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(shipped_policy_path().read_text(encoding="utf-8").replace("version: 1.0.0", 'version: "\uff11.0.0"'), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"policy\.version"):
        read_policy(path)
