"""The gate against a real MLflow registry: tags say the verdict, and only the newest compliant version holds the alias."""

from pathlib import Path

import pytest

from rai_pipelines.errors import RegistryUnavailable
from rai_pipelines.governance.gate import COMPLIANT_ALIAS, TAG_VERDICT, Decision, apply_gate, plan_alias, tag_failed_audit
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.verdict import Verdict, VerdictStatus, judge
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import DAY


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    return MlflowRegistry(f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}")


def verdict_on(version: ModelVersion, status: VerdictStatus) -> Verdict:
    judged = judge(read_policy(), {}, model_name=version.name, model_version=version.version, day=DAY)
    return judged.model_copy(update={"status": status})


def two_versions(registry: MlflowRegistry, name: str, folder: Path) -> tuple[ModelVersion, ModelVersion]:
    return registry.register(name, folder), registry.register(name, folder)


def test_tags_name_verdict_policy_and_evidence(registry: MlflowRegistry, tmp_path: Path) -> None:
    version, _ = two_versions(registry, "tags", tmp_path)
    verdict = verdict_on(version, VerdictStatus.NON_COMPLIANT)
    record = apply_gate(verdict, registry)
    tags = registry.get(version).tags
    assert tags[TAG_VERDICT] == "non_compliant"
    assert tags["rai.policy"] == f"{verdict.policy} {verdict.policy_digest}"
    assert tags["rai.evidence"] == verdict.digest
    assert record.decision is Decision.BLOCK


def test_the_alias_goes_to_the_newest_compliant_version_and_an_older_one_does_not_take_it_back(registry: MlflowRegistry, tmp_path: Path) -> None:
    first, second = two_versions(registry, "alias", tmp_path)
    assert apply_gate(verdict_on(first, VerdictStatus.COMPLIANT), registry).alias == "set"
    assert apply_gate(verdict_on(second, VerdictStatus.COMPLIANT), registry).alias == "set"
    assert registry.aliases("alias")[COMPLIANT_ALIAS] == second.version
    assert apply_gate(verdict_on(first, VerdictStatus.COMPLIANT), registry).alias == "left_with_newer"
    assert apply_gate(verdict_on(second, VerdictStatus.COMPLIANT), registry).alias == "kept"


def test_a_version_that_is_no_longer_compliant_loses_the_alias(registry: MlflowRegistry, tmp_path: Path) -> None:
    version, _ = two_versions(registry, "lost", tmp_path)
    apply_gate(verdict_on(version, VerdictStatus.COMPLIANT), registry)
    assert apply_gate(verdict_on(version, VerdictStatus.NEEDS_REVIEW), registry).alias == "removed"
    assert COMPLIANT_ALIAS not in registry.aliases("lost")


@pytest.mark.parametrize("status", [VerdictStatus.NEEDS_REVIEW, VerdictStatus.NON_COMPLIANT])
def test_what_is_not_compliant_never_gets_the_alias(registry: MlflowRegistry, tmp_path: Path, status: VerdictStatus) -> None:
    version, _ = two_versions(registry, f"never {status}", tmp_path)
    assert apply_gate(verdict_on(version, status), registry).alias == "not_set"
    assert plan_alias(status, version, "999", lambda _: 0) == "not_set"


def test_a_failed_audit_is_said_and_an_earlier_verdict_stands(registry: MlflowRegistry, tmp_path: Path) -> None:
    judged, never = two_versions(registry, "failed", tmp_path)
    apply_gate(verdict_on(judged, VerdictStatus.COMPLIANT), registry)
    tag_failed_audit(judged, registry, judged_before=True)
    tag_failed_audit(never, registry, judged_before=False)
    assert registry.get(judged).tags | {"rai.audit": "failed", TAG_VERDICT: "compliant"} == registry.get(judged).tags
    assert registry.get(never).tags[TAG_VERDICT] == "could_not_audit"


def test_a_registry_that_is_down_is_an_error_and_not_a_decision() -> None:
    down = MlflowRegistry("http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable):
        apply_gate(verdict_on(ModelVersion("m", "1"), VerdictStatus.COMPLIANT), down)
