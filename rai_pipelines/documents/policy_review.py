"""The document that a policy review reads: what the policy did since the last review, with what was not looked at. Markdown, HTML and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from rai_pipelines.documents.text import markdown_table, markdown_text
from rai_pipelines.evidence.canonical import canonical_json, digest_of
from rai_pipelines.evidence.model import Record
from rai_pipelines.evidence.store import write_atomically

REVIEW_FORMATS = ("html", "md", "json")


class ControlReview(Record):
    """One control over the newest verdicts of the period: versions by outcome, and how often its outcome changed between two verdicts."""

    control: str
    statement: str
    in_force: str
    outcomes: Mapping[str, int]
    changes: int


class VerdictChange(Record):
    """Two verdicts in a row on one version that differ. `under_another_policy` says that the policy changed in between."""

    model_name: str
    model_version: str
    on: date
    old: str
    new: str
    controls: tuple[str, ...]
    under_another_policy: bool


class WaiverFact(Record):
    """An exception: of the policy itself, or of one version's finding."""

    control: str
    about: str = Field(description="The policy, or a model version")
    reason: str
    until: date
    ended: bool


class IncidentFact(Record):
    """A case in the organisation's tracker, and what was learned from it."""

    id: str
    opened_on: date
    severity: str
    about: str
    title: str
    status: str
    lesson: str | None = None


class OpenChoice(Record):
    """A threshold whose owner is not sure of it."""

    control: str
    threshold: str
    value: str
    source: str
    confidence: str


class PolicyReviewDocument(Record):
    """What a review reads. `not_included` names what this document could not look at: an empty table then says nothing."""

    schema_version: Literal["rai.policy-review-document/v1"] = "rai.policy-review-document/v1"
    policy: str
    policy_digest: str
    owner: str
    since: date | None = Field(description="Day of the last review; null: everything that is kept")
    until: date
    due_on: date
    verdicts: int
    versions: int
    statuses: Mapping[str, int] = Field(description="Versions by their newest verdict of the period")
    controls: tuple[ControlReview, ...]
    changes: tuple[VerdictChange, ...]
    waivers: tuple[WaiverFact, ...]
    incidents: tuple[IncidentFact, ...]
    choices: tuple[OpenChoice, ...]
    not_included: tuple[str, ...]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over the canonical JSON of this record."""
        return digest_of(self)


def write_review(document: PolicyReviewDocument, folder: Path) -> dict[str, Path]:
    """Write the document in every format below `folder`, under policy and day; returns the paths by format."""
    place = folder / "review-documents" / document.policy.partition("@")[0] / document.until.isoformat()
    contents = {"json": canonical_json(document), "md": render_review(document).encode(), "html": render_review_html(document).encode()}
    paths = {form: place / f"policy_review.{form}" for form in REVIEW_FORMATS}
    for form, content in contents.items():
        write_atomically(paths[form], content)
    return paths


def was_written(document: PolicyReviewDocument, folder: Path) -> bool:
    """Whether the files that people read are those of the document, byte for byte."""
    place = folder / "review-documents" / document.policy.partition("@")[0] / document.until.isoformat()
    wanted = {"md": render_review(document).encode(), "html": render_review_html(document).encode()}
    try:
        return all((place / f"policy_review.{form}").read_bytes() == content for form, content in wanted.items())
    except OSError:
        return False


def newest_review_document(policy_id: str, folder: Path) -> PolicyReviewDocument | None:
    """The document written last about any version of the policy; None when there is none."""
    found = sorted((folder / "review-documents" / policy_id).glob("*/policy_review.json"))
    return PolicyReviewDocument.model_validate_json(found[-1].read_bytes()) if found else None


def render_review(document: PolicyReviewDocument) -> str:
    """The document as Markdown; every text that somebody declared is escaped."""
    lines = [f"# Review of {markdown_text(document.policy)}", "", *(f"{markdown_text(line)}" for line in _opening(document)), ""]
    for title, columns, rows, empty in _tables(document):
        lines += [f"## {title}", "", markdown_table(columns, rows) if rows else empty, ""]
    lines += ["## Not looked at", "", *(f"- {markdown_text(item)}" for item in document.not_included or ("nothing was left out",)), ""]
    lines += ["## To decide", "", *(f"- [ ] {markdown_text(item)}" for item in QUESTIONS), "", f"Document {document.digest}.", ""]
    return "\n".join(lines)


def render_review_html(document: PolicyReviewDocument) -> str:
    """The document as one HTML file without scripts or outside references."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rai_pipelines.documents", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("policy_review.html.j2")
    return template.render(document=document, opening=_opening(document), tables=list(_tables(document)), questions=QUESTIONS)


QUESTIONS = (
    "Is every control still needed, and is one missing",
    "Does a control that never fails ask for anything; is one that always fails right",
    "What would decide the controls that stay undecided: more data, or another threshold",
    "Which thresholds of low confidence can be settled now",
    "Do waivers and incidents show that the policy asks for the wrong thing",
    "Has the law changed (policy/versions/legal_dates.yaml)",
    "Outcome: kept, or to be changed (rai policy review --record)",
)


def _opening(document: PolicyReviewDocument) -> list[str]:
    since = f"since the last review on {document.since.isoformat()}" if document.since else "since records began: no review was recorded before"
    statuses = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in sorted(document.statuses.items())) or "none"
    return [
        f"Owner {document.owner}. The review is due by {document.due_on.isoformat()}. Assembled on {document.until.isoformat()}, {since}.",
        f"{document.verdicts} verdicts on {document.versions} model versions; by their newest verdict: {statuses}.",
    ]


def _tables(document: PolicyReviewDocument) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]], str]]:
    """Title, columns, rows, and what to say when there are none."""

    def outcomes(item: ControlReview) -> str:
        return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in sorted(item.outcomes.items())) or "no verdict"

    return [
        (
            "Controls",
            ("control", "asks", "in force", "newest outcomes by version", "changes"),
            [(item.control, item.statement, item.in_force, outcomes(item), str(item.changes)) for item in document.controls],
            "No control.",
        ),
        (
            "Verdicts that changed",
            ("version", "on", "old", "new", "controls", "policy changed"),
            [
                (
                    f"{item.model_name}/{item.model_version}",
                    item.on.isoformat(),
                    item.old.replace("_", " "),
                    item.new.replace("_", " "),
                    ", ".join(item.controls),
                    "yes" if item.under_another_policy else "no",
                )
                for item in document.changes
            ],
            "None.",
        ),
        (
            "Waivers",
            ("control", "of", "until", "ended", "reason"),
            [(item.control, item.about, item.until.isoformat(), "yes" if item.ended else "no", item.reason) for item in document.waivers],
            "None is known.",
        ),
        (
            "Incidents",
            ("case", "opened", "severity", "about", "what", "status", "lesson"),
            [
                (item.id, item.opened_on.isoformat(), item.severity, item.about, item.title, item.status, item.lesson or "none recorded")
                for item in document.incidents
            ],
            "None is known.",
        ),
        (
            "Thresholds to settle",
            ("control", "threshold", "value", "source", "confidence"),
            [(item.control, item.threshold, item.value, item.source, item.confidence) for item in document.choices],
            "None: the owner is sure of every threshold in force.",
        ),
    ]
