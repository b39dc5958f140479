"""Assemble the code location. Every part that touches the outside is made from `settings`, so that a test swaps it there."""

from __future__ import annotations

import dagster as dg

from rai_pipelines.orchestration.assets import build_assets
from rai_pipelines.orchestration.jobs import build_audit_job, build_watch_job
from rai_pipelines.orchestration.policy_review import build_policy_review_job, build_policy_review_schedule
from rai_pipelines.orchestration.resources import AUDITOR, AuditorFactory, auditor_factory, auditor_resource
from rai_pipelines.orchestration.schedules import build_monthly_schedule, build_watch_schedule
from rai_pipelines.orchestration.sensors import build_failure_sensor, build_new_version_sensor, build_round_sensor
from rai_pipelines.policy.load import policy_in_force
from rai_pipelines.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None, *, make_auditor: AuditorFactory | None = None) -> dg.Definitions:
    """All definitions of the code location.

    Raises:
        PolicyError, SettingsError: the code location must not load under a policy or an environment that cannot be used.
    """
    chosen = settings or load_settings()
    make = make_auditor or auditor_factory(chosen)
    return dg.Definitions(
        assets=build_assets(policy_in_force(chosen)),
        jobs=[build_audit_job(), build_watch_job(), build_policy_review_job()],
        sensors=[build_new_version_sensor(make, chosen), build_failure_sensor(make), build_round_sensor(make, chosen)],
        schedules=[build_monthly_schedule(make, chosen), build_watch_schedule(make, chosen), build_policy_review_schedule(chosen)],
        resources={AUDITOR: auditor_resource(make)},
    )
