"""Direct identifiers are found by the words of column names and by what values look like, without the network."""

from __future__ import annotations

import socket
from pathlib import Path

import pandas as pd
import pytest

from rai_pipelines.assessments.privacy.direct_identifiers import PHRASES, ContentHit, kind_by_name, scan_content
from rai_pipelines.tables.source import open_table


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("Name", "name"),
        ("FirstName", "name"),
        ("last_name", "name"),
        ("email_address", "email"),
        ("home-address", "geographic"),
        ("ip address", "ip_address"),
        ("IPAddress", "ip_address"),
        ("zip", "geographic"),
        ("DateOfBirth", "date"),
        ("SSN", "social_security_number"),
        ("patientID", "other_unique_identifier"),
        ("customer.id", "other_unique_identifier"),
        ("MAC_ADDRESS", "device_identifier"),
        ("phone2", "phone"),
        ("VIN", "vehicle_identifier"),
    ],
)
def test_a_name_that_says_an_identifier_has_its_kind(column: str, kind: str) -> None:
    assert kind_by_name(column) == kind


@pytest.mark.parametrize(
    "column",
    [
        "statename",
        "state_name",
        "zipper",
        "zip3",
        "shipping",
        "relationship",
        "AGEP",
        "RAC1P",
        "native-country",
        "birth_year",
        "latent",
        "capital-gain",
        "trip",
        "",
        "名前",
        "id",
    ],
)
def test_a_name_that_only_contains_the_letters_has_none(column: str) -> None:
    assert kind_by_name(column) is None


def test_every_phrase_finds_its_own_kind() -> None:
    for kind, phrases in PHRASES.items():
        for phrase in phrases:
            assert kind_by_name(phrase.removeprefix("=").replace(" ", "_")) == kind, phrase


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("jane@example.org", "email"),
        ("(617) 253-1000", "phone"),
        ("536-22-1234", "social_security_number"),
        ("4111 1111 1111 1111", "account_number"),
        ("DE89370400440532013000", "account_number"),
        ("10.0.0.17", "ip_address"),
        ("00:1B:44:11:3A:B7", "device_identifier"),
        ("https://a.example.org/x", "url"),
        ("02139-4307", "geographic"),
    ],
)
def test_a_value_that_looks_like_an_identifier_is_found(tmp_path: Path, value: str, kind: str) -> None:
    pd.DataFrame({"text": [value, "Some-college", None, "<=50K"], "number": [1, 2, 3, 4]}).to_parquet(tmp_path / "t.parquet")
    scan = scan_content(open_table("t.parquet", name="training", data_folder=tmp_path), ["text", "number"], values=10, seed=0)
    assert scan.hits == (ContentHit("text", kind, matched=1, scanned=3),)
    assert dict(scan.scanned) == {"text": (3, 3)}
    assert scan.partial == ()


def test_ordinary_values_are_no_identifiers_and_the_network_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the scan opened a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    values = [
        "1000-2000",
        "2015-05-06",
        "12:30:45",
        "3.14159265",
        "123456789",
        "C1234567",
        "H.S. graduate",
        "nobody@nowhere.notatld",
        "2015-05-06 10:11:12",
    ]
    pd.DataFrame({"text": values}).to_parquet(tmp_path / "t.parquet")
    scan = scan_content(open_table("t.parquet", name="training", data_folder=tmp_path), ["text"], values=100, seed=0)
    assert scan.hits == ()


def test_a_scan_of_some_values_draws_the_same_ones_whatever_the_row_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"jane{i}@example.org" if i % 3 else f"no address {i}" for i in range(300)]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame[::-1].to_parquet(tmp_path / "b.parquet")
    scans = [scan_content(open_table(f"{name}.parquet", name="training", data_folder=tmp_path), ["text"], values=60, seed=4) for name in "ab"]
    assert scans[0] == scans[1]
    assert scans[0].partial == ("text",)
    assert scans[0].scanned["text"] == (60, 60)


def test_identifiers_within_lists_and_structures_are_found_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"list": [["jane@example.org", "x"], ["y"], None], "facts": [{"mail": None}, {"mail": "joe@example.org"}, {"mail": None}]})
    frame.to_parquet(tmp_path / "t.parquet")
    scan = scan_content(open_table("t.parquet", name="training", data_folder=tmp_path), ["list", "facts"], values=10, seed=0)
    assert scan.hits == (ContentHit("list", "email", matched=1, scanned=2), ContentHit("facts", "email", matched=1, scanned=3))
