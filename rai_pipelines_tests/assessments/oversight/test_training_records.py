"""Training records come from a file or an allowed host, and a server that misbehaves gets no more than its limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rai_pipelines.assessments.oversight import training_records
from rai_pipelines.assessments.oversight.training_records import read_training
from rai_pipelines.errors import DataError
from rai_pipelines.subjects.oversight import TrainingRecords

CSV = "reviewer_id,valid_from,valid_until\nann,2026-01-01,2026-12-31\nbo,2026-01-01T00:00:00+02:00,2026-06-01\ncy,2026-01-01,\ndi,soon,2026-12-31\n"


class Server(BaseHTTPRequestHandler):
    """Speaks CSV, redirects, drips, floods and fails, by path."""

    elsewhere = ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/records.csv":
                self.answer(200, CSV.encode())
            case "/moved":
                self.answer(302, b"", location="/records.csv")
            case "/loop":
                self.answer(302, b"", location="/loop")
            case "/away":
                self.answer(302, b"", location=self.elsewhere)
            case "/flood":
                self.answer(200, b"x" * 4096)
            case "/drip":
                self.send_response(200)
                self.end_headers()
                for _ in range(40):
                    try:
                        self.wfile.write(b"x")
                        self.wfile.flush()
                    except OSError:
                        return
                    time.sleep(0.05)
            case _:
                self.answer(500, b"no")

    def answer(self, status: int, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def serving() -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    one, other = serving(), serving()
    Server.elsewhere = f"http://127.0.0.1:{other.server_port}/records.csv"
    yield f"127.0.0.1:{one.server_port}"
    one.shutdown()
    other.shutdown()


def read(source: str, *hosts: str, folder: Path = Path()) -> training_records.ReadRecords:
    return read_training(TrainingRecords(source=source), data_folder=folder, hosts=hosts)


def test_a_file_is_read_and_training_without_an_expiry_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text(CSV, encoding="utf-8")
    found = read("training.csv", folder=tmp_path)
    assert [period.reviewer for period in found.periods] == ["ann", "bo"]
    assert found.unusable == 2
    assert found.periods[1].from_us == 1_767_218_400 * 1_000_000, "a zone is heeded"


def test_an_address_gives_the_same_as_the_file_and_redirects_within_its_host_are_followed(host: str, tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text(CSV, encoding="utf-8")
    from_file = read("training.csv", folder=tmp_path)
    assert read(f"http://{host}/records.csv?token=s3cret", host) == from_file
    assert read(f"http://{host}/moved", host) == from_file


@pytest.mark.parametrize(
    ("path", "words"),
    [("/away", "redirects to another host"), ("/loop", "redirects more than"), ("/broken", "status 500")],
)
def test_a_server_that_leads_away_or_fails_is_refused_without_telling_its_token(host: str, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(f"http://{host}{path}?token=s3cret", host)
    assert "s3cret" not in str(caught.value)


def test_a_flood_and_a_drip_end_at_their_limits(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_records, "MOST_BYTES", 1024)
    with pytest.raises(DataError, match="sends more than"):
        read(f"http://{host}/flood", host)
    monkeypatch.setattr(training_records, "MOST_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"takes longer than 0\.3 s"):
        read(f"http://{host}/drip", host)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("http://records.example.org/t.csv", "https address"),
        ("https://user:pw@records.example.org/t.csv", "without a login"),
        ("https://records.example.org/t.csv", "is not an allowed host"),
        ("ftp://records.example.org/t.csv", "https address"),
        ("https://[half/t.csv", "is not an address"),
    ],
)
def test_only_allowed_hosts_over_https_are_asked(source: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(source, "other.example.org")
    assert "pw" not in str(caught.value)


def test_a_host_that_does_not_answer_is_told(host: str) -> None:
    closed = serving()
    closed.server_close()
    place = f"127.0.0.1:{closed.server_port}"
    with pytest.raises(DataError, match="does not answer"):
        read(f"http://{place}/records.csv", place)


def test_a_file_without_the_columns_or_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,until\nann,2026-01-01\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column reviewer_id, valid_from, valid_until"):
        read("t.csv", folder=tmp_path)
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read("t.csv", folder=tmp_path)


def test_more_people_than_a_query_can_carry_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_records, "MOST_PERIODS", 1)
    (tmp_path / "training.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(DataError, match="has more than 1 rows"):
        read("training.csv", folder=tmp_path)
