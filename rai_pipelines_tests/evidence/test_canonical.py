"""Canonical JSON: equal content has equal bytes, and what JSON cannot carry is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.canonical import canonical_json, digest_of, digest_of_folder

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_form_survives_a_round_trip_through_json(value: object) -> None:
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@given(st.dictionaries(st.text(), st.integers(-1000, 1000), min_size=2))
def test_the_order_of_keys_does_not_change_the_digest(content: dict[str, int]) -> None:
    assert digest_of(dict(reversed(list(content.items())))) == digest_of(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan"), 2**60 + 1, {1, 2}, object()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(EvidenceError):
        canonical_json({"value": value})


def test_numpy_scalars_read_as_the_numbers_they_are() -> None:
    assert canonical_json({"a": np.int64(3), "b": np.float64(0.5), "c": np.bool_(True)}) == b'{"a":3,"b":0.5,"c":true}'


def test_a_folder_digest_changes_with_names_and_contents_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "model.bin").write_bytes(b"weights")
    assert digest_of_folder(first) == digest_of_folder(second)
    (second / "inner" / "model.bin").rename(second / "inner" / "other.bin")
    assert digest_of_folder(first) != digest_of_folder(second)
