"""Verbs about incidents: rai case."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rai_pipelines.cli.common import AsJson, out, print_json, printable
from rai_pipelines.cli.outputs import CaseOutput

if TYPE_CHECKING:
    from rai_pipelines.audit import Auditor
    from rai_pipelines.governance.cases.book import CaseBook

Number = Annotated[int, typer.Argument(metavar="CASE", min=1, max=2**31 - 1, help="Number of the case.")]
States = Annotated[list[str] | None, typer.Option("--state", help="Only cases in this state; may be given again.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="Cases: what went wrong, and what is done about it.", no_args_is_help=True)
    group.command("list")(list_cases)
    group.command("show")(show)
    group.command("open")(open_case)
    group.command("move")(move)
    group.command("classify")(classify)
    group.command("report")(report)
    group.command("reported")(reported)
    group.command("post-mortem")(post_mortem)
    app.add_typer(group, name="case")


def list_cases(states: States = None, as_json: AsJson = False) -> None:
    """Cases, newest first."""
    from rai_pipelines.governance.cases.case import CaseState

    with _book() as (book, _):
        found = [CaseOutput.of(case, ()) for case in book.listed([_state(state, CaseState) for state in states or ()])]
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
        return
    for item in found:
        due = f", report due {item.report_due_at}" if item.report_due_at and not item.reported_at else ""
        out.print(printable(f"{item.number} {item.state} {item.severity} {item.title}{due} {item.url or ''}"), markup=False, soft_wrap=True)
    if not found:
        out.print("No cases")


def show(number: Number, as_json: AsJson = False) -> None:
    """One case with everything that happened to it."""
    with _book() as (book, _):
        found = CaseOutput.of(book.get(number), book.history(number))
    if as_json:
        print_json(found)
        return
    for line in (f"Case {found.number}, {found.state}, {found.severity}: {found.title}", found.description, *found.history):
        out.print(printable(line), markup=False, soft_wrap=True)


def open_case(
    title: Annotated[str, typer.Option("--title", help="What happened, in a line.")],
    description: Annotated[str, typer.Option("--description", help="What is known.")],
    severity: Annotated[str, typer.Option("--severity", help="critical, high, medium or low")],
    version: Annotated[str | None, typer.Option("--version", help="NAME/VERSION that it is about.")] = None,
) -> None:
    """Open a case by hand; the tracker gets it with the next round."""
    import uuid

    from pydantic import ValidationError

    from rai_pipelines.clock import utc_now
    from rai_pipelines.errors import DecisionRefused
    from rai_pipelines.governance.cases.case import CaseRequest
    from rai_pipelines.policy.model import Severity
    from rai_pipelines.subjects.names import ModelVersion

    about = ModelVersion.parse(version) if version else None
    chosen = _state(severity, Severity)
    try:
        request = CaseRequest(
            key=f"by-hand:{uuid.uuid4()}",
            kind="reported_by_a_person",
            severity=chosen,
            title=title,
            description=description,
            model_name=about.name if about else None,
            model_version=about.version if about else None,
            noticed_at=utc_now(),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        hint = "Say what happened in a line; the rest is for --description"
        raise DecisionRefused(f"cannot be used: {first['msg']}", where=f"--{first['loc'][0]}", hint=hint) from error
    with _book() as (book, _):
        out.print(f"Case {book.request(request).id}")


def move(
    number: Number,
    state: Annotated[str, typer.Argument(help="open, in_progress, resolved or closed")],
    lesson: Annotated[str | None, typer.Option("--lesson", help="What was learnt; a critical case is not closed without it.")] = None,
) -> None:
    """Bring a case to a state; the tracker is told with the next round."""
    from rai_pipelines.governance.cases.case import CaseState
    from rai_pipelines.governance.decisions.statement import words_of

    with _book() as (book, _):
        case = book.move(number, _state(state, CaseState), source="here", lesson=words_of(lesson) if lesson is not None else None)
        out.print(f"Case {case.id} is {case.state.value}")


def classify(
    number: Number,
    incident_class: Annotated[str, typer.Option("--class", help="serious_incident, death, widespread_infringement or critical_infrastructure")],
    aware: Annotated[datetime, typer.Option("--aware", formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d"], help="When you became aware of it (UTC).")],
) -> None:
    """Say that a case is an incident that has to be reported, and get the day on which the report is due."""
    with _book() as (book, _):
        case = book.classify(number, incident_class, aware_at=aware.replace(tzinfo=UTC))
        out.print(f"Case {case.id}: the report is due on {case.report_due_at:%Y-%m-%d %H:%M} UTC at the latest")


def report(number: Number) -> None:
    """Print a draft of the report to the authority, and let the tracker have it."""
    from rai_pipelines.documents.incident_report import draft_report

    with _book() as (book, auditor):
        case = book.get(number)
        verdict, sheet = _known(auditor, case)
        text = draft_report(case, book.history(number), verdict, sheet)
        book.attach(number, "incident-report-draft.md", text)
    sys.stdout.write(text)


def reported(number: Number) -> None:
    """Note that the authority has the report."""
    with _book() as (book, _):
        book.reported(number)
        out.print(f"Case {number}: reported")


def post_mortem(number: Number) -> None:
    """Print a post-mortem to complete, and let the tracker have it."""
    from rai_pipelines.documents.incident_report import draft_post_mortem

    with _book() as (book, auditor):
        case = book.get(number)
        text = draft_post_mortem(case, book.history(number), _known(auditor, case)[0])
        book.attach(number, "post-mortem.md", text)
    sys.stdout.write(text)


def _known(auditor: Auditor, case: Any) -> tuple[Any, Any]:
    """The newest verdict and the datasheet of the version that a case is about; None for what there is not."""
    from rai_pipelines.audit import latest_verdict
    from rai_pipelines.errors import EvidenceError, RaiError
    from rai_pipelines.subjects.names import ModelVersion

    request = case.request
    if request.model_name is None or request.model_version is None:
        return None, None
    version = ModelVersion(request.model_name, request.model_version)
    try:
        found = latest_verdict(auditor.store, version)
    except EvidenceError:  # it was altered, which may be what the incident is: the draft has to be written all the same
        found = None
    try:
        sheet = auditor.context(version).subject.datasheet
    except RaiError:  # the draft says FILL IN: a registry that is down must not keep a report with a legal deadline from being written
        sheet = None
    return (found[0] if found else None), sheet


def _state(text: str, kind: Any) -> Any:
    if text not in set(kind):
        raise typer.BadParameter(f"{text!r}; allowed: {', '.join(kind)}")
    return kind(text)


@contextmanager
def _book() -> Iterator[tuple[CaseBook, Auditor]]:
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.governance.cases.book import CaseBook
    from rai_pipelines.release import open_gatekeeper
    from rai_pipelines.settings import load_settings

    auditor = build_auditor(load_settings())
    with open_gatekeeper(auditor) as keeper:
        yield CaseBook(keeper.engine, keeper.ledger), auditor
