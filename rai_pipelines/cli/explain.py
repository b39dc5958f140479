"""`rai explain`: one decision, for the person it is about and whoever answers them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rai_pipelines.assessments.explanations.records import RowExplanation
from rai_pipelines.cli.audits import Version
from rai_pipelines.cli.common import AsJson, out, print_json, printable
from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.model import Record

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.assessments.base import AuditContext
    from rai_pipelines.assessments.explanations.shapley import Explainer


MOST_WEIGHTS = 4
OF_CLASS = {
    "the favourable outcome": "class {}",
    "favourable decisions": "decisions for class {}",
    "then: favourable": "then: class {}",
    "then: not favourable": "then: another class than {}",
}


class ExplainOutput(Record):
    """`rai explain --json`. It holds the values of one row, so it is personal data.

    Of several classes `decided` is the one that the model decided for, and `explained_class` the one that is explained against all others:
    `favourable` in the explanation then means that class.
    """

    schema_version: Literal["rai.explain-output/v1"] = "rai.explain-output/v1"
    model: str
    table: str
    id_column: str
    row: str
    decided: str | None = None
    explained_class: str | None = None
    explanation: RowExplanation
    explainer: str
    background_rows: int
    background_digest: str
    model_digest: str | None
    datasheet_digest: str
    data_digest: str
    code_digest: str
    libraries: dict[str, str]
    seed: int
    caveats: tuple[str, ...]


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(explain)


def explain(
    version: Version,
    *,
    row: Annotated[str, typer.Option("--row", help="Which row: its value in the id column.")],
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column that tells rows apart; default: row_id of the datasheet.")] = None,
    table: Annotated[str, typer.Option("--table", help="evaluation or production")] = "evaluation",
    of_class: Annotated[str | None, typer.Option("--class", help="Of several classes, the one to explain; default: the decided one.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Also write a trace of the decision, without the inputs, to this new file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Why the model decided one row as it did, and what would have turned the decision. The output is personal data."""
    if table not in ("evaluation", "production"):
        raise typer.BadParameter(f"{table!r}; allowed: evaluation, production", param_hint="--table")
    from rai_pipelines.audit import build_auditor
    from rai_pipelines.settings import load_settings
    from rai_pipelines.subjects.names import ModelVersion

    subject = ModelVersion.parse(version)
    auditor = build_auditor(load_settings())
    try:
        found = _explained(auditor.context(subject), row, id_column, table=table, of_class=of_class, trace=trace)
    finally:
        auditor.close()
    if as_json:
        print_json(found)
    else:
        _print(found)


def _explained(context: AuditContext, row: str, id_column: str | None, *, table: str, of_class: str | None, trace: Path | None) -> ExplainOutput:
    from rai_pipelines.assessments.base import code_digest, library_versions
    from rai_pipelines.assessments.explanations.one_class import context_for_class
    from rai_pipelines.assessments.explanations.parameters import ExplanationParameters
    from rai_pipelines.assessments.explanations.row import explain_row, find_row
    from rai_pipelines.assessments.explanations.traces import make_trace, open_traced, write_trace
    from rai_pipelines.clock import utc_now

    subject, columns = context.subject, context.subject.datasheet.columns
    if of_class is not None and of_class not in columns.classes:
        raise typer.BadParameter(f"{of_class!r}; allowed: {', '.join(columns.classes) or 'none, there are two outcomes'}", param_hint="--class")
    if columns.classes and trace is not None:
        raise typer.BadParameter("traces are written of models with two outcomes", param_hint="--trace")
    key = id_column or columns.row_id
    if key is None:
        raise DatasheetError("the datasheet declares no columns.row_id", where=str(subject.version), hint="Say which column with --id-column")
    parameters, source = ExplanationParameters(), context.table(table)
    source.require(key)
    frame = find_row(source, key, row, source.columns)  # before the model is opened, which takes seconds
    decided = _decided(context, frame) if columns.classes else None
    chosen = of_class or decided
    if chosen is not None:
        context = context_for_class(context, chosen)
    traced = open_traced(context, parameters)
    explainer = traced.explainer
    source.require(*explainer.explained.features)
    made = explain_row(explainer, frame, columns, lime_samples=parameters.lime_samples, seed=context.seed)
    if trace is not None:
        write_trace(make_trace(traced, frame, prediction_id=f"{table}/{row}", at=utc_now(), table=table, row_id=row), trace)
    return ExplainOutput(
        model=str(subject.version),
        table=table,
        id_column=key,
        row=row,
        decided=decided,
        explained_class=chosen,
        explanation=made,
        explainer=explainer.method.explainer,
        background_rows=len(explainer.background),
        background_digest=explainer.background_digest,
        model_digest=subject.model_digest,
        datasheet_digest=subject.datasheet.digest,
        data_digest=source.digest(),
        code_digest=code_digest(),
        libraries=library_versions(),
        seed=context.seed,
        caveats=_caveats(explainer, made, parameters.tolerance),
    )


def _decided(context: AuditContext, frame: pd.DataFrame) -> str:
    """The class that the model decides for."""
    from rai_pipelines.assessments.scoring import feature_names
    from rai_pipelines.assessments.security.robust_sample import Outcomes

    model, sheet = context.subject.load_model(), context.subject.datasheet
    features = list(feature_names(context, model))
    context.table("evaluation").require(*features)
    return sheet.columns.classes[int(Outcomes.of(sheet).decisions(model, frame[features], str(context.subject.version))[0])]


def _caveats(explainer: Explainer, made: RowExplanation, tolerance: float) -> tuple[str, ...]:
    """What has to be known to read the explanation rightly."""
    from rai_pipelines.assessments.explanations.explained_model import SCORE
    from rai_pipelines.assessments.explanations.quality import best_threshold_agreement

    explained, method = explainer.explained, explainer.method
    told = [
        f"Contributions (Shapley values, {method.explainer}) compare this row with {explainer.compared_with}; "
        "they say what moved the model, not what is true of the person or what caused anything.",
        f"Base and contributions add up to the {method.output} that the model gave, to within {made.additivity_error:.2g}.",
    ]
    if made.additivity_error > tolerance:
        told.append(f"That is more than {tolerance:g}: do not rely on this explanation.")
    if not method.reads:
        told.append(f"They are estimated from answers of the model over {explainer.permutations} random orders of its inputs ({method.why}).")
    if explained.output == SCORE and explained.decides:
        agreeing = best_threshold_agreement(explained.outputs(explained.pool), explained.decisions(explained.pool))
        if agreeing < len(explained.pool):
            told.append(
                "The decision does not follow from the score alone, and contributions explain the score: "
                f"one threshold gives {agreeing} of {len(explained.pool)} decisions on training rows."
            )
    if any(item.lime is not None for item in made.contributions):
        told.append("LIME's weights are a second opinion by another method; where they differ, neither is proved right.")
    if made.counterfactual is not None:
        told.append("The change that would have turned the decision was found by a search; a smaller one may exist, and it promises nothing.")
    return tuple(told)


def _of_class(line: str, name: str) -> str:
    """What is said of the favourable outcome, said of a class."""
    for of_two, of_several in OF_CLASS.items():
        line = line.replace(of_two, of_several.format(name))
    return line


def _print(found: ExplainOutput) -> None:
    made = found.explanation
    unit = {"log-odds": "log-odds of the favourable outcome"}.get(made.explained, made.explained)
    lines = [f"{found.model}, the row of the {found.table} table with {found.id_column} = {found.row}", ""]
    if found.explained_class is not None:
        lines += [f"Decision: class {found.decided}.", f"Explained is class {found.explained_class} against all others."]
    elif made.favourable is not None:
        lines.append(f"Decision: {'favourable' if made.favourable else 'not favourable'}.")
    lines.append(f"{'Score (probability of the favourable outcome)' if made.score is not None else 'Output'}: {made.output:.4g}.")
    lines.append(f"Mean over the rows it is compared with, as {unit}: {made.base:.4g}.")
    against_first = made.favourable is not True
    parts = [("What lowered it", made.lowered), ("What raised it", made.raised)]
    for title, sentences in parts if against_first else parts[::-1]:
        lines += ["", f"{title}:", *(f"  {sentence}" for sentence in sentences or ("nothing worth a sentence",))]
    lines += ["", "What would have turned the decision:"]
    if made.counterfactual is None:
        lines.append(f"  {made.no_counterfactual}")
    else:
        other = made.counterfactual
        lines += [f"  {change.feature} from {change.before} to {change.after}" for change in other.changes]
        lines.append(
            f"  then: {'favourable' if other.favourable else 'not favourable'}, {other.output:.4g} ({other.distance:.2g} standard deviations away)"
        )
    second = sorted((item for item in made.contributions if item.lime), key=lambda item: -abs(item.lime or 0.0))[:MOST_WEIGHTS]
    if second:
        lines += ["", "A second opinion (LIME, largest weights): " + ", ".join(f"{item.feature} {item.lime:+.2g}" for item in second)]
    lines += ["", "To be known:", *(f"  {caveat}" for caveat in found.caveats)]
    digests: dict[str, Any] = {
        "model": found.model_digest, "datasheet": found.datasheet_digest, "table": found.data_digest, "inputs of the row": made.inputs_digest,
    }  # fmt: skip
    lines += ["", *(f"{name}: {digest}" for name, digest in digests.items()), f"seed: {found.seed}"]
    for told in lines:
        line = told if found.explained_class is None else _of_class(told, found.explained_class)
        out.print(printable(line) if line.strip() else "", markup=False, soft_wrap=True)
