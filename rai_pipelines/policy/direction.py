"""Which change of a value asks for more: said beside each value of a policy, so that an extending policy can be held to it."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """What is stricter about a value."""

    LOWER = "lower is stricter"
    HIGHER = "higher is stricter"
    NARROWER = "narrower is stricter"
    MORE = "everything that was there, and more, is stricter"
    FEWER = "some of what was there, and nothing else, is stricter"
    NO_ORDER = "neither is stricter"


Stricter = Direction | tuple[str, ...]  # a direction, or the allowed words from the loosest to the strictest
