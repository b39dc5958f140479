"""The ledger holds against every change: to a field, an entry, their order, their number, a signature; and against two writers at once."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from rai_pipelines.errors import LedgerError
from rai_pipelines.governance.database.tables import ledger_checkpoints, ledger_entries
from rai_pipelines.governance.ledger.checkpoints import read_outside, sign_checkpoint
from rai_pipelines.governance.ledger.entry import GENESIS, LedgerEntry, hash_of, read_entry, seal
from rai_pipelines.governance.ledger.merkle import Frontier, frontier_of, root_of
from rai_pipelines.governance.ledger.storage import Happening, Ledger
from rai_pipelines.governance.ledger.verify import Verification, verify_ledger

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
SIGNER = CryptoSigner.generate_ed25519()
WRITER = """
import sys
from rai_pipelines.governance.database.engine import open_database
from rai_pipelines.governance.ledger.storage import Happening, Ledger
ledger = Ledger(open_database(sys.argv[1]))
for number in range(int(sys.argv[3])):
    ledger.append(Happening("verdict", "system:audit", {"writer": sys.argv[2], "number": number}))
"""


def chain(length: int) -> list[str]:
    lines, previous = [], GENESIS
    for number in range(1, length + 1):
        entry = LedgerEntry(
            sequence=number,
            previous=previous,
            recorded_at=NOW + timedelta(seconds=number),
            kind="verdict",
            model_name="loans",
            model_version=str(number),
            actor="system:audit",
            body={"verdict": "compliant", "digest": "sha256:" + "a" * 64, "n": number},
        )
        content, previous = seal(entry)
        lines.append(content)
    return lines


def checkpoint_of(lines: list[str], signer: CryptoSigner = SIGNER) -> dict[str, Any]:
    frontier = Frontier()
    for line in lines:
        frontier.add(hash_of(line.encode()))
    return sign_checkpoint(frontier, hash_of(lines[-1].encode()), NOW, signer)


def verified(lines: list[str], *envelopes: dict[str, Any]) -> Verification:
    return verify_ledger(lines, envelopes, [SIGNER.public_key])


def resealed(lines: list[str]) -> list[str]:
    """The same contents with a chain that fits again: what a forger with the database would do."""
    made, previous = [], GENESIS
    for line in lines:
        content = json.loads(line) | {"previous": previous, "sequence": len(made) + 1}
        made.append(json.dumps(content, sort_keys=True, separators=(",", ":")))
        previous = hash_of(made[-1].encode())
    return made


# Recording


def test_entries_follow_one_another_and_the_export_verifies_offline(engine: sa.Engine, tmp_path: Path) -> None:
    ledger = Ledger(engine, clock=lambda: NOW)
    for number in range(7):
        ledger.append(Happening("verdict", "system:audit", {"number": number}, "loans", "1"))
        if number == 3:
            ledger.checkpoint(SIGNER, tmp_path / "outside")
    assert ledger.checkpoint(SIGNER, tmp_path / "outside") is not None
    assert ledger.checkpoint(SIGNER, tmp_path / "outside") is None, "nothing was added since"
    exported = io.StringIO()
    assert ledger.export(exported) == 7
    found = verify_ledger(io.StringIO(exported.getvalue()), read_outside(tmp_path / "outside"), [SIGNER.public_key])
    assert (found.holds, found.entries, found.sealed, found.checkpoints, found.problems) == (True, 7, 7, 2, [])


def test_no_checkpoint_goes_on_from_one_that_was_not_signed(engine: sa.Engine, tmp_path: Path) -> None:
    ledger = Ledger(engine, clock=lambda: NOW)
    for number in range(5):
        ledger.append(Happening("verdict", "system:audit", {"number": number}))
    ledger.checkpoint(SIGNER, tmp_path)
    ledger.append(Happening("verdict", "system:audit", {"number": 5}))
    with engine.begin() as connection:  # whoever may write rows says that all is signed, or something else
        kept = connection.execute(sa.select(ledger_checkpoints)).one()._asdict()
        connection.execute(ledger_checkpoints.insert().values(**{**kept, "size": 6, "peaks": json.dumps(["00" * 32, "11" * 32])}))
        connection.execute(ledger_checkpoints.insert().values(size=7, peaks="x", envelope="x"))
    made = ledger.checkpoint(SIGNER, tmp_path)
    assert made is not None
    exported = io.StringIO()
    ledger.export(exported)
    found = verify_ledger(io.StringIO(exported.getvalue()), read_outside(tmp_path), [SIGNER.public_key])
    assert (found.holds, found.sealed, found.problems) == (True, 6, [])


def test_a_ledger_that_lost_entries_that_were_signed_gets_no_checkpoint(engine: sa.Engine, tmp_path: Path) -> None:
    ledger = Ledger(engine, clock=lambda: NOW)
    for number in range(5):
        ledger.append(Happening("verdict", "system:audit", {"number": number}))
    ledger.checkpoint(SIGNER, tmp_path)
    with engine.begin() as connection:  # as the owner of the database
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER ledger_entries_no_delete")
        else:
            connection.exec_driver_sql("ALTER TABLE ledger_entries DISABLE TRIGGER ALL")
        connection.execute(ledger_entries.delete().where(ledger_entries.c.sequence == 5))
    with pytest.raises(LedgerError, match="entry 5 is not the one that was signed"):
        ledger.checkpoint(SIGNER, tmp_path)
    ledger.append(Happening("verdict", "system:audit", {"number": "another fifth"}))
    with pytest.raises(LedgerError, match="entry 5 is not the one that was signed"):
        ledger.checkpoint(SIGNER, tmp_path)


def test_two_processes_that_write_at_once_keep_one_chain(engine: sa.Engine, database_url: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, database_url, name, "25"]) for name in ("one", "two")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    entries = list(Ledger(engine).entries())
    assert [entry.sequence for entry in entries] == list(range(1, 51))
    for name in ("one", "two"):
        assert [entry.body["number"] for entry in entries if entry.body["writer"] == name] == list(range(25))
    assert not [
        problem for problem in verified([content for _, _, content in Ledger(engine).rows()]).problems if "no signed checkpoint" not in problem
    ]


def test_a_clock_that_is_set_back_takes_no_time_back(engine: sa.Engine) -> None:
    Ledger(engine, clock=lambda: NOW).append(Happening("verdict", "system:audit", {}))
    later = Ledger(engine, clock=lambda: NOW - timedelta(days=400)).append(Happening("verdict", "system:audit", {}))
    assert later.recorded_at == NOW


def test_a_decision_and_its_record_are_there_together_or_not_at_all(engine: sa.Engine) -> None:
    ledger = Ledger(engine)
    with pytest.raises(RuntimeError), engine.begin() as connection:
        ledger.append_within(connection, Happening("approval", "key:abc", {}))
        raise RuntimeError("the decision could not be written")
    assert list(ledger.entries()) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"reviewer": "someone@example.org"}, "mail address"),
        ({"reason": "x" * 301}, "301 characters"),
        ({"a": [{"b@example.org": 1}]}, "mail address"),
    ],
)
def test_personal_data_and_free_texts_never_enter(engine: sa.Engine, body: dict[str, Any], said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        Ledger(engine).append(Happening("approval", "key:abc", body))
    with pytest.raises(LedgerError, match="actor"):
        Ledger(engine).append(Happening("approval", "Somebody Else", {}))


# Verifying


def test_the_whole_document_is_sealed(tmp_path: Path) -> None:
    lines = chain(4)
    envelope = checkpoint_of(lines)
    content = json.loads(lines[1])
    places: list[tuple[list[Any], Any]] = []

    def walk(value: Any, path: list[Any]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, [*path, key])
        else:
            places.append((path, value))

    walk(content, [])
    assert len(places) >= 11
    for path, value in places:
        changed = json.loads(lines[1])
        holder = changed
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value + 1 if isinstance(value, int) else "log" if value == "document" else str(value)[:-1] + "9"
        forged = [lines[0], json.dumps(changed, sort_keys=True, separators=(",", ":")), *lines[2:]]
        assert not verified(forged, envelope).holds, path
        if path not in (["previous"], ["sequence"]):  # to make the chain fit again would undo these two
            assert not verified(resealed(forged), envelope).holds, path


CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "deletion": lambda lines: [*lines[:2], *lines[3:]],
    "deletion with a chain that fits again": lambda lines: resealed([*lines[:2], *lines[3:]]),
    "truncation": lambda lines: lines[:-1],
    "everything gone": lambda _: [],
    "reordering": lambda lines: [lines[1], lines[0], *lines[2:]],
    "reordering with a chain that fits again": lambda lines: resealed([lines[1], lines[0], *lines[2:]]),
    "insertion": lambda lines: resealed([*lines[:2], lines[1], *lines[2:]]),
    "a second form of the same entry": lambda lines: [lines[0].replace(",", ", ", 1), *lines[1:]],
    "a name twice in one object": lambda lines: [lines[0].replace("{", '{"kind":"approval",', 1), *lines[1:]],
    "no JSON": lambda lines: ["oops", *lines[1:]],
    "nesting without end": lambda lines: ["[" * 100_000, *lines[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_to_the_entries_is_found(change: str) -> None:
    lines = chain(6)
    envelope = checkpoint_of(lines)
    assert verified(lines, envelope).holds
    found = verified(CHANGES[change](lines), envelope)
    assert not found.holds
    assert found.problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", "100000000000000000000000"),
        ("n", "NaN"),
        ("recorded_at", "1764579600"),
        ("recorded_at", '"2026-12-01T09:00:01Z"'),
        ("recorded_at", '"2026-12-01T09:00:01.000000"'),
        ("recorded_at", '"2026-12-01T10:00:01.000000+01:00"'),
        ("sequence", "true"),
        ("sequence", '"1"'),
    ],
)
def test_an_entry_in_another_writing_of_the_same_is_no_entry(name: str, value: str) -> None:
    (line,) = chain(1)
    written = re.sub(rf'"{name}":("[^"]*"|\d+)', f'"{name}":{value}', line)
    assert written != line
    with pytest.raises(LedgerError, match=r"is written otherwise|not readable|canonical"):
        read_entry(written)


def test_an_entry_that_leaves_out_what_is_nothing_is_no_entry() -> None:
    (line,) = chain(1)
    with pytest.raises(LedgerError, match="is written otherwise"):
        read_entry(line.replace('"retention":"document",', ""))


def test_a_checkpoint_by_another_key_or_with_another_content_is_forged() -> None:
    lines = chain(3)
    other = CryptoSigner.generate_ed25519()
    assert not verified(lines, checkpoint_of(lines, other)).holds
    claimed = checkpoint_of(lines, other)
    claimed["signatures"][0]["keyid"] = SIGNER.public_key.keyid
    assert not verified(lines, claimed).holds
    moved = checkpoint_of(lines) | {"payload": checkpoint_of(lines[:2])["payload"]}
    assert not verified(lines, moved).holds


def test_without_a_checkpoint_nobody_vouches_for_the_end() -> None:
    found = verified(chain(3))
    assert (found.holds, found.sealed) == (False, 0)


def test_an_error_in_mid_way_is_never_a_pass() -> None:
    def breaking() -> Any:
        yield from chain(2)
        raise OSError("the disk is gone")

    lines = chain(2)
    found = verify_ledger(breaking(), [checkpoint_of(lines)], [SIGNER.public_key])
    assert not found.holds
    assert "the disk is gone" in found.problems[-1]


def test_entries_after_the_last_checkpoint_are_not_said_to_be_sealed() -> None:
    lines = chain(5)
    found = verified(lines, checkpoint_of(lines[:3]))
    assert (found.holds, found.entries, found.sealed) == (True, 5, 3)


# The tree


def tree_head(hashes: list[str]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashlib.sha256(b"\x00" + bytes.fromhex(hashes[0])).digest()
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + tree_head(hashes[:half]) + tree_head(hashes[half:])).digest()


@given(st.integers(0, 70), st.integers(0, 70))
def test_the_root_is_that_of_rfc_6962_and_a_kept_frontier_goes_on_as_if_never_stopped(first: int, more: int) -> None:
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first + more)]
    assert root_of(hashes) == tree_head(hashes).hex()
    frontier = Frontier()
    for item in hashes[:first]:
        frontier.add(item)
    kept = frontier_of(frontier.size, frontier.as_texts())
    for item in hashes[first:]:
        kept.add(item)
    assert kept.root == tree_head(hashes).hex()


def test_an_entry_reads_back_as_it_was_sealed() -> None:
    line = chain(1)[0]
    assert seal(read_entry(line))[0] == line
