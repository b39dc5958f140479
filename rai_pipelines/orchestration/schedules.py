"""The monthly audit of every live version. The decision is in planning.py."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from rai_pipelines.orchestration.jobs import AUDIT_JOB
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.orchestration.planning import monthly_run_key, plan_monthly
from rai_pipelines.orchestration.resources import AuditorFactory
from rai_pipelines.orchestration.watch import judged_at_ms, run_request, run_states
from rai_pipelines.settings import Settings

# Due on the first of the month. The days after catch up what an outage of any length or a failed run prevented, and versions that come into use.
MONTHLY_CRON = "0 3 * * *"


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
            judged_at_ms=judged_at_ms(auditor.store, keys),
            max_attempts=settings.max_audit_attempts,
        )
        if not requests:
            return dg.SkipReason(f"All {len(keys)} live versions are audited for {month}, or under way")
        context.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [request.key for request in requests])
        return [run_request(request) for request in requests]

    return monthly_audits
