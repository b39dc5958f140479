"""Files in object stores: read through the store's own protocol over a socket, pinned, and without anything secret in references or errors."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from rai_pipelines.errors import DataError
from rai_pipelines.tables.contingency import count_groups
from rai_pipelines.tables.overlap import duplicate_rows, overlap
from rai_pipelines.tables.profile import profile
from rai_pipelines.tables.source import TableSource, open_table

ROWS = 600
KEY, SECRET = "AKIAHUSHKEY000000001", "hush/secret+77"


def people(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "race": random.choice(np.array(["White", "Black", None], dtype=object), rows),
            "income": np.where(random.random(rows) < 0.1, np.nan, random.normal(0, 1, rows)),
            "y": random.integers(0, 2, rows),
            "p": random.integers(0, 2, rows),
        }
    )


def in_bytes(frame: pd.DataFrame, kind: str) -> bytes:
    written = io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(written)
    elif kind == "csv":
        frame.to_csv(written, index=False)
    else:
        frame.to_json(written, orient="records", lines=True, compression={"method": "gzip", "mtime": 1} if kind.endswith("gz") else None)
    return written.getvalue()


def opened(reference: str) -> TableSource:
    return open_table(reference, name="training", data_folder=Path("unused"))


def message(reference: str) -> str:
    with pytest.raises(DataError) as caught:
        opened(reference).count_rows()
    return str(caught.value)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks the S3 API on a local port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The files `put(key, content)` puts into the bucket `audit`; the environment says where it is."""
    import boto3

    in_environment(monkeypatch, endpoint)
    client = boto3.client("s3")
    client.create_bucket(Bucket="audit")
    for found in client.list_objects_v2(Bucket="audit").get("Contents", []):
        client.delete_object(Bucket="audit", Key=found["Key"])
    return lambda key, content: client.put_object(Bucket="audit", Key=key, Body=content)


def in_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    values = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("csv", "jsonl"))])
def test_a_file_in_s3_counts_and_has_the_digest_of_the_same_file_on_disk(bucket: Any, tmp_path: Path, kind: str) -> None:
    content = in_bytes(people(), kind)
    bucket(f"data/people.{kind}", content)
    (tmp_path / f"people.{kind}").write_bytes(content)
    source, on_disk = opened(f"s3://audit/data/people.{kind}"), open_table(f"people.{kind}", name="training", data_folder=tmp_path)
    assert source.digest() == on_disk.digest()
    assert profile(source) == profile(on_disk)
    assert duplicate_rows(source, ["race", "y"]) == duplicate_rows(on_disk, ["race", "y"])
    arguments: dict[str, Any] = {"attributes": ["race"], "bins": {}, "label": "y", "prediction": "p", "favourable": "1"}
    pd.testing.assert_frame_equal(count_groups(source, **arguments), count_groups(on_disk, **arguments))
    pd.testing.assert_frame_equal(source.sample(50, seed=1), on_disk.sample(50, seed=1))
    assert source.shown == source.reference == f"s3://audit/data/people.{kind}"


def test_a_glob_over_keys_is_one_table_in_the_order_of_names(bucket: Any, tmp_path: Path) -> None:
    frame = people()
    for number, part in enumerate((frame[:250], frame[250:])):
        bucket(f"data/year=20{number}0/part-{number}.parquet", in_bytes(part, "parquet"))
        (tmp_path / f"part-{number}.parquet").write_bytes(in_bytes(part, "parquet"))
    bucket("data/notes.txt", b"not a table")
    source = opened("s3://audit/data/**/part-*.parquet")
    assert source.sample(ROWS, seed=1)["id"].tolist() == list(range(ROWS))
    assert source.digest() == open_table("part-*.parquet", name="training", data_folder=tmp_path).digest()
    assert "year" in source.columns, "folders of the form name=value are a column, as on disk"


@pytest.mark.parametrize("key", ["a[1].parquet", "b*.parquet", "it's 100% ü.parquet"])
def test_a_key_with_odd_characters_means_that_object(bucket: Any, key: str) -> None:
    for other in ("a1.parquet", "bb.parquet"):
        bucket(other, in_bytes(pd.DataFrame({"x": ["other"]}), "parquet"))
    bucket(key, in_bytes(pd.DataFrame({"x": ["meant"]}), "parquet"))
    assert opened(f"s3://audit/{key}").sample(9, seed=1)["x"].tolist() == ["meant"]


def test_an_object_that_is_replaced_under_the_audit_is_said(bucket: Any) -> None:
    bucket("people.parquet", in_bytes(people(), "parquet"))
    source = opened("s3://audit/people.parquet")
    before = source.digest()
    bucket("people.parquet", in_bytes(people(30), "parquet"))
    with pytest.raises(DataError, match=r"people.parquet has changed since it was listed"):
        source.count_rows()
    again = opened("s3://audit/people.parquet")
    assert again.count_rows() == 30 and again.digest() != before
    bucket("people.parquet", in_bytes(people(), "parquet"))
    with pytest.raises(DataError, match="has changed"):
        profile(again)


def test_overlap_is_counted_between_buckets_and_disk(bucket: Any, tmp_path: Path) -> None:
    bucket("people.parquet", in_bytes(people(), "parquet"))
    bucket("few.csv", in_bytes(people(40), "csv"))
    people(40).to_parquet(tmp_path / "few.parquet")
    left = opened("s3://audit/people.parquet")
    few = open_table("few.parquet", name="evaluation", data_folder=tmp_path)
    for right in (opened("s3://audit/few.csv"), few):
        found = overlap(left, right, ["id", "race"])
        assert (found.rows, found.shared) == (40, 40)
    assert overlap(left, left, ["id"]).shared == ROWS


def test_what_is_not_in_the_bucket_is_said(bucket: Any) -> None:
    bucket("mixed/a.csv", b"x\n1\n")
    bucket("mixed/a.parquet", in_bytes(pd.DataFrame({"x": [1]}), "parquet"))
    bucket("table.xlsx", b"PK")
    bucket("broken.parquet", b"PAR1 this is no Parquet file")
    expected = {
        "s3://audit/absent.parquet": "no file of the training table is there",
        "s3://audit/absent/*.parquet": "no file of the training table is there",
        "s3://nowhere/absent.parquet": "no file of the training table is there",
        "s3://audit/mixed/*": "matches Parquet and CSV files",
        "s3://audit/mixed": "is a folder",
        "s3://audit/table.xlsx": "neither Parquet nor CSV nor JSON Lines",
        "s3://audit/broken.parquet": "cannot be opened",
    }
    for reference, words in expected.items():
        said = message(reference)
        assert words in said and reference in said
        assert "raiobjects" not in said and SECRET not in said


@contextmanager
def a_store_that_answers(status: int, code: str) -> Iterator[str]:
    """A server that answers every request with one S3 error."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>not for {KEY}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("key", ["people.parquet", "part-*.parquet", pytest.param("deep/**/part-?.csv", marks=pytest.mark.slow)])
def test_a_bucket_that_may_not_be_read_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    with a_store_that_answers(403, "AccessDenied") as endpoint:
        in_environment(monkeypatch, endpoint)
        said = message(f"s3://audit/{key}")
    assert "the object store of the training table does not answer" in said
    assert "no file" not in said
    for secret in (KEY, SECRET, endpoint):
        assert secret not in said


def test_a_store_that_is_not_there_and_credentials_that_are_missing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch, "http://user:hush@127.0.0.1:1")
    said = message("s3://audit/people.parquet")
    assert "does not answer" in said and "hush" not in said
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    assert "credentials" in message("s3://audit/people.parquet")


@pytest.mark.parametrize(
    "reference",
    [
        f"s3://{KEY}:{SECRET.replace('/', '')}@audit/people.parquet",
        "s3://hush@audit/people.parquet",
        "s3://AKIA:hush/hush@audit/people.parquet",
        "s3://AKIA:hush/people.parquet",
        "s3a://hush:hush@audit/*.parquet",
        "abfs://container@hush.dfs.core.windows.net/people.parquet",
        "az://audit/people.parquet?sv=2022&sig=hush",
        "gs://audit/people.parquet?X-Goog-Signature=hush",
        "s3://hush",
        "s3:///hush.parquet",
        "s3://hu*sh/people.parquet",
        "s3://audit/../hush/people.parquet",
    ],
)
def test_a_reference_with_credentials_or_without_a_bucket_is_refused_and_not_repeated(reference: str) -> None:
    said = message(reference).lower()
    assert "hush" not in said and KEY.lower() not in said
    assert "credentials and accounts come from the environment" in said or "write scheme://bucket/path" in said


@pytest.mark.parametrize(("scheme", "module", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("abfs", "adlfs", "azure")])
def test_a_store_whose_client_is_absent_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch, scheme: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for known in ("s3", "gcs", "abfs"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, known, raising=False)
    assert f"Install rai-pipelines[{extra}]" in message(f"{scheme}://audit/people.parquet")


def test_a_store_in_memory_is_read_like_any_other() -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/audit/a/one.csv", b"x,y\n1,a\n")
    store.pipe("/audit/a/two.csv", b"x,y\n2,b\n")
    store.pipe("/audit/secret.csv", b"x,y\n3,c\n")
    source = opened("memory://audit/a/*.csv")
    assert source.sample(9, seed=1)["x"].tolist() == [1, 2]
    store.pipe("/audit/a/three.csv", b"x,y\n4,d\n")
    assert source.count_rows() == 2, "the files are those of the first look"
    backend = source.table().get_backend()
    protocol = next(name for name in backend.con.list_filesystems() if name.startswith("raiobjects"))
    with pytest.raises(Exception, match="No files found"):
        backend.con.sql(f"SELECT * FROM read_csv('{protocol}://audit/secret.csv')")
    store.rm("/audit", recursive=True)
