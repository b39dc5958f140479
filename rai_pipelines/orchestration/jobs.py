"""The two jobs about one model version: a whole audit, and a look at production between two. Scale comes from more runs, not parallel steps."""

from __future__ import annotations

import dagster as dg

from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.steps import WATCHED

AUDIT_JOB = "audit_model_version"
WATCH_JOB = "watch_production"
MAX_RUNTIME_S = 3600

TAG_MODEL, TAG_VERSION, TAG_TRIGGER, TAG_RUN_KEY, TAG_MONTH, TAG_ATTEMPT = (
    "rai/model",
    "rai/version",
    "rai/trigger",
    "rai/run_key",
    "rai/month",
    "rai/attempt",
)


def build_audit_job() -> dg.UnresolvedAssetJobDefinition:
    """Every asset for one partition, in process: each step would otherwise import the heavy libraries again."""
    return dg.define_asset_job(
        AUDIT_JOB,
        selection=dg.AssetSelection.all(),
        partitions_def=MODEL_VERSIONS,
        executor_def=dg.in_process_executor,
        description="Audit one model version: measure, judge, write the card, apply the gate.",
        tags={"dagster/max_runtime": MAX_RUNTIME_S, "dagster/retry_on_asset_or_op_failure": "false"},
    )


def build_watch_job() -> dg.UnresolvedAssetJobDefinition:
    """What happens in use, measured anew for one partition; the verdict takes everything else as the newest audit left it."""
    return dg.define_asset_job(
        WATCH_JOB,
        selection=dg.AssetSelection.assets(*WATCHED, "policy_verdict", "model_card", "technical_documentation", "release_gate"),
        partitions_def=MODEL_VERSIONS,
        executor_def=dg.in_process_executor,
        description="Look at a version in use between two audits: drift, fairness by window, human oversight; judge it again, and apply the gate.",
        tags={"dagster/max_runtime": MAX_RUNTIME_S, "dagster/retry_on_asset_or_op_failure": "false"},
    )
