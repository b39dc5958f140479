"""Untrusted text stays text in Markdown."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rai_pipelines.documents.text import markdown_table, markdown_text, number

render = MarkdownIt("commonmark", {"html": True}).enable("table").render


def text_of(html: str) -> str:
    """The text of a rendered paragraph without its own tags."""
    return html.removeprefix("<p>").removesuffix("</p>\n")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_no_declared_text_becomes_markup(text: str) -> None:
    html = render("x " + markdown_text(text))
    inner = text_of(html)
    assert "<" not in inner and html.startswith("<p>")


@given(st.lists(st.text(max_size=20), min_size=2, max_size=2))
def test_no_cell_leaves_its_cell(cells: list[str]) -> None:
    html = render(markdown_table(("a", "b"), [cells]))
    assert html.count("<td") == 2
    assert html.count("<tr") == 2


def test_an_absent_figure_is_a_dash_and_never_a_zero() -> None:
    assert number(None) == "–"
    assert number(0.0) == "0"
    assert number(0.12345) == "0.123"
    assert number(1234567.0) == "1,234,567"


def test_a_figure_shows_as_it_is_and_a_sentence_that_begins_with_a_number_makes_no_list() -> None:
    assert text_of(render(markdown_text("0.206 (90 % interval)"))) == "0.206 (90 % interval)"
    assert "<ol>" not in render(markdown_text("1. January is a holiday"))
    assert text_of(render(markdown_text("1. January is a holiday"))) == "1. January is a holiday"


@given(st.text())
def test_nothing_declared_steers_a_terminal_or_turns_what_is_read(text: str) -> None:
    shown = markdown_text(text + "\x1b[2J\x9b1m\u202e\x00")
    assert all(unicodedata.category(character) not in ("Cc", "Cs") for character in shown)
    assert not set(shown) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "\\x1b" in shown
    assert "\u200d" in markdown_text("\u0915\u094d\u200d"), "what writing needs stays"
