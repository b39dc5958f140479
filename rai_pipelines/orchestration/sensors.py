"""New model versions launch audits, and a failed audit leaves a finding. The decisions are in planning.py."""

from __future__ import annotations

from typing import Any

import dagster as dg

from rai_pipelines.errors import InvalidName, RegistryUnavailable
from rai_pipelines.orchestration.jobs import AUDIT_JOB, WATCH_JOB
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.orchestration.planning import Seen, WatchState, plan_audits, run_key
from rai_pipelines.orchestration.resources import AuditorFactory
from rai_pipelines.orchestration.watch import announced_versions, judged_at_ms, run_request, run_states
from rai_pipelines.release import record_failed_run
from rai_pipelines.rounds import go_round
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion


def build_new_version_sensor(make_auditor: AuditorFactory, settings: Settings) -> dg.SensorDefinition:
    """Looks at the registry and launches one audit for every version that has none."""

    @dg.sensor(
        name="new_model_versions",
        job_name=AUDIT_JOB,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds versions newly registered in the model registry and launches one audit each, exactly once.",
    )
    def new_model_versions(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        auditor = make_auditor()
        state = WatchState.from_cursor(context.cursor)
        try:
            listed = auditor.registry.versions_since(state.look_from_ms, limit=settings.sensor_batch + len(state.seen))
        except RegistryUnavailable as error:  # an outage is not an empty registry: keep the cursor, look again next time
            return dg.SkipReason(f"The registry did not answer; nothing was changed. {error}")
        snapshot = [Seen(item.version.key, item.created_ms) for item in listed]
        announced = announced_versions(auditor, context.log)
        plan = plan_audits(
            snapshot,
            state,
            runs=run_states(context.instance, (run_key(key, item) for key, item in state.pending.items())),
            judged_at_ms=judged_at_ms(auditor.store, {item.key for item in (*snapshot, *announced)} | set(state.pending)),
            max_attempts=settings.max_audit_attempts,
            batch=settings.sensor_batch,
            announced=announced,
        )
        for key in plan.given_up:
            context.log.error("%s was not judged in %s runs; look at them and launch %s by hand", key, settings.max_audit_attempts, AUDIT_JOB)
        known = set(context.instance.get_dynamic_partitions(str(MODEL_VERSIONS.name)))
        new = [request.key for request in plan.requests if request.key not in known]
        return dg.SensorResult(
            run_requests=[run_request(request) for request in plan.requests],
            dynamic_partitions_requests=[MODEL_VERSIONS.build_add_request(new)] if new else [],
            cursor=plan.state.to_cursor(),
            skip_reason=None if plan.requests else f"Nothing new: {len(listed)} versions looked at, {len(plan.state.pending)} audits under way",
        )

    return new_model_versions


def build_round_sensor(make_auditor: AuditorFactory, settings: Settings) -> dg.SensorDefinition:
    """Does one round of what has to be done without anybody asking (rounds.py); launches nothing."""

    @dg.sensor(
        name="governance_rounds",
        target=None,
        minimum_interval_seconds=settings.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends approvals and waivers that have expired, notices versions in use that are not approved, and tells the registry and "
        "trackers what they have still to be told.",
    )
    def governance_rounds(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        report = go_round(make_auditor())
        for line in report.problems:
            context.log.warning("Not done, and tried again in the next round: %s", line)
        for line in report.bypasses:
            context.log.error("In use without approval: %s", line)
        for line in report.escalated:
            context.log.warning("Waited too long: %s", line)
        moved = "; ".join((*report.moved, *report.cases_moved)) or "nothing has moved"
        return dg.SkipReason(f"{moved}; {report.delivered} told, {len(report.problems)} to be tried again, {len(report.bypasses)} in use unapproved")

    return governance_rounds


def build_failure_sensor(make_auditor: AuditorFactory) -> dg.SensorDefinition:
    """Keeps the failure of an audit run as a finding."""

    @dg.run_failure_sensor(
        name="failed_audits",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Records an audit run that failed as evidence with status error and in the registry's tags: no result is not silence.",
    )
    def failed_audits(context: dg.RunFailureSensorContext) -> Any:
        if context.dagster_run.job_name not in (AUDIT_JOB, WATCH_JOB):
            return dg.SkipReason(f"{context.dagster_run.job_name} is not an audit")
        key = context.dagster_run.tags.get("dagster/partition")
        try:
            version = ModelVersion.from_key(key or "")
        except InvalidName as error:
            return dg.SkipReason(f"The run names no model version. {error}")
        try:
            record_failed_run(make_auditor(), version, f"Audit run {context.dagster_run.run_id} failed: {context.failure_event.message}")
        except RegistryUnavailable as error:
            context.log.error("The failure is kept as evidence, but the registry was not told: %s", error)
        return None

    return failed_audits
