"""One audit in plain Python: which assessments, in which order, from a model version to its verdict. Dagster's assets call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rai_pipelines.assessments.base import AuditContext, run_assessment, unmade_evidence
from rai_pipelines.assessments.budget import OnProgress, within_budget
from rai_pipelines.clock import utc_today
from rai_pipelines.errors import DatasheetError, EvidenceError, ModelError, RaiError, RegistryUnavailable, UnknownModelVersion
from rai_pipelines.evidence.model import Evidence, Receipt, Status
from rai_pipelines.evidence.store import EvidenceStore, LocalEvidenceStore
from rai_pipelines.policy.excerpts import EXCERPTS, JudgedEvidence
from rai_pipelines.policy.findings import Finding
from rai_pipelines.policy.load import policy_in_force
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.sequential import look_at
from rai_pipelines.policy.verdict import Asked, Verdict, judge, judge_control
from rai_pipelines.policy_record import standing_in
from rai_pipelines.settings import Settings
from rai_pipelines.steps import WATCHED, Step, assessment_of, budget_of, steps
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.find import find_subject
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.registry import ModelRegistry
from rai_pipelines.subjects.subject import LoadedModel, ModelLoader, Subject

VERDICT = "policy_verdict"
EARLIER_VERSIONS = 100  # looked through for the one that was audited before


@dataclass
class Auditor:
    """Everything one audit needs. Holds no state but a cache of the subject at hand.

    `month` is the one (`2026-11`) that the audit was asked for; `scope` is production where only what happens in use is measured anew.
    """

    settings: Settings
    registry: ModelRegistry
    store: EvidenceStore
    policy: Policy
    month: str | None = None
    scope: Literal["audit", "production"] = "audit"
    _contexts: dict[str, AuditContext] = field(default_factory=dict, repr=False)
    _models: dict[Path, LoadedModel | ModelError] = field(default_factory=dict, repr=False)

    def audit(
        self,
        version: ModelVersion,
        *,
        day: date | None = None,
        on_step: Callable[[Step, Evidence], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Verdict:
        """Measure `version` with every assessment and judge it.

        Raises:
            RegistryUnavailable, UnknownModelVersion: nothing could be found out; bad data, a bad datasheet or a bad model are findings.
        """
        for step in steps().values():
            evidence = self.measure(step.name, version, on_progress=on_progress)
            if on_step:
                on_step(step, evidence)
        return self.judge(version, day=day)

    def measure(self, step_name: str, version: ModelVersion, *, on_progress: OnProgress | None = None) -> Evidence:
        """Run one assessment within its budget, keep its evidence, and return it. `on_progress` hears how much was asked of the model."""
        step = steps()[step_name]
        try:
            collected, previous = self.collect(version, step.after), self._previous(version, step.name)
            context = replace(self.context(version), evidence=collected, previous=previous, month=self.month)
        except (RegistryUnavailable, UnknownModelVersion):
            raise
        except RaiError as error:
            evidence, seconds = self._unmade(step.name, version, error), 0.0
        else:
            budget = budget_of(step.name, self.policy, context.subject.datasheet.risk.risk_class)
            assess, parameters = assessment_of(step.name, self.policy, self.settings, budget)
            if budget is not None:
                assess = within_budget(assess, budget, step.title, on_progress)
            evidence, seconds = run_assessment(step.name, assess, context, parameters, inputs=step.tables)
        self.store.put(evidence, kind=step.name, folder=version.key, status=evidence.status, duration_s=seconds)
        return evidence

    def judge(self, version: ModelVersion, *, day: date | None = None) -> Verdict:
        """Judge `version` on its stored evidence, keep the verdict, and return it.

        Raises:
            EvidenceError: a look at production of a version that was not audited as it and the policy are now; nothing is judged then.
        """
        evidence = self.collect(version, tuple(steps()))
        absent = [name for name in steps() if name not in evidence and name not in WATCHED]
        if self.scope == "production" and absent:
            what = f"was not audited as it and the policy are now ({', '.join(absent)})"
            raise EvidenceError(what, where=str(version), hint=f"Audit it as a whole: rai audit {version}")
        today = day or utc_today()
        look = self._look(version, evidence.get("bias_assessment"), today)
        standing = standing_in(self.settings, self.policy, utc_today())
        digests = {name: item.digest for name, item in evidence.items()}
        named = {"model_name": version.name, "model_version": version.version}
        verdict = judge(self.policy, evidence, day=today, look=look, standing=standing, digests=digests, **named)
        excerpts = JudgedEvidence.of(evidence, digests, **named)
        self.store.put(excerpts, kind=EXCERPTS, folder=version.key, status=Status.COMPLETE)
        self.store.put(verdict, kind=VERDICT, folder=version.key, status=Status.COMPLETE)
        return verdict

    def close(self) -> None:
        """End the processes that models run in."""
        for model in self._models.values():
            close = getattr(model, "close", None)
            if close is not None:
                close()
        self._models.clear()

    def _load(self, folder: Path, datasheet: Datasheet) -> LoadedModel:
        """Load a model once for all assessments of its version; one that does not load is not tried again either, because trying takes time."""
        if folder not in self._models:
            try:
                self._models[folder] = model_loader(self.settings)(folder, datasheet)
            except ModelError as error:
                self._models[folder] = error
        found = self._models[folder]
        if isinstance(found, ModelError):
            raise ModelError(found.what, where=found.where, hint=found.hint) from found
        allow_restarts = getattr(found, "allow_restarts", None)
        if allow_restarts is not None:  # what one assessment did to the model is not the end of the others
            allow_restarts()
        return found

    def judge_controls(self, controls: Sequence[Control], version: ModelVersion, evidence: Evidence) -> list[Finding]:
        """Findings on one piece of evidence alone, as the verdict will have them."""
        record = self.store.latest_evidence("registry_record", version.key)
        facts = record.details if record else {}
        today = utc_today()
        asked = Asked(
            tier=self.policy.tiers.of(str(facts.get("risk_class"))),
            release_class=str(facts.get("release_class", "unknown")),
            day=today,
            look=self._look(version, evidence if evidence.assessment == "bias_assessment" else None, today),
        )
        reads = {control.id: control for control in self.policy.on(today)}
        return [judge_control(reads.get(control.id, control), self.policy, {evidence.assessment: evidence}, asked) for control in controls]

    def collect(self, version: ModelVersion, names: tuple[str, ...]) -> Mapping[str, Evidence]:
        """The newest evidence of these assessments that is about today's model, datasheet and policy; older evidence reads as absent."""
        found: dict[str, Evidence] = {}
        for name in names:
            evidence = self.store.latest_evidence(name, version.key)
            if evidence is not None and self._is_current(evidence, version):
                found[name] = evidence
        return found

    def context(self, version: ModelVersion) -> AuditContext:
        """The subject of `version`, fetched once."""
        if version.key not in self._contexts:
            subject = find_subject(
                version,
                registry=self.registry,
                scratch=self.settings.scratch_dir,
                subjects_folder=self.settings.subjects_path,
                data_folder=self.settings.data_path,
                loader=self._load,
            )
            self._contexts[version.key] = AuditContext(
                subject=subject,
                seed=self.settings.seed,
                scratch=self.settings.scratch_dir,
                policy=self.policy.label,
                policy_digest=self.policy.digest,
                table_memory_limit=self.settings.table_memory_limit,
                own_libraries=self.settings.model_environment == "own",
            )
        return self._contexts[version.key]

    def _look(self, version: ModelVersion, newest: Evidence | None, day: date) -> int:
        """Which look it is at the evaluation table of `newest` (absent: of the last assessment), among those of the year before `day`."""
        since = (day - timedelta(days=365)).isoformat()
        data = [
            self.store.get(receipt.digest, Evidence).provenance.data_digests.get("evaluation")
            for receipt in self.store.history(version.key)
            if receipt.assessment == "bias_assessment" and receipt.status is Status.COMPLETE and receipt.recorded_at >= since
        ]
        if newest is not None:
            data.append(newest.provenance.data_digests.get("evaluation"))
        return look_at(data)

    def _previous(self, version: ModelVersion, name: str) -> dict[str, Evidence]:
        """Complete evidence of that assessment about the nearest lower version number."""
        if not version.version.isdecimal():
            return {}
        newest = int(version.version) - 1
        for number in range(newest, max(-1, newest - EARLIER_VERSIONS), -1):
            found = self.store.latest_evidence(name, ModelVersion(version.name, str(number)).key)
            if found is not None and found.status is Status.COMPLETE:
                return {name: found}
        return {}

    def _unmade(self, name: str, version: ModelVersion, error: RaiError) -> Evidence:
        status = Status.MISSING if isinstance(error, DatasheetError) else Status.ERROR
        policy = self.policy
        return unmade_evidence(name, version, str(error), status=status, seed=self.settings.seed, policy=policy.label, policy_digest=policy.digest)

    def _is_current(self, evidence: Evidence, version: ModelVersion) -> bool:
        made_from = evidence.provenance
        if made_from.policy_digest != self.policy.digest:
            return False
        try:
            subject = self.context(version).subject
        except RaiError as error:
            if isinstance(error, RegistryUnavailable | UnknownModelVersion):
                raise
            return made_from.datasheet_digest is None
        same = made_from.model_digest == subject.model_digest and made_from.datasheet_digest == subject.datasheet.digest
        validated = evidence.assessment == "data_validation" and evidence.status is Status.COMPLETE
        return same and (not validated or _suites_are_current(evidence, subject))


def _suites_are_current(evidence: Evidence, subject: Subject) -> bool:
    """Whether the expectation files beside the datasheet are those that the tables were validated with; their edit changes no other digest."""
    from rai_pipelines.assessments.validation.chosen_suite import suite_files

    told: Any = evidence.details.get("suite_files")
    validated = {name: facts["digest"] for name, facts in (told or {}).items() if facts["digest"]}
    try:
        return validated == {name: file.digest for name, file in suite_files(subject, ("training", "evaluation")).items()}
    except RaiError:  # a file that cannot be read: the next validation says which
        return False


def build_auditor(settings: Settings, *, registry: ModelRegistry | None = None, store: EvidenceStore | None = None) -> Auditor:
    """An auditor as the settings say: their registry, local evidence store, and the policy in force.

    Raises:
        PolicyError: the policy file cannot be used.
    """
    return Auditor(
        settings=settings,
        registry=registry or model_registry(settings),
        store=store or LocalEvidenceStore(settings.evidence_dir),
        policy=policy_in_force(settings),
    )


def model_registry(settings: Settings) -> ModelRegistry:
    """The registry that the settings name: Weights & Biases for `wandb://…`, and else MLflow.

    Raises:
        SettingsError: a `wandb://` address that names no place.
    """
    if settings.registry_uri.startswith("wandb://"):
        from rai_pipelines.subjects.wandb_registry import WandbRegistry

        return WandbRegistry(settings.registry_uri, live_aliases=settings.live_aliases, live_tag=settings.live_tag)
    from rai_pipelines.subjects.mlflow_registry import MlflowRegistry

    return MlflowRegistry(settings.registry_uri, live_aliases=settings.live_aliases, live_tag=settings.live_tag, artifact_root=settings.artifact_root)


def model_loader(settings: Settings) -> ModelLoader:
    """Loads model files as far as the operator trusts them: in a confined process, or in this one."""
    trusted = {"trusted_skops_types": settings.trusted_skops_types, "trust_pickles": settings.trust_pickled_models}
    if settings.model_host == "in_process":
        from rai_pipelines.subjects.model_files import load_model_files

        return partial(load_model_files, **trusted)  # type: ignore[arg-type]
    from rai_pipelines.model_host.host import hosted_loader

    own = settings.environments_dir if settings.model_environment == "own" else None
    return hosted_loader(environments=own, **trusted)  # type: ignore[arg-type]


def latest_verdict(store: EvidenceStore, version: ModelVersion) -> tuple[Verdict, Receipt] | None:
    """The newest stored verdict on `version` and its receipt, or None when it was never judged."""
    receipt = store.latest(VERDICT, version.key)
    return (store.get(receipt.digest, Verdict), receipt) if receipt else None


def evidence_of(store: EvidenceStore, verdict: Verdict) -> dict[str, Evidence]:
    """The evidence that a verdict cites, by assessment name, each verified against its digest.

    Raises:
        EvidenceError: an object is absent or was altered.
    """
    digests = {name: digest for finding in verdict.findings for name, digest in finding.evidence.items()}
    found = {name: store.get(digest, Evidence) for name, digest in sorted(digests.items())}
    for name, item in found.items():
        if item.assessment != name:
            raise EvidenceError(f"is evidence of {item.assessment}, cited as {name}", where=digests[name])
    return found
