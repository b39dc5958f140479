"""The scan in a process of its own finds what the scan finds, and a file that breaks it is not scannable and breaks nothing else."""

from __future__ import annotations

import os
import signal
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from rai_pipelines.errors import ModelMissing
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.model_host import confined_scan
from rai_pipelines.model_host.confined_scan import scan_confined
from rai_pipelines.model_host.process import ModelProcess
from rai_pipelines.model_host.scan import ScanReport, scan_model_files
from rai_pipelines.model_host.scan_parts import ScanLimits, Verdict
from rai_pipelines_tests.model_host.test_host import gone
from rai_pipelines_tests.model_host.test_scan import LABELS, ROWS, WRAPPED, Chained, Exploit


def filled(folder: Path) -> Path:
    """A folder of exploits in every wrapping, of links, of an ordinary model and of noise."""
    (folder / "sub").mkdir(parents=True)
    for number, (name, wrap) in enumerate(WRAPPED.items()):
        (folder / "sub" / f"{number:02} {name}.bin").write_bytes(wrap((Exploit, Chained)[number % 2](folder / "mark")))
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), folder / "model.skops")
    (folder / "noise").write_bytes(bytes(range(128, 256)))
    (folder / "weiß\udc80.txt").write_bytes(b"a name that is no UTF-8")
    (folder / "outside").symlink_to("/etc/hostname")
    (folder / "inside").symlink_to("noise")
    (folder / "nothing").symlink_to("gone")
    os.mkfifo(folder / "pipe")
    return folder


def by_name(report: ScanReport) -> dict[str, Verdict]:
    return {file.path: file.verdict for file in report.files}


@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["readable by all", "by the auditor alone"])
def test_a_confined_scan_reports_what_a_scan_reports_to_the_word_and_runs_nothing(tmp_path: Path, mode: int) -> None:
    folder = filled(tmp_path / "m")
    folder.chmod(mode)
    own, (report, where) = scan_model_files(folder), scan_confined(folder)
    assert report == own
    assert len(report.with_verdict(Verdict.DANGEROUS)) == len(WRAPPED) + 1
    assert not (folder / "mark").exists()
    assert where.isolation is not None
    confined_scan._KNOWN.clear()
    assert canonical_json(where.details()) == canonical_json(scan_confined(folder)[1].details())


def test_the_same_files_are_read_once_and_changed_ones_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"plain text\n")
    first = scan_confined(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(ModelProcess, "__init__", None)  # nothing can be started
        assert scan_confined(tmp_path) is first
    times = (tmp_path / "a").stat()
    (tmp_path / "a").write_bytes(b"cos\nsystem")
    os.utime(tmp_path / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "b").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert by_name(scan_confined(tmp_path)[0]) == by_name(scan_model_files(tmp_path)) != by_name(first[0])


def test_limits_and_trusted_types_reach_the_process(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3 * 2**20))
    limits = ScanLimits(unpacked_bytes=2**20)
    report, _ = scan_confined(tmp_path, limits=limits)
    assert report == scan_model_files(tmp_path, limits=limits)
    assert by_name(report) == {"big.zip": Verdict.NOT_SCANNABLE}


def test_a_file_that_ends_the_process_is_not_scannable_and_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(b"plain text\n")
    ask = ModelProcess.ask

    def kills(process: ModelProcess, header: Any, *others: Any) -> Any:
        """As a parser that crashes: the process is gone when it should answer."""
        if header["path"] == "b":
            guard = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
            os.kill(int(guard), signal.SIGKILL)
            assert gone(int(guard))
        return ask(process, header, *others)

    monkeypatch.setattr(ModelProcess, "ask", kills)
    report, where = scan_confined(tmp_path)
    assert {file.path for file in report.files if file.verdict is Verdict.NOT_SCANNABLE} == {"b"}
    assert "ended the process that read it: was killed" in report.files[1].reasons[0] or "crashed" in report.files[1].reasons[0]
    assert by_name(report)["d"] is by_name(scan_model_files(tmp_path))["d"]
    assert where.isolation is not None


def test_files_that_are_not_read_in_time_end_the_scan_after_three_and_none_reads_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcde":
        (tmp_path / name).write_bytes(b"plain text\n")
    monkeypatch.setattr(confined_scan, "FILE_S", 0.0)
    report, _ = scan_confined(tmp_path)
    assert set(by_name(report).values()) == {Verdict.NOT_SCANNABLE}
    assert "did not answer within 0 s" in report.files[0].reasons[0]
    assert report.files[3].reasons == ("was not read, because other files ended the scan 3 times",)


@pytest.mark.parametrize(
    "answer", [{}, {"scan": None}, {"scan": {"format": "x", "verdict": "fine", "reasons": []}}, {"scan": {"format": "x", "verdict": "clean"}}]
)
def test_a_forged_answer_is_not_scannable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    (tmp_path / "a").write_bytes(b"plain text\n")
    monkeypatch.setattr(ModelProcess, "ask", lambda *given: (answer, []))
    report, _ = scan_confined(tmp_path)
    assert by_name(report) == {"a": Verdict.NOT_SCANNABLE}


def test_where_no_process_can_be_started_the_files_are_read_here_and_the_evidence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    report, where = scan_confined(tmp_path)
    assert by_name(report) == {"evil.pkl": Verdict.DANGEROUS}
    told = where.details()
    assert told["where"] == "the auditor's own process"
    assert "no process could be started for the scan: the model's process cannot be started (No such file or directory)" in str(told["reason"])


def test_a_folder_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        scan_confined(tmp_path / "gone")
