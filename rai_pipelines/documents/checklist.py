"""The pre-deployment checklist of a model version: what stored evidence answers, what has to be mended, and what only a person can say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from rai_pipelines.documents.text import markdown_text
from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.findings import Finding, FindingStatus
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.rehearsal.explanation import if_red
from rai_pipelines.policy.verdict import Verdict, relaxed_words
from rai_pipelines.subjects.datasheet import Datasheet

Section = Literal["answered", "mend", "person", "not_asked"]
TITLES: dict[Section, str] = {
    "answered": "Answered by evidence",
    "mend": "Not met, not measured, or in error",
    "person": "For a person to decide and sign",
    "not_asked": "Not asked of this version",
}


class ChecklistItem(Record):
    """One line. `evidence` are the digests that an answer rests on; `action` is what to do about an open line."""

    section: Section
    control: str | None = None
    text: str
    done: bool
    action: str | None = None
    evidence: tuple[str, ...] = ()


class Checklist(Record):
    """`rai policy checklist --json`. `open` counts lines that are not done; a person's lines are never done by evidence."""

    schema_version: Literal["rai.checklist/v1"] = "rai.checklist/v1"
    model_name: str
    model_version: str
    policy: str
    policy_digest: str
    verdict: str
    verdict_digest: str
    notes: tuple[str, ...] = Field(description="What has changed since the verdict")
    open: int
    items: tuple[ChecklistItem, ...]


def build_checklist(verdict: Verdict, policy: Policy, datasheet: Datasheet | None) -> Checklist:
    """The checklist that follows from the newest verdict, the policy in force and the datasheet (None when there is no usable one)."""
    controls = {control.id: control for control in policy.on(verdict.judged_for)}
    items = [
        _line(finding, controls.get(finding.control), relaxed_words(finding.control, policy, verdict.judged_for)) for finding in verdict.findings
    ]
    items += list(_for_a_person(datasheet))
    order = list(TITLES)
    notes = []
    if verdict.policy_digest != policy.digest:
        notes.append(f"The verdict was given under {verdict.policy} {verdict.policy_digest}; {policy.label} {policy.digest} is in force: audit again")
    if datasheet is not None and datasheet.digest != verdict.datasheet_digest:
        notes.append("The datasheet was edited after the verdict: audit again")
    return Checklist(
        model_name=verdict.model_name,
        model_version=verdict.model_version,
        policy=verdict.policy,
        policy_digest=verdict.policy_digest,
        verdict=verdict.status.value,
        verdict_digest=verdict.digest,
        notes=tuple(notes),
        open=sum(not item.done and item.section != "not_asked" for item in items),
        items=tuple(sorted(items, key=lambda item: order.index(item.section))),
    )


def render_checklist(checklist: Checklist) -> str:
    """The checklist as Markdown with boxes; every declared text is escaped."""
    lines = [f"# Before {markdown_text(checklist.model_name)}, version {markdown_text(checklist.model_version)}, is deployed", ""]
    lines += [f"Verdict: **{checklist.verdict.replace('_', ' ')}** under {markdown_text(checklist.policy)}. {checklist.open} lines are open.", ""]
    lines += [f"> {markdown_text(note)}" for note in checklist.notes] + ([""] if checklist.notes else [])
    for section, title in TITLES.items():
        found = [item for item in checklist.items if item.section == section]
        if not found:
            continue
        lines += [f"## {title}", ""]
        for item in found:
            box = "" if section == "not_asked" else ("[x] " if item.done else "[ ] ")
            name = f"**{markdown_text(item.control)}** " if item.control else ""
            action = f" *To do: {markdown_text(item.action)}.*" if item.action else ""
            digests = f" Evidence: {', '.join(markdown_text(digest) for digest in item.evidence)}." if item.done and item.evidence else ""
            lines.append(f"- {box}{name}{markdown_text(item.text)}{action}{digests}")
        lines.append("")
    lines += [f"Verdict {checklist.verdict_digest}, policy {checklist.policy_digest}.", ""]
    return "\n".join(lines)


def _line(finding: Finding, control: Control | None, relaxed: str) -> ChecklistItem:
    digests = tuple(f"{name} {digest}" for name, digest in sorted(finding.evidence.items()))
    action = if_red(control).rstrip(".") if control is not None else None
    match finding.status:
        case FindingStatus.PASS:
            return ChecklistItem(section="answered", control=finding.control, text=finding.statement + relaxed, done=True, evidence=digests)
        case FindingStatus.NOT_APPLICABLE | FindingStatus.NOT_IN_FORCE:
            return ChecklistItem(section="not_asked", control=finding.control, text=f"{finding.statement}: {finding.reason}", done=False)
        case FindingStatus.INCONCLUSIVE:
            text = f"{finding.statement}. Undecided: {finding.reason}"
            decide = "obtain more data, or decide on the figures and sign"
            return ChecklistItem(section="person", control=finding.control, text=text, done=False, action=decide, evidence=digests)
    text = f"{finding.statement}. {finding.status.value.capitalize()}: {finding.reason}"
    signed = finding.status is FindingStatus.MISSING and control is not None and _is_signed(control)
    return ChecklistItem(section="person" if signed else "mend", control=finding.control, text=text, done=False, action=action, evidence=digests)


def _is_signed(control: Control) -> bool:
    """Whether the control rests on a person's word, so that only a person can supply what is missing."""
    check = checks().get(control.check)
    return check.basis == "declared" if check is not None else control.check == "signed_review"


def _for_a_person(datasheet: Datasheet | None) -> Iterator[ChecklistItem]:
    """What the owner declared and no evidence can confirm."""
    if datasheet is None:
        yield ChecklistItem(section="person", text="There is no usable datasheet", done=False, action="write one and audit again")
        return
    declared = (
        ("The model will be used for what it was declared for", datasheet.purpose),
        ("Nobody will use it for", "; ".join(datasheet.out_of_scope)),
        ("These limitations are acceptable in this use", "; ".join(datasheet.limitations) or "none is declared"),
        (f"The risk class {datasheet.risk.risk_class.value} is right", datasheet.risk.reason),
        ("People can overrule the model as declared, and know how", datasheet.human_oversight or "nothing is declared"),
        ("The runbook was tried, and owner and deputy answer", f"{datasheet.runbook or 'no runbook'}; {datasheet.owner.contact}"),
    )
    for claim, text in declared:
        yield ChecklistItem(section="person", text=f"{claim}: {text}", done=False)
    yield ChecklistItem(section="person", text="The model card was read by those who decide", done=False)
