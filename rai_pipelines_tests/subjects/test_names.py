"""Partition keys: any name a registry allows becomes a safe key, and comes back unchanged."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.errors import InvalidName
from rai_pipelines.subjects.names import MAX_PART_BYTES, ModelVersion

printable = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)


@given(printable, printable)
def test_every_name_comes_back_from_its_key(name: str, version: str) -> None:
    made = ModelVersion(name, version)
    assert ModelVersion.from_key(made.key) == made


@given(printable, printable)
def test_no_key_leaves_its_folder(name: str, version: str) -> None:
    parts = PurePosixPath(ModelVersion(name, version).key).parts
    assert len(parts) == 2
    assert not any(part.startswith(".") for part in parts)


@pytest.mark.parametrize("name", ["..", "a/../../b", "credit scoring", 'quo"te', "naïve/模型", "|pipe|", "a,b"])
def test_awkward_names_are_quoted(name: str) -> None:
    key = ModelVersion(name, "1").key
    assert key.count("/") == 1
    assert not set(key) & set(' "|,')


@pytest.mark.parametrize("key", ["", "a", "a/b/c", "a b/1", "../1", "a%2fb/1"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidName):
        ModelVersion.from_key(key)


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("a", ""), ("a\n", "1"), ("a", "\x00"), ("é" * MAX_PART_BYTES, "1")])
def test_impossible_names_are_refused(name: str, version: str) -> None:
    with pytest.raises(InvalidName):
        ModelVersion(name, version)


def test_the_last_slash_divides_name_and_version() -> None:
    assert ModelVersion.parse("team/credit scoring/3") == ModelVersion("team/credit scoring", "3")
