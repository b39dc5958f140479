"""Which characters the typesetter's own font can show: a PDF/UA document may hold no others."""

from __future__ import annotations

import unicodedata
from typing import Any

# Blocks that Libertinus Serif covers but for single points; a test sets every character of them in a PDF.
COVERED = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3CE), (0x400, 0x45F), (0x2010, 0x2022), (0x2026, 0x2026))
SINGLES = frozenset("←↑→↓↔−×÷±≤≥≠≈∞√∑∏∂∫∈∅€£¥₤™№°·•†‡‰′″⁰¹²³⁴⁵⁶⁷⁸⁹½¼¾ẞ")


def printable_in_pdf(value: Any) -> tuple[Any, int]:
    """`value` (dicts, lists and texts) with every character that cannot be shown written as `U+6A21`, and how many these were.

    Characters are composed first (NFC); spaces of any kind become plain ones, and controls vanish.
    """
    if isinstance(value, dict):
        pairs = {key: printable_in_pdf(item) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list):
        items = [printable_in_pdf(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return _printable(value) if isinstance(value, str) else (value, 0)


def _printable(text: str) -> tuple[str, int]:
    made, replaced = [], 0
    for character in unicodedata.normalize("NFC", text):
        if _is_covered(character):
            made.append(character)
        elif character.isspace():
            made.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cf"):
            made.append(f"U+{ord(character):04X}")
            replaced += 1
    return "".join(made), replaced


def _is_covered(character: str) -> bool:
    return character in SINGLES or any(low <= ord(character) <= high for low, high in COVERED)
