"""Put untrusted text (names, columns, groups, declared sentences) into Markdown without letting it act as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters and lone surrogates, which steer a terminal, and those that turn the direction of what is read.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def markdown_text(text: object) -> str:
    """`text` on one line, with every character that Markdown or HTML reads as markup escaped, and those that steer what reads it shown as codes."""
    flat = _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), " ".join(str(text).split()))
    escaped = _MARKUP.sub(r"\\\1", flat).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    # a leading 1. makes a list of what follows it; 0.206 is a figure, and a backslash before a digit would show
    return re.sub(r"^(\s*\d+)(\.)(?=\s|$)", r"\1\\\2", re.sub(r"^(\s*)([-=])", r"\1\\\2", escaped))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A GitHub-flavoured table of escaped cells."""
    lines = ["| " + " | ".join(markdown_text(column) for column in columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(markdown_text(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float | None, digits: int = 3) -> str:
    """A figure for a table; an absent one is a dash, never a zero."""
    return "–" if value is None else f"{value:.{digits}f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
