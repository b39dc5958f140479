"""Nobody is two people, and no two people are one: identities in every spelling, keys, services, and files that cannot be used."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.errors import PeopleError
from rai_pipelines.governance.people.directory import Directory, read_directory, require_person
from rai_pipelines.governance.people.identity import canonical_identity

KEY = "a" * 64


def written(folder: Path, *people: dict[str, Any]) -> Path:
    path = folder / "people.yaml"
    path.write_text(yaml.safe_dump({"schema": "rai.people/v1", "people": list(people)}, allow_unicode=True), encoding="utf-8")
    return path


def person(identity: str = "reviewer", **fields: Any) -> dict[str, Any]:
    return {"id": identity, "name": "a reviewer", **fields}


@pytest.mark.parametrize(
    "spelling", ["reviewer", "REVIEWER", " Reviewer ", "\uff32\uff25\uff36\uff29\uff25\uff37\uff25\uff32", "Reviewer@Example.org", "corp\\Reviewer"]
)
def test_one_person_is_found_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    directory = read_directory(written(tmp_path, person(mail="reviewer@example.org", identities=["corp\\reviewer"])))
    assert require_person(directory, spelling).id == "reviewer"


@pytest.mark.parametrize("lookalike", ["r\u0435viewer", "reviewer\u200b", "rev\u0131ewer"])
def test_letters_that_look_alike_are_nobody_and_cannot_be_written_into_the_file(tmp_path: Path, lookalike: str) -> None:
    directory = read_directory(written(tmp_path, person()))
    assert directory.find(lookalike) is None
    with pytest.raises(PeopleError, match="look-alike"):
        read_directory(written(tmp_path, person(), person(lookalike)))


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ({"identities": ["x"]}, {"identities": ["X"]}, "x belongs to both"),
        ({"keys": [{"id": KEY}]}, {"keys": [{"id": KEY}]}, "key aaaa"),
        ({"mail": "A@example.org"}, {"mail": "a@EXAMPLE.org"}, "belongs to both"),
        ({}, {"deputy": "nobody"}, "names nobody"),
        ({}, {"responsible": ["reviewer"], "roles": ["validator"]}, "neither keys nor roles"),
        ({"responsible": ["other"]}, {"responsible": ["reviewer"]}, "reviewer acts for other, which itself acts for others"),
    ],
)
def test_a_file_in_which_people_run_into_each_other_is_refused(tmp_path: Path, first: dict[str, Any], second: dict[str, Any], problem: str) -> None:
    with pytest.raises(PeopleError, match=problem):
        read_directory(written(tmp_path, person("reviewer", **first), person("other", **second)))


def test_a_person_who_stands_in_the_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeopleError, match="twice"):
        read_directory(written(tmp_path, person(), person("REVIEWER")))


def test_a_service_stands_for_the_people_who_answer_for_it(tmp_path: Path) -> None:
    directory = read_directory(written(tmp_path, person(), person("ci", responsible=["reviewer"])))
    assert directory.standing_for("CI") == {"reviewer"}
    assert directory.standing_for("reviewer") == {"reviewer"}
    assert directory.standing_for("nobody") == frozenset()


def test_without_a_file_there_is_nobody(tmp_path: Path) -> None:
    directory = read_directory(tmp_path / "people.yaml")
    assert directory == Directory(schema="rai.people/v1")
    with pytest.raises(PeopleError, match="nobody in the file"):
        require_person(directory, "reviewer")


def test_a_change_of_the_file_changes_its_digest(tmp_path: Path) -> None:
    before = read_directory(written(tmp_path, person())).digest
    assert read_directory(written(tmp_path, person(roles=["validator"]))).digest != before


@given(st.text(min_size=1, max_size=40))
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    assert canonical_identity(canonical_identity(text)) == canonical_identity(text)


def test_a_file_that_every_user_may_write_says_who_nobody_is(tmp_path: Path) -> None:
    path = written(tmp_path, person())
    path.chmod(0o666)
    with pytest.raises(PeopleError, match=r"every user.*chmod o-w"):
        read_directory(path)


def test_a_role_that_somebody_held_counts_until_its_day(tmp_path: Path) -> None:
    directory = read_directory(written(tmp_path, person(roles=["validator"], former_roles={"risk_owner": "2026-12-31"})))
    (reviewer,) = directory.people
    assert reviewer.held("validator", date(2030, 1, 1))
    assert [reviewer.held("risk_owner", date(2026, 12, day)) for day in (1, 31)] == [True, True]
    assert not reviewer.held("risk_owner", date(2027, 1, 1)) and not reviewer.held("ethics_officer", date(2026, 1, 1))
    assert directory.in_role("risk_owner") == ()
