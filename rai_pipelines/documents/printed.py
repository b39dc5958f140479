"""A document as it is printed, whatever it is about: sections of statements, facts, charts and tables, and its Markdown, HTML and PDF.

Every text in it is untrusted: it is escaped in Markdown and HTML, and handed to the typesetter as data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from importlib.resources import files
from pathlib import Path

from rai_pipelines.documents.glyphs import printable_in_pdf
from rai_pipelines.documents.parts import Fact, Picture, Table
from rai_pipelines.documents.text import markdown_table, markdown_text
from rai_pipelines.evidence.canonical import canonical_json, plain
from rai_pipelines.evidence.model import Record
from rai_pipelines.evidence.store import write_atomically
from rai_pipelines.policy.findings import FindingStatus

FORMS = ("pdf", "html", "md", "json")
STATUSES = frozenset(status.value for status in FindingStatus)  # words in a column called status that have a colour


class PrintedSection(Record):
    """One section. `absent` says what it lacks; `level` 1 stands under the title, 2 below a section of level 1."""

    anchor: str
    title: str
    level: int = 1
    absent: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


class PrintedDocument(Record):
    """A whole document. `status` is one word that a colour stands for; `digests` are name and digest of all that it rests on."""

    title: str
    status: str
    under: str
    day: date
    lead: tuple[str, ...]
    sections: tuple[PrintedSection, ...]
    digests: tuple[tuple[str, str], ...]


def write_forms(place: Path, stem: str, record: Record, document: PrintedDocument) -> dict[str, Path]:
    """Write `record` as JSON and `document`, what it reads as, in every other form to `place`/`stem`.*, each atomically; the paths by form."""
    contents = {
        "json": canonical_json(record),
        "md": render_markdown(document).encode(),
        "html": render_html(document).encode(),
        "pdf": render_pdf(document),
    }
    paths = {form: place / f"{stem}.{form}" for form in FORMS}
    for form, path in paths.items():
        write_atomically(path, contents[form])
    return paths


def render_markdown(document: PrintedDocument) -> str:
    """The document as Markdown, without its charts; every text is escaped."""
    lines = [f"# {markdown_text(document.title)}", "", f"**{document.status.replace('_', ' ')}** {markdown_text(document.under)}", ""]
    lines += [f"- {markdown_text(text)}" for text in document.lead] + [""]
    for section in document.sections:
        lines += [f"{'#' * (section.level + 1)} {markdown_text(section.title)}", ""]
        lines += [f"*Not complete: lacks {markdown_text(', '.join(section.absent))}.*", ""] if section.absent else []
        for text in section.statements:
            lines += [markdown_text(text), ""]
        lines += [f"- **{markdown_text(fact.name)}**: {markdown_text(fact.text)}" for fact in section.facts]
        lines += [""] if section.facts else []
        for table in section.tables:
            lines += [f"**{markdown_text(table.caption)}**", "", markdown_table(table.columns, table.rows), ""]
    lines += ["## Provenance", "", markdown_table(("record", "digest"), document.digests), ""]
    return "\n".join(lines)


def render_html(document: PrintedDocument) -> str:
    """The document as one HTML file without scripts or outside references."""
    import jinja2

    from rai_pipelines.documents.charts import data_uri

    loader = jinja2.PackageLoader("rai_pipelines.documents", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("printed.html.j2").render(document=document, data_uri=data_uri, statuses=STATUSES)


def render_pdf(document: PrintedDocument) -> bytes:
    """The document as a tagged PDF (PDF/UA-1, PDF/A-2a); equal documents give equal bytes.

    Characters that its font lacks stand as code points, and the first page says so.
    """
    import typst

    content, replaced = printable_in_pdf(plain(document))
    note = f"{replaced:,} characters that this font lacks stand as code points (U+…); the HTML and Markdown forms have them." if replaced else None
    made = datetime.combine(document.day, time(), tzinfo=UTC)
    return typst.compile(
        files("rai_pipelines.documents").joinpath("templates", "printed.typ").read_bytes(),
        format="pdf",
        sys_inputs={"document": json.dumps({**content, "note": note})},
        ignore_system_fonts=True,
        pdf_standards=["ua-1", "a-2a"],  # accessible, and made to be kept
        timestamp=int(made.timestamp()),
    )


def words(texts: Sequence[str]) -> str:
    """A list within a sentence: `a, b and c`."""
    return ", ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1] if texts else ""
