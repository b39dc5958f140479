"""Patterns out of suite files are spelled for every engine, or refused before any of them sees them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.assessments.validation.patterns import portable


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+$", "a group is repeated"),
        ("(a|a)*b", "a group is repeated"),
        ("(a){2,9}", "a group is repeated"),
        ("a*b*c*d*e", "more than 3 repeats without an upper end"),
        (r"(a)\1", "is refused"),
        ("(?=a)b", "look-around"),
        ("(?i)a", "flags"),
        ("(?P<x>a)", "named groups"),
        ("a{1,999}", "at most 255"),
        ("a**", "a repeat is repeated"),
        ("*a", "repeats nothing"),
        ("a^b", "stands at the start only"),
        ("a$b", "stands at the end only"),
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("[z-a]", "upside down"),
        ("[[:alpha:]]", "characters, ranges"),
        ("a" * 201, "1 to 200 characters"),
        ("", "1 to 200 characters"),
        ("\\", "is refused"),
        ("a\x00b", "cannot be printed"),
    ],
)
def test_what_engines_read_differently_or_slowly_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        portable(pattern)


def test_classes_are_spelled_in_ascii() -> None:
    assert portable(r"^\d{2,4}-\w+.$") == r"^[0-9]{2,4}-[A-Za-z0-9_]+[^\n]$"
    assert re.fullmatch(portable(r"\d"), "٣") is None


@given(st.text(alphabet="ab01.^$*+?()[]{}|\\dws-,", max_size=12))
def test_what_is_accepted_is_a_pattern(pattern: str) -> None:
    try:
        made = portable(pattern)
    except ValueError:
        return
    re.compile(made)
