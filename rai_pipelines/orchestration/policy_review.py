"""The job that assembles the policy review, and the schedule that launches it in time. What is assembled is in policy_life/review.py."""

from datetime import UTC

import dagster as dg

from rai_pipelines.audit import Auditor
from rai_pipelines.errors import RaiError
from rai_pipelines.orchestration.jobs import TAG_RUN_KEY, TAG_TRIGGER
from rai_pipelines.orchestration.planning import plan_policy_review, policy_review_run_key
from rai_pipelines.orchestration.resources import AUDITOR
from rai_pipelines.orchestration.watch import run_states
from rai_pipelines.policy.load import policy_in_force
from rai_pipelines.policy.versions.reviews import review_due_on
from rai_pipelines.policy_record import last_signed_review
from rai_pipelines.settings import Settings

REVIEW_JOB = "assemble_policy_review"
DAILY_CRON = "30 4 * * *"  # looked at each day, launched once for each day that a review is due by


def build_policy_review_job() -> dg.JobDefinition:
    """Writes the review document of the policy in force."""

    @dg.op(required_resource_keys={AUDITOR}, description="Findings, waivers, incidents and changed verdicts since the last review, as a document.")
    def assemble(context: dg.OpExecutionContext) -> None:
        from rai_pipelines.policy_facts import RecordedFacts, open_review_case
        from rai_pipelines.policy_life.review import review_policy

        auditor: Auditor = getattr(context.resources, AUDITOR)
        try:
            document, paths = review_policy(auditor.policy, auditor.store, auditor.settings, RecordedFacts(auditor))
            number = open_review_case(auditor, document)
        except RaiError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        context.log.info("Review of %s, due by %s: %s (%s), case %s", document.policy, document.due_on, paths["html"], document.digest, number)

    @dg.job(
        name=REVIEW_JOB,
        executor_def=dg.in_process_executor,
        description="Assemble the document that the yearly review of the policy reads.",
        tags={"dagster/retry_on_asset_or_op_failure": "false"},
    )
    def assemble_policy_review() -> None:
        assemble()

    return assemble_policy_review


def build_policy_review_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Launches the job once for each day by which the policy has to be reviewed, some weeks before it."""

    @dg.schedule(
        name="policy_reviews",
        job_name=REVIEW_JOB,
        cron_schedule=DAILY_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Assembles the review document of the policy in force before its review is due.",
    )
    def policy_reviews(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        policy = policy_in_force(settings)
        due = review_due_on(policy.policy, last_signed_review(settings, policy))
        wanted = [policy_review_run_key(policy.label, due, attempt) for attempt in range(1, settings.max_audit_attempts + 1)]
        today = context.scheduled_execution_time.astimezone(UTC).date()
        attempt = plan_policy_review(policy.label, due, today, run_states(context.instance, wanted), max_attempts=settings.max_audit_attempts)
        if attempt is None:
            return dg.SkipReason(f"The review of {policy.label} is due by {due.isoformat()}: not yet, assembled, or under way")
        key = policy_review_run_key(policy.label, due, attempt)
        return dg.RunRequest(run_key=key, tags={TAG_TRIGGER: "policy_review", TAG_RUN_KEY: key})

    return policy_reviews
