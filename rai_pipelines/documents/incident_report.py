"""Drafts about an incident: the report to the authority, with what is known filled in, and the post-mortem. A person completes and sends them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rai_pipelines.documents.text import markdown_text
from rai_pipelines.governance.cases.case import Case
from rai_pipelines.governance.cases.incidents import incident_classes
from rai_pipelines.policy.verdict import Verdict
from rai_pipelines.subjects.datasheet import PLACEHOLDER, Datasheet

History = Sequence[tuple[datetime, str, str]]


def draft_report(case: Case, history: History, verdict: Verdict | None, sheet: Datasheet | None) -> str:
    """The report on a serious incident (Regulation (EU) 2024/1689, Art. 73) as Markdown.

    What only people know is marked `FILL IN`; every declared text is escaped. It says when it is due and that it may be initial and
    incomplete (Art. 73(5)).
    """
    chosen = incident_classes().get(case.incident_class or "")
    request = case.request
    model = "/".join(filter(None, (request.model_name, request.model_version))) or PLACEHOLDER
    lines = [
        f"# Report on a serious incident (draft): {markdown_text(request.title)}",
        "",
        f"Class: {markdown_text(chosen.title) if chosen else PLACEHOLDER}. Legal ground: {chosen.source if chosen else PLACEHOLDER}.",
        f"Due: {_moment(case.report_due_at)}. An initial report may be incomplete; say so, and follow it up.",
        "",
        "## 1. Who reports",
        "",
        f"* Provider or deployer, address, contact: {PLACEHOLDER}",
        f"* Owner of the model: {markdown_text(sheet.owner.name) if sheet else PLACEHOLDER}",
        "",
        "## 2. The system",
        "",
        f"* Model and version: {markdown_text(model)}",
        f"* Purpose: {markdown_text(sheet.purpose) if sheet else PLACEHOLDER}",
        f"* Risk class: {sheet.risk.risk_class.value if sheet else PLACEHOLDER}",
        f"* Last verdict: {_verdict(verdict)}",
        "",
        "## 3. What happened",
        "",
        f"* Noticed: {_moment(request.noticed_at)}; aware: {_moment(case.aware_at)}",
        f"* Description: {markdown_text(request.description)}",
        f"* Who was harmed, and how: {PLACEHOLDER}",
        f"* Causal link between the system and the harm, or how likely it is: {PLACEHOLDER}",
        f"* Where and to how many people it can happen again: {PLACEHOLDER}",
        "",
        "## 4. What was done",
        "",
        *_steps(history),
        f"* Corrective measures taken and planned: {PLACEHOLDER}",
        "",
        "## 5. Evidence",
        "",
        *_evidence(verdict),
    ]
    return "\n".join(lines) + "\n"


def draft_post_mortem(case: Case, history: History, verdict: Verdict | None) -> str:
    """The post-mortem as Markdown: what happened when, and the questions that the review of the policy will ask."""
    request = case.request
    lines = [
        f"# Post-mortem: {markdown_text(request.title)}",
        "",
        f"Case {case.id}, {request.severity.value}, {case.state.value}. Version: "
        f"{markdown_text('/'.join(filter(None, (request.model_name, request.model_version))) or 'none')}.",
        "",
        "## What happened, when",
        "",
        *_steps(history),
        "",
        "## Questions",
        "",
        *(
            f"* {question} {PLACEHOLDER}"
            for question in (
                "How was it noticed, and how long had it gone on before?",
                "Who was affected, and have they been told?",
                "Which control should have found it, and why did it not?",
                "Which threshold, control or deadline of the policy has to change?",
                "What has been done so that it does not happen again, and how will that be tested?",
            )
        ),
        "",
        "## What was measured last",
        "",
        f"* Verdict: {_verdict(verdict)}",
        *_evidence(verdict),
        "",
        "Put the lesson in a sentence into `rai case move CASE closed --lesson …`: the next review of the policy begins with it.",
    ]
    return "\n".join(lines) + "\n"


def _steps(history: History) -> list[str]:
    return [f"* {_moment(at)}, {markdown_text(source)}: {markdown_text(what)}" for at, source, what in history]


def _evidence(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["* Nothing was measured."]
    lines = [f"* Verdict {verdict.digest}, policy {markdown_text(verdict.policy)} {verdict.policy_digest}"]
    digests = {name: digest for finding in verdict.findings for name, digest in finding.evidence.items()}
    return lines + [f"* {name}: {digest}" for name, digest in sorted(digests.items())]


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "none"
    why = f": {markdown_text('; '.join(verdict.reasons[:3]))}" if verdict.reasons else ""
    return f"{verdict.status.value.replace('_', ' ')} for {verdict.judged_for.isoformat()}{why}"


def _moment(moment: datetime | None) -> str:
    return PLACEHOLDER if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
