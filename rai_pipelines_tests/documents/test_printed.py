"""A printed document says the same in Markdown, HTML and PDF, lets no text act as markup, and has equal bytes for equal content."""

from __future__ import annotations

import io
import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.documents.glyphs import COVERED, SINGLES, printable_in_pdf
from rai_pipelines.documents.parts import Fact, Table
from rai_pipelines.documents.printed import PrintedDocument, PrintedSection, render_html, render_markdown, render_pdf, words

HOSTILE = '<script>alert(1)</script> #panic("x") *b* $x$ [l](javascript:1) @cite \\u{41} `c` | p'


def document(text: str = "plain words", **changes: Any) -> PrintedDocument:
    table = Table(caption=text, columns=(text, "b"), rows=((text, "1"), ("2", text)))
    section = PrintedSection(
        anchor="one", title=text, absent=(text,), statements=(text, text), facts=(Fact(name=text, text=text),), tables=(table,), level=2
    )
    top = PrintedSection(anchor="zero", title="A part")
    made = {"title": text, "status": "open", "under": text, "day": date(2026, 12, 15), "lead": (text,), "sections": (top, section)}
    return PrintedDocument.model_validate({**made, "digests": (("verdict", "sha256:" + "a" * 64),), **changes})


def text_of(pdf: bytes) -> str:
    """The text of a PDF as a reader extracts it, without the invisible places where a long word may break."""
    from pypdf import PdfReader

    return " ".join("\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).replace("\u200b", "").split())


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_hostile_text_is_shown_and_never_acts() -> None:
    made = document(HOSTILE)
    page = Tags(render_html(made))
    assert "script" not in page.tags and "a" not in page.tags
    assert HOSTILE in "".join(page.words)
    assert "<script>" not in render_markdown(made)
    assert '#panic("x")' in text_of(render_pdf(made)) and "<script>alert(1)</script>" in text_of(render_pdf(made))


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60))
def test_any_text_at_all_can_be_printed(text: str) -> None:
    made = document(text)
    assert render_pdf(made).startswith(b"%PDF")
    assert render_html(made) and render_markdown(made)


def test_the_same_document_has_the_same_bytes_and_says_when_it_was_judged() -> None:
    from pypdf import PdfReader

    first, second = render_pdf(document()), render_pdf(document())
    assert first == second
    assert str(PdfReader(io.BytesIO(first)).metadata["/CreationDate"]).startswith("D:20261215")  # type: ignore[index]


def test_the_pdf_is_tagged_titled_and_says_that_it_is_accessible() -> None:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(render_pdf(document("A title"))))
    catalogue: Any = reader.trailer["/Root"]
    assert catalogue["/MarkInfo"]["/Marked"] and catalogue["/Lang"] == "en"
    assert reader.metadata is not None and reader.metadata.title == "A title"
    kept = catalogue["/Metadata"].get_object().get_data().decode()
    assert re.search(r"pdfuaid:part>1<", kept) and re.search(r"pdfaid:part>2<", kept)


def test_characters_that_the_font_lacks_stand_as_code_points_and_the_first_page_says_so() -> None:
    said = text_of(render_pdf(document("模型 v1")))
    assert "U+6A21U+578B v1" in said
    assert "characters that this font lacks stand as code points" in said
    assert "code points" not in text_of(render_pdf(document("Модель für größere Löhne")))


def test_every_character_that_counts_as_covered_can_be_set() -> None:
    covered = "".join(chr(code) for low, high in COVERED for code in range(low, high + 1)) + "".join(sorted(SINGLES))
    assert printable_in_pdf(covered)[1] == 0
    assert render_pdf(document(title="all", sections=(PrintedSection(anchor="a", title="all", statements=(covered,)),))).startswith(b"%PDF")


@pytest.mark.parametrize(("texts", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_read_as_in_a_sentence(texts: list[str], said: str) -> None:
    assert words(texts) == said
