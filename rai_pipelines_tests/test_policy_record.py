"""How a policy stands in a workspace: without a database, with one, with files that somebody wrote, and where it cannot be found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from rai_pipelines.clock import utc_today
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.database.tables import decisions
from rai_pipelines.governance.decisions.signer import Signer
from rai_pipelines.governance.decisions.statement import Words
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.versions.published import publish
from rai_pipelines.policy.versions.standing import PolicyStatus
from rai_pipelines.policy_life.publication import publish_policy
from rai_pipelines.policy_record import standing_in
from rai_pipelines.settings import Settings
from rai_pipelines_tests.people import appoint

WORDS = Words(meaning="I read the whole policy, and it may be used")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path)
    appoint(made)
    return made


def status(settings: Settings) -> PolicyStatus:
    return standing_in(settings, read_policy(), utc_today()).status


def test_a_workspace_without_a_database_is_unpublished_and_no_database_is_made_for_it(settings: Settings) -> None:
    assert status(settings) is PolicyStatus.UNPUBLISHED
    assert not (settings.home_path / "governance").exists()


def test_a_published_file_without_a_database_behind_it_is_refused(settings: Settings) -> None:
    publish(read_policy(), settings.policies_path)
    assert status(settings) is PolicyStatus.REFUSED


def test_a_signed_publication_counts_until_nobody_can_tell_whose_signature_it_is(settings: Settings) -> None:
    publish_policy(read_policy(), settings, Signer("officer"), WORDS)
    assert status(settings) is PolicyStatus.PUBLISHED
    written = settings.people_path.read_text(encoding="utf-8")
    settings.people_path.write_text("people: [", encoding="utf-8")
    standing = standing_in(settings, read_policy(), utc_today())
    assert standing.status is PolicyStatus.REFUSED and "could not be found out" in str(standing.problem)
    settings.people_path.unlink()
    assert status(settings) is PolicyStatus.REFUSED
    settings.people_path.write_text(written, encoding="utf-8")
    assert status(settings) is PolicyStatus.PUBLISHED


def test_a_database_that_does_not_answer_is_no_leave(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database at all, and long enough to be looked at" * 40)
    broken = Settings(home=tmp_path, governance_url=f"sqlite:///{tmp_path / 'broken.db'}")
    assert status(broken) is PolicyStatus.REFUSED


def test_publications_deleted_with_their_files_do_not_make_it_development_again(settings: Settings) -> None:
    publish_policy(read_policy(), settings, Signer("officer"), WORDS)
    shutil.rmtree(settings.policies_path)
    engine = open_governance(settings)
    with engine.begin() as connection:
        for name in connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        assert connection.execute(decisions.delete()).rowcount == 1
    engine.dispose()
    assert status(settings) is PolicyStatus.REFUSED, "the ledger still says so"
