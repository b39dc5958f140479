"""Read training records from a CSV file or an HTTPS address, with limits: the address is declared by a model's owner, so it is not trusted.

Only hosts that the operator allows are asked (RAI_TRAINING_RECORD_HOSTS); redirects to another host are refused; time and size are bounded.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from rai_pipelines.errors import DataError
from rai_pipelines.subjects.oversight import TrainingRecords
from rai_pipelines.tables.files import find_files
from rai_pipelines.tables.review_log import Training

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 10 * 2**20
MOST_SECONDS = 20.0
MOST_PERIODS = 20_000  # they travel to the engine within the query
MOST_REDIRECTS = 3
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HINT = "Training records are a CSV file with a header; see docs/policy.md"


@dataclass(frozen=True)
class ReadRecords:
    """The periods of training, and the digest of the file they came from. Rows without a readable beginning and end are counted, not used."""

    periods: tuple[Training, ...]
    digest: str
    unusable: int


def read_training(declared: TrainingRecords, *, data_folder: Path, hosts: Sequence[str]) -> ReadRecords:
    """The training records that a datasheet declares.

    Args:
        data_folder: where a relative path starts.
        hosts: hosts that may be asked over HTTP, as `host` or `host:port`.

    Raises:
        DataError: absent, too large, too slow, a host that is not allowed, an answer other than 200, or a column that is not there.
    """
    if "://" in declared.source:
        content = _fetch(declared.source, hosts)
    else:
        files = find_files(declared.source, name="training records", data_folder=data_folder)
        if len(files) != 1 or files[0].stat().st_size > MOST_BYTES:
            raise DataError(f"is not one file of at most {MOST_BYTES // 2**20} MiB", where=declared.source, hint=HINT)
        content = files[0].read_bytes()
    return _parsed(content, declared)


def _fetch(address: str, hosts: Sequence[str]) -> bytes:
    """The body behind `address`, following redirects within the same host only."""
    import httpx

    async def within_time() -> bytes:
        async with asyncio.timeout(MOST_SECONDS):  # over everything: a server that sends a byte now and then cannot stretch it
            return await _follow(address, hosts)

    try:
        with ThreadPoolExecutor(max_workers=1) as apart:  # a notebook has a loop of its own
            return apart.submit(asyncio.run, within_time()).result()
    except TimeoutError as error:
        what = f"takes longer than {MOST_SECONDS:g} s"
        raise DataError(what, where=_shown(address), hint="Try again, or keep the records in a file") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"does not answer ({type(error).__name__})", where=_shown(address), hint="Check the address, and try again") from error


async def _follow(address: str, hosts: Sequence[str]) -> bytes:
    import httpx

    current = address
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None) as client:  # noqa: S113  (the caller bounds the time)
        for _ in range(MOST_REDIRECTS + 1):
            _allowed(current, hosts)
            async with client.stream("GET", current, headers={"Accept": "text/csv"}) as answer:
                if not answer.is_redirect:
                    return await _body(answer, current)
                target = urljoin(current, answer.headers.get("location", ""))
            if _origin(target) != _origin(current):
                raise DataError(f"redirects to another host ({_shown(target)})", where=_shown(current), hint="Declare the address it leads to")
            current = target
    raise DataError(f"redirects more than {MOST_REDIRECTS} times", where=_shown(address), hint="Declare the address it leads to")


async def _body(answer: httpx.Response, address: str) -> bytes:
    if answer.status_code != 200:
        raise DataError(f"answers with status {answer.status_code}", where=_shown(address), hint="Check the address and who may read it")
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > MOST_BYTES:
            raise DataError(f"sends more than {MOST_BYTES // 2**20} MiB", where=_shown(address), hint=HINT)
    return bytes(content)


def _allowed(address: str, hosts: Sequence[str]) -> None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise DataError("is not an address", where="training records", hint="Write https://HOST/PATH") from error
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    if not secure or parts.username or parts.password:
        raise DataError("is not an https address without a login", where=_shown(address), hint="Write https://HOST/PATH")
    if host not in hosts and f"{host}:{port}" not in hosts:
        raise DataError("is not an allowed host", where=_shown(address), hint='The operator allows hosts: RAI_TRAINING_RECORD_HOSTS=["HOST"]')


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def _shown(address: str) -> str:
    """Scheme and host only: paths and queries may hold tokens."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname or ''}/…"


def _parsed(content: bytes, declared: TrainingRecords) -> ReadRecords:
    where = _shown(declared.source) if "://" in declared.source else declared.source
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        wanted = (declared.reviewer_id, declared.valid_from, declared.valid_until)
        absent = [name for name in wanted if name not in (reader.fieldnames or ())]
        if absent:
            raise DataError(f"has no column {', '.join(absent)}", where=where, hint=HINT)
        rows = [tuple(row.get(name) or "" for name in wanted) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", where=where, hint=HINT) from error
    periods = [made for person, start, end in rows if (made := _period(person, start, end)) is not None]
    if len(periods) > MOST_PERIODS:
        raise DataError(f"has more than {MOST_PERIODS:,} rows", where=where, hint="Leave out people who review no decisions of this model")
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return ReadRecords(tuple(periods), digest, unusable=len(rows) - len(periods))


def _period(person: str, start: str, end: str) -> Training | None:
    """A period, or None where it has no person, no readable beginning or end (training without an expiry counts for nothing), or no length."""
    try:
        first, last = (_instant_us(text.strip()) for text in (start, end))
    except ValueError:
        return None
    return Training(person.strip(), first, last) if person.strip() and first < last else None


def _instant_us(text: str) -> int:
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1_000_000)
