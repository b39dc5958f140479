"""The store keeps evidence once, verifies what it gives back, and never shows half a file."""

import threading
from pathlib import Path

import pytest

from rai_pipelines.errors import EvidenceError
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore, write_atomically
from rai_pipelines_tests.conftest import evidence, figure


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)
    made = evidence("bias_assessment", figure("selection_rate", 0.5, 0.4, 0.6, n=100, denominator=100))
    receipt = store.put(made, kind="bias_assessment", folder="m/1", status=made.status, duration_s=1.5)
    assert receipt.digest == made.digest
    assert store.get(receipt.digest, Evidence) == made
    assert store.latest("bias_assessment", "m/1") == receipt


def test_the_same_content_is_one_object_with_two_receipts(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)
    made = evidence("bias_assessment")
    for seconds in (1.0, 2.0):
        store.put(made, kind="bias_assessment", folder="m/1", status=made.status, duration_s=seconds)
    assert len(list((tmp_path / "objects").rglob("*.json"))) == 1
    assert [receipt.duration_s for receipt in store.history("m/1")] == [1.0, 2.0]


def test_altered_evidence_is_refused(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)
    made = evidence("bias_assessment", figure("selection_rate", 0.5))
    store.put(made, kind="bias_assessment", folder="m/1", status=made.status)
    path = next((tmp_path / "objects").rglob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    with pytest.raises(EvidenceError, match="altered after it was stored"):
        store.get(made.digest, Evidence)


def test_absent_evidence_and_a_digest_that_is_a_path_are_refused(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)
    with pytest.raises(EvidenceError, match="not in the evidence store"):
        store.get("sha256:" + "0" * 64, Evidence)
    with pytest.raises(EvidenceError, match="not a digest"):
        store.get("sha256:../../../etc/passwd", Evidence)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def crash(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="power cut"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)

    def write(number: int) -> None:
        for step in range(20):
            made = evidence(f"step_{step}", figure("selection_rate", number / 10))
            store.put(made, kind=made.assessment, folder="m/1", status=Status.COMPLETE)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = store.history("m/1")
    assert len(history) == 80
    assert all(store.get(receipt.digest, Evidence).assessment == receipt.assessment for receipt in history)


def test_half_a_line_in_a_history_is_told_with_file_line_and_what_to_do(tmp_path: Path) -> None:
    store = LocalEvidenceStore(tmp_path)
    store.put(evidence("bias_assessment"), kind="bias_assessment", folder="m/1", status=Status.COMPLETE)
    with (tmp_path / "history" / "m" / "1.jsonl").open("ab") as stream:
        stream.write(b'{"digest":"sha256:12')
    with pytest.raises(EvidenceError, match=r"1\.jsonl:2: is not a receipt\. A full disk leaves half a line"):
        store.history("m/1")
