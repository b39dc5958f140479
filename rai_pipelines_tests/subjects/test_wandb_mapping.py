"""How collections of W&B become models, and tags become metadata: pure functions, nothing of W&B is needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.errors import InvalidName, RegistryRefused, SettingsError
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines.subjects.wandb_mapping import (
    METADATA_KEYS_MAX,
    Place,
    check_alias,
    milliseconds,
    moves_of_alias,
    own_aliases,
    parse_place,
    tags_of,
    version_of,
    with_tags,
)

PLACE = Place("acme", "wandb-registry-models")
LOANS = ModelVersion("loans", "3")

keys = st.text(min_size=1, max_size=8)
values = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.lists(st.integers(), max_size=2), st.dictionaries(keys, st.text())
)
metadata = st.dictionaries(st.one_of(keys, st.just("rai")), values, max_size=12)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("wandb://acme/wandb-registry-models", PLACE),
        ("wandb://lending/scoring", Place("lending", "scoring")),
        ("wandb://lending/my%20project/?type=scorer", Place("lending", "my project", "scorer")),
    ],
)
def test_an_address_names_a_place(uri: str, place: Place) -> None:
    assert parse_place(uri) == place
    assert parse_place(uri).is_registry is place.project.startswith("wandb-registry-")
    assert PLACE.registry_name == "models"


@pytest.mark.parametrize(
    "uri",
    [
        "wandb://",
        "wandb://acme",
        "wandb://acme/",
        "wandb://a/b/c",
        "wandb://a/b?kind=x",
        "wandb://key:secret@a/b",
        "http://a/b",
        "wandb://a/wandb-registry-",
    ],
)
def test_an_address_that_names_none_is_refused_without_being_repeated(uri: str) -> None:
    with pytest.raises(SettingsError, match="RAI_TRACKING_URI") as caught:
        parse_place(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "v", "latest", "v-1", "v01", "v1.5", "v１", "vv1"])
def test_what_is_no_version_of_wandb_is_none_here(text: str) -> None:
    with pytest.raises(InvalidName):
        version_of("loans", text)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_version_keeps_its_number_so_that_the_one_before_is_found(number: int) -> None:
    assert version_of("loans", f"v{number}") == ModelVersion("loans", str(number))


@pytest.mark.parametrize("text", ["2026-11-15T10:00:00Z", "2026-11-15T10:00:00", "2026-11-15T11:00:00+01:00", "2026-11-15T10:00:00.000Z"])
def test_moments_are_utc_in_every_way_that_they_are_written(text: str) -> None:
    assert milliseconds(text) == 1_794_736_800_000


def test_aliases_that_wandb_moves_by_itself_are_not_taken_for_decisions() -> None:
    assert own_aliases(["v3", "latest", "production", "champion", "v", "version2"]) == ("champion", "production", "v", "version2")
    for alias in ("", "latest", "v3", "a/b", "a:b"):
        with pytest.raises(InvalidName):
            check_alias(alias)
    check_alias("approved")


@given(st.sets(st.sampled_from("0123")), st.one_of(st.none(), st.sampled_from("0123")))
def test_after_its_moves_an_alias_is_where_it_belongs_and_nowhere_else(holders: set[str], target: str | None) -> None:
    add, taken_from = moves_of_alias(holders, target)
    after = (holders | ({target} if add and target else set())) - set(taken_from)
    assert after == ({target} if target else set())
    assert add or not target or target in holders


@given(metadata, st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=6))
def test_tags_are_read_as_they_were_written_and_nothing_of_others_is_changed(before: dict[str, Any], tags: dict[str, str]) -> None:
    after = with_tags(before, PLACE, LOANS, tags)
    assert {key: value for key, value in after.items() if key != "rai"} == {key: value for key, value in before.items() if key != "rai"}
    found = tags_of(after, PLACE, LOANS)
    assert all(found[key] == value for key, value in tags.items())
    assert with_tags(after, PLACE, LOANS, tags) == after, "told twice is told once"


def test_a_verdict_on_a_version_is_no_verdict_on_another_collection_that_links_the_same_artifact() -> None:
    written = with_tags({"stage": "production"}, PLACE, LOANS, {"rai.gate": "approved"})
    assert tags_of(written, PLACE, LOANS) == {"stage": "production", "rai.gate": "approved"}
    for place, version in ((PLACE, ModelVersion("cards", "3")), (PLACE, ModelVersion("loans", "2")), (Place("acme", "scoring"), LOANS)):
        assert tags_of(written, place, version) == {"stage": "production"}
    both = with_tags(written, PLACE, ModelVersion("cards", "3"), {"rai.gate": "rejected"})
    assert tags_of(both, PLACE, LOANS)["rai.gate"] == "approved"


def test_what_people_wrote_is_read_as_text() -> None:
    found = tags_of({"stage": True, "n": 3, "auc": 0.75, "nested": {"a": 1}, "list": [1], "none": None, "rai": "not ours"}, PLACE, LOANS)
    assert found == {"stage": "true", "n": "3", "auc": "0.75"}


def test_metadata_that_is_full_is_left_alone_and_says_so() -> None:
    full: dict[str, Any] = {f"key{number}": number for number in range(METADATA_KEYS_MAX)}
    with pytest.raises(RegistryRefused, match=r"loans/3.*100 metadata keys"):
        with_tags(full, PLACE, LOANS, {"rai.gate": "approved"})
    del full["key0"]
    assert len(with_tags(full, PLACE, LOANS, {"a": "1", "b": "2"})) == METADATA_KEYS_MAX
