"""YAML documents come from people whom nobody checked: a few lines must not cost minutes, memory, or the audit of others."""

from __future__ import annotations

import time

import pytest

from rai_pipelines.errors import DatasheetError
from rai_pipelines.subjects.datasheet import parse_datasheet

BOMB = "\n".join(["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])


def refused(text: str) -> str:
    with pytest.raises(DatasheetError) as caught:
        parse_datasheet(text, source="datasheet.yaml")
    return str(caught.value)


def test_aliases_that_stand_for_billions_of_values_are_refused_at_once() -> None:
    started = time.perf_counter()
    assert "datasheet.yaml:6: stands for more than 200,000 values" in refused(BOMB)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("text", ["purpose: &p [*p]", "owner: &o {name: {name: *o}}", "owner: &o {a: 1}\nb: &b [*o, [*b]]"])
def test_an_alias_to_what_it_stands_in_is_refused(text: str) -> None:
    assert "contains itself by an alias" in refused(text)


@pytest.mark.parametrize("depth", [101, 5_000, 100_000])
def test_lists_within_lists_without_end_are_refused_and_do_not_end_the_process(depth: int) -> None:
    assert "datasheet.yaml:1: is not valid YAML (nested more than 100 levels deep)" in refused("purpose: " + "[" * depth + "]" * depth)
    assert "nested more than 100" in refused("purpose:\n" + "\n".join(" " * level + "- " for level in range(1, min(depth, 300))))


def test_plain_aliases_are_allowed_and_a_repeated_key_below_one_is_found() -> None:
    assert "key 'name' appears twice" in refused("a: &a {name: 1, name: 2}\nb: *a")
    assert "b: unknown field" in refused("a: &a {name: 1}\nb: [*a, *a]")
