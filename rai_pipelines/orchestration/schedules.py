"""The monthly audit of every live version, and a daily look at production between two. The decisions are in planning.py."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from rai_pipelines.orchestration.jobs import AUDIT_JOB, WATCH_JOB
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.orchestration.planning import monthly_run_key, plan_monthly, plan_watch, watch_run_key
from rai_pipelines.orchestration.resources import AuditorFactory
from rai_pipelines.orchestration.watch import audited_at_ms, run_request, run_states, watchable
from rai_pipelines.settings import Settings

# Due on the first of the month. The days after catch up what an outage of any length or a failed run prevented, and versions that come into use.
MONTHLY_CRON = "0 3 * * *"
# Each day, and twice more for what failed or could not be found out.
WATCH_CRON = "30 4,10,16 * * *"


def build_monthly_schedule(make_auditor: AuditorFactory, settings: Settings) -> dg.ScheduleDefinition:
    """Audits every live version once a month; the month is a run tag."""

    @dg.schedule(
        name="monthly_audits",
        job_name=AUDIT_JOB,
        cron_schedule=MONTHLY_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Audits every live model version (alias champion or production, or stage tag) once a month.",
    )
    def monthly_audits(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        auditor = make_auditor()
        keys = [version.key for version in auditor.registry.live_versions()]  # an outage fails the tick; a later day catches up
        moment = context.scheduled_execution_time.astimezone(UTC)
        month = f"{moment:%Y-%m}"
        wanted = [monthly_run_key(key, month, attempt) for key in keys for attempt in range(1, settings.max_audit_attempts + 1)]
        requests = plan_monthly(
            keys,
            month=month,
            month_start_ms=int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp() * 1000),
            runs=run_states(context.instance, wanted),
            judged_at_ms=audited_at_ms(auditor.store, keys),
            max_attempts=settings.max_audit_attempts,
        )
        if not requests:
            return dg.SkipReason(f"All {len(keys)} live versions are audited for {month}, or under way")
        context.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [request.key for request in requests])
        return [run_request(request) for request in requests]

    return monthly_audits


def build_watch_schedule(make_auditor: AuditorFactory, settings: Settings) -> dg.ScheduleDefinition:
    """Looks at production of every live version once a day, where there is something to look at."""

    @dg.schedule(
        name="production_watch",
        job_name=WATCH_JOB,
        cron_schedule=WATCH_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks at production of every live version once a day: drift, fairness by window, human oversight. A verdict that gets worse "
        "revokes the approval, and where the policy enforces, the alias goes back to the newest approved version.",
    )
    def production_watch(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        auditor = make_auditor()
        live = [version.key for version in auditor.registry.live_versions()]
        keys = watchable(auditor, live, context.log)
        day = f"{context.scheduled_execution_time.astimezone(UTC):%Y-%m-%d}"
        wanted = [watch_run_key(key, day, attempt) for key in keys for attempt in range(1, settings.max_audit_attempts + 1)]
        requests = plan_watch(keys, day=day, runs=run_states(context.instance, wanted), max_attempts=settings.max_audit_attempts)
        if not requests:
            return dg.SkipReason(f"Of {len(live)} live versions {len(keys)} can be looked at, and all of these were today or are under way")
        context.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [request.key for request in requests])
        return [run_request(request) for request in requests]

    return production_watch
