"""What documents are made of: facts, tables of texts, and charts."""

from __future__ import annotations

from rai_pipelines.evidence.model import Record


class Fact(Record):
    """A named sentence."""

    name: str
    text: str


class Table(Record):
    """A captioned table of texts."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Picture(Record):
    """A chart as SVG text, and what it shows in words."""

    svg: str
    description: str
