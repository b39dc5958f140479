"""What people signed about a policy, read from the governance database: whether it was published, and when it was reviewed last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rai_pipelines.assessments.base import Assess, AuditContext, Measured
from rai_pipelines.assessments.oversight.policy_review import PolicyReviewParameters, policy_review_measured
from rai_pipelines.errors import DatabaseError, KeyProblem, PeopleError
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.versions.published import any_published
from rai_pipelines.policy.versions.reviews import PolicyReview, review_due_on
from rai_pipelines.policy.versions.standing import PolicyStanding, PolicyStatus
from rai_pipelines.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from rai_pipelines.governance.decisions.store import DecisionBook


def standing_in(settings: Settings, policy: Policy, today: date) -> PolicyStanding:
    """Whether `policy` may approve anything here on that day; what cannot be found out is refused."""
    from rai_pipelines.governance.decisions.publications import ever_published, publications, standing_of

    files = any_published(settings.policies_path)
    if not _has_database(settings) and not files:
        return PolicyStanding()
    try:
        with open_book(settings) as (connection, book):
            found = publications(connection, book)
            return standing_of(policy, found, today, files=files or (not found.any and ever_published(connection)))
    except (DatabaseError, PeopleError, KeyProblem) as error:
        problem = f"Whether {policy.label} was published could not be found out ({error}): nothing is approved under it"
        return PolicyStanding(status=PolicyStatus.REFUSED, problem=problem)


def last_signed_review(settings: Settings, policy: Policy) -> PolicyReview | None:
    """The latest review of any version of the policy by somebody whom the policy lets record it; None when there is none.

    Raises:
        DatabaseError, PeopleError, KeyProblem: it cannot be found out.
    """
    from rai_pipelines.governance.decisions.publications import DOCUMENT, policy_reviews

    if not _has_database(settings):
        return None
    with open_book(settings) as (connection, book):
        found = policy_reviews(connection, book, policy)
    if not found:
        return None
    decision = found[-1].decision
    return PolicyReview(
        policy=f"{policy.policy.id}@{decision.model_version}",
        policy_digest=decision.subject,
        reviewed_on=found[-1].recorded_at.date(),
        outcome="kept" if decision.review == "kept" else "to_be_changed",
        document_digest=decision.binding[DOCUMENT],
        decision=found[-1].id,
    )


def policy_review_assessment(settings: Settings, policy: Policy) -> Assess:
    """`assess_policy_review` on the governance database that `settings` name."""
    return partial(assess_policy_review, settings=settings, policy=policy)


def assess_policy_review(_: AuditContext, __: PolicyReviewParameters, *, settings: Settings, policy: Policy) -> Measured:
    """By when the policy has to be reviewed. The day is a fact; whether it has passed is judged on the day of the verdict.

    Raises:
        DatabaseError, PeopleError, KeyProblem: it cannot be found out.
    """
    last = last_signed_review(settings, policy)
    return policy_review_measured(
        due_on=review_due_on(policy.policy, last),
        last_reviewed_on=None if last is None else last.reviewed_on,
        decision=None if last is None else last.decision,
    )


@contextmanager
def open_book(settings: Settings) -> Iterator[tuple[sa.Connection, DecisionBook]]:
    """A connection that only reads, and the book of decisions, of the governance database that `settings` name.

    Raises:
        DatabaseError, PeopleError, KeyProblem: the database, the people's file or a key cannot be used.
    """
    from rai_pipelines.governance.database.engine import answering, open_governance, reading
    from rai_pipelines.governance.decisions.store import DecisionBook
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.governance.people.directory import read_directory

    engine = open_governance(settings)
    try:
        with answering(engine), reading(engine) as connection:
            yield connection, DecisionBook(Ledger(engine), read_directory(settings.people_path), read_public_keys(settings.keys_path))
    finally:
        engine.dispose()


def _has_database(settings: Settings) -> bool:
    """The embedded database is made when it is first written; until then nothing was signed here."""
    return settings.governance_url is not None or Path(settings.governance_database.removeprefix("sqlite:///")).exists()
