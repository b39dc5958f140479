"""A policy review looks at everything since the last one, says what it could not look at, and counts only when somebody recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rai_pipelines.documents.policy_review import IncidentFact, WaiverFact, newest_review_document, render_review, render_review_html, write_review
from rai_pipelines.errors import PeopleError, PolicyError
from rai_pipelines.evidence import store as store_module
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.decisions.signer import Signer
from rai_pipelines.governance.decisions.statement import Words
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import judge
from rai_pipelines.policy.versions.reviews import PolicyReview, review_due_on
from rai_pipelines.policy_life import review as review_module
from rai_pipelines.policy_life.review import assemble_review, record_review, review_policy
from rai_pipelines.policy_record import last_signed_review
from rai_pipelines.settings import Settings
from rai_pipelines.steps import assessment_of
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import DAY, evidence
from rai_pipelines_tests.people import appoint
from rai_pipelines_tests.policy.policies import changed, extension, override, written
from rai_pipelines_tests.policy.test_verdict import good_evidence

HOSTILE = "<img src=x onerror=alert(1)> | [x](javascript:alert(2))\n- [x] approved"
SIGNED = (Signer("officer"), Words(meaning="I read the document, and the policy stays as it is"))
BROKEN = {"bias_assessment": evidence("bias_assessment", status=Status.ERROR, reason="no such column")}


class NoFacts:
    """Where neither waivers of findings nor incidents are recorded."""

    def waivers_since(self, since: date | None) -> None:
        """Nothing is known."""

    def incidents_since(self, since: date | None) -> None:
        """Nothing is known."""


class Facts:
    """What the keepers of waivers and incidents hand in."""

    def waivers_since(self, since: date | None) -> list[WaiverFact]:
        return [WaiverFact(control="FAIR-S", about="m/1", reason=HOSTILE, until=date(2027, 1, 31), ended=False)]

    def incidents_since(self, since: date | None) -> list[IncidentFact]:
        about = {"about": "m/1", "title": HOSTILE, "status": "closed", "lesson": "measure weekly"}
        return [IncidentFact(id="INC-7", opened_on=date(2026, 12, 24), severity="high", **about)]


@pytest.fixture
def store(tmp_path: Path) -> LocalEvidenceStore:
    return LocalEvidenceStore(tmp_path / "home" / "evidence")


def judged(
    store: LocalEvidenceStore,
    monkeypatch: pytest.MonkeyPatch,
    on: date,
    changes: Mapping[str, Evidence],
    policy: Policy | None = None,
    name: str = "m",
) -> None:
    """A verdict on the version 1 of a model that was stored on that day."""
    monkeypatch.setattr(store_module, "utc_now", lambda: datetime(on.year, on.month, on.day, 12, tzinfo=UTC))
    version = ModelVersion(name, "1")
    verdict = judge(policy or read_policy(), {**good_evidence(), **changes}, model_name=name, model_version="1", day=DAY)
    store.put(verdict, kind="policy_verdict", folder=version.key, status=Status.COMPLETE)


def assembled(store: LocalEvidenceStore, since: date | None = None, facts: object = None) -> review_module.PolicyReviewDocument:
    chosen = facts or NoFacts()
    return assemble_review(read_policy(), store, since=since, until=date(2027, 10, 15), due_on=date(2027, 11, 1), facts=chosen)  # type: ignore[arg-type]


def test_changed_verdicts_are_listed_with_the_controls_and_whether_the_policy_changed(
    store: LocalEvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(store, monkeypatch, date(2026, 12, 1), {})
    judged(store, monkeypatch, date(2027, 1, 1), {})
    judged(store, monkeypatch, date(2027, 2, 1), BROKEN)
    judged(store, monkeypatch, date(2027, 3, 1), {}, changed("FAIR-S", severity="medium"))
    judged(store, monkeypatch, date(2027, 3, 1), {}, name="n")
    document = assembled(store)
    assert (document.verdicts, document.versions, dict(document.statuses)) == (5, 2, {"compliant": 2})
    broke, mended = document.changes
    assert (broke.on, broke.old, broke.new, broke.controls, broke.under_another_policy) == (
        date(2027, 2, 1), "compliant", "non_compliant", ("FAIR-S",), False,
    )  # fmt: skip
    assert mended.under_another_policy and mended.controls == ("FAIR-S",)
    fairness = next(item for item in document.controls if item.control == "FAIR-S")
    assert (dict(fairness.outcomes), fairness.changes) == ({"pass": 2}, 2)


def test_only_the_time_since_the_last_review_counts_and_a_change_across_it_is_seen(
    store: LocalEvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(store, monkeypatch, date(2026, 12, 1), BROKEN)
    judged(store, monkeypatch, date(2027, 1, 1), {})
    judged(store, monkeypatch, date(2027, 2, 1), BROKEN)
    judged(store, monkeypatch, date(2027, 12, 1), {})  # after the day of the document
    document = assembled(store, since=date(2027, 1, 15))
    assert (document.verdicts, len(document.changes), document.changes[0].on) == (1, 1, date(2027, 2, 1))
    assert assembled(store, since=date(2027, 3, 1)).versions == 0


def test_what_is_not_recorded_is_said_and_what_is_handed_in_is_shown(store: LocalEvidenceStore) -> None:
    assert len(assembled(store).not_included) == 2
    assert "incidents are not recorded" in render_review(assembled(store))
    told = assembled(store, facts=Facts())
    assert told.not_included == () and told.incidents[0].lesson == "measure weekly"


def test_waivers_of_the_policy_itself_and_thresholds_of_low_confidence_are_listed(store: LocalEvidenceStore, tmp_path: Path) -> None:
    waiver = {"control": "PRIV-B", "fields": ["threshold.k_min"], "until": "2027-02-01", "reason": "the old portfolio is being recoded"}
    file = written(tmp_path, extension(overrides=[override("PRIV-B", threshold={"k_min": {"internal": 4}})], waivers=[waiver]))
    made = assemble_review(read_policy(file), store, since=None, until=date(2027, 3, 1), due_on=date(2027, 12, 1), facts=NoFacts())
    assert [(item.control, item.ended) for item in made.waivers] == [("PRIV-B", True)]
    assert ("FAIR-S", "equalized_odds_difference_max") in [(item.control, item.threshold) for item in made.choices]
    assert "impact_ratio" not in [item.threshold for item in made.choices if item.control == "FAIR-S"], "that one has a source of its own"


class Page(HTMLParser):
    """Tags and event handlers of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_text_that_somebody_declared_is_only_text(store: LocalEvidenceStore, tmp_path: Path) -> None:
    document = assembled(store, facts=Facts())
    page = Page(render_review_html(document))
    assert not page.handlers and not page.tags & {"script", "img", "iframe", "form", "link"}
    text = render_review(document)
    assert "<img" not in text and "](javascript" not in text and "\n- [x]" not in text
    paths = write_review(document, tmp_path)
    assert newest_review_document("rai-default", tmp_path) == document
    assert document.digest in paths["html"].read_text(encoding="utf-8")


def test_a_review_counts_when_its_document_was_read_and_somebody_signed_for_it(store: LocalEvidenceStore, tmp_path: Path) -> None:
    settings, policy = Settings(home=tmp_path / "home"), read_policy()
    appoint(settings)
    with pytest.raises(PolicyError, match="has no review document"):
        record_review(policy, settings, "kept", *SIGNED)
    document, _ = review_policy(policy, store, settings, NoFacts())
    with pytest.raises(PolicyError, match="newest document is about"):
        record_review(changed("FAIR-S", tier="basic"), settings, "kept", *SIGNED)
    with pytest.raises(PeopleError, match="nobody in the file"):
        record_review(policy, settings, "kept", Signer("nobody"), SIGNED[1])
    assert last_signed_review(settings, policy) is None, "assembling is not reading"
    review = record_review(policy, settings, "kept", *SIGNED)
    assert (review.document_digest, last_signed_review(settings, policy)) == (document.digest, review)
    engine = open_governance(settings)
    (entry,) = Ledger(engine).entries()
    engine.dispose()
    assert (entry.kind, entry.body["decided"], entry.body["review"]) == ("decision", "review_policy", "kept")
    assert entry.body["about"] == {"document": document.digest} and entry.body["decision"] == review.decision
    assert review_due_on(policy.policy, review) > policy.policy.review_by
    settings.people_path.unlink()
    assert last_signed_review(settings, policy) is None, "whose signature it is can no longer be told"


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_nobody_signs_for_a_document_that_was_changed_in_one_of_its_forms(store: LocalEvidenceStore, tmp_path: Path, form: str) -> None:
    settings, policy = Settings(home=tmp_path / "home"), read_policy()
    appoint(settings)
    _, paths = review_policy(policy, store, settings, NoFacts())
    paths[form].write_bytes(paths[form].read_bytes().replace(b"2027", b"2037"))
    with pytest.raises(PolicyError, match="is not what its JSON says"):
        record_review(policy, settings, "kept", *SIGNED)


def test_a_record_that_somebody_wrote_as_a_file_is_no_review(tmp_path: Path) -> None:
    settings, policy = Settings(home=tmp_path), read_policy()
    appoint(settings)
    open_governance(settings).dispose()
    made = {"policy": policy.label, "policy_digest": policy.digest, "reviewed_on": "2027-10-01", "outcome": "kept"}
    written = PolicyReview(**made, document_digest="sha256:" + "0" * 64, decision="sha256:" + "1" * 64)  # type: ignore[arg-type]
    folder = settings.policies_path / "reviews" / policy.policy.id
    folder.mkdir(parents=True)
    (folder / "2027-10-01-000000000000.json").write_text(written.model_dump_json(), encoding="utf-8")
    assess, parameters = assessment_of("policy_review", policy, settings)
    details = assess(None, parameters).details  # type: ignore[arg-type]
    assert (details["due_on"], details["last_reviewed_on"]) == ("2027-11-01", None)


def test_an_old_document_is_no_ground_for_a_review(store: LocalEvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home")
    monkeypatch.setattr(review_module, "utc_today", lambda: date(2026, 12, 1))
    review_policy(read_policy(), store, settings, NoFacts())
    monkeypatch.setattr(review_module, "utc_today", lambda: date(2027, 3, 1))
    with pytest.raises(PolicyError, match="older than 60 days"):
        record_review(read_policy(), settings, "kept", *SIGNED)
