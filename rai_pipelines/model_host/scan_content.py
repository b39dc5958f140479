"""What one stream of bytes is, and what it can do: by its first bytes, through archives and compression, down to the pickles inside.

Belongs here: finding and unpacking. What a single format can hide is judged in `scan_formats` (and `pickle_walk`).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import IO, Any

from rai_pipelines.model_host import scan_formats
from rai_pipelines.model_host.scan_parts import Budget, Part, Place, TooMuch, Verdict

IN_MEMORY_BYTES = 2**24
CHUNK_BYTES = 2**20


def scan_content(stream: IO[bytes], name: str, *, trusted_skops_types: tuple[str, ...], budget: Budget) -> Iterator[Part]:
    """The parts of one file, itself first. `stream` is seekable; it is read, never executed."""
    yield from _scan(stream, Place(name, budget, trusted_skops_types))


def _scan(stream: IO[bytes], place: Place) -> Iterator[Part]:
    start = _start(stream)
    decompress = _decompressor(start)
    if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
        yield from _scan_zip(stream, place)
    elif start[:1] == b"\x80":
        yield from scan_formats.scan_pickles(stream, place)
    elif start.startswith(b"\x93NUMPY"):
        yield from scan_formats.scan_numpy(stream, place)
    elif decompress is not None:
        yield from _scan_compressed(stream, place, *decompress)
    elif _is_tar(stream):
        yield from _scan_tar(stream, place)
        stream.seek(0)
        yield from scan_formats.scan_unmarked(stream, place)  # a tar archive begins with a name, which can be a pickle
    else:
        yield from scan_formats.scan_plain(stream, start, place)
    if not start.startswith(b"PK") and _ends_as_zip(stream):  # a zip is found from its end, so any file can also be one
        yield place.part("zip", Verdict.SUSPICIOUS, "is a zip archive as well as what it begins as")
        yield from _scan_zip(stream, place)


def _start(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    start = stream.read(512)
    stream.seek(0)
    return start


def _ends_as_zip(stream: IO[bytes]) -> bool:
    try:
        return zipfile.is_zipfile(stream)
    finally:
        stream.seek(0)


def _is_tar(stream: IO[bytes]) -> bool:
    stream.seek(257)
    magic = stream.read(5)
    stream.seek(0)
    return magic == b"ustar"


def _decompressor(start: bytes) -> tuple[str, Callable[[IO[bytes]], Any]] | None:
    """The compressions that joblib reads, and the file object that undoes each."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip", lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")
    if start.startswith(b"BZh"):
        return "bz2", bz2.BZ2File
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz", lzma.LZMAFile
    if start.startswith(b"\x5d\x00"):
        return "lzma", lzma.LZMAFile  # of either format, as joblib reads it: a stream of the other one may follow
    if start.startswith(b"\x04\x22\x4d\x18"):
        return "lz4", _lz4
    if len(start) > 1 and start[0] == 0x78 and start[1] in (0x01, 0x5E, 0x9C, 0xDA):
        return "zlib", _Inflated
    return None


def _lz4(stream: IO[bytes]) -> Any:
    try:
        import lz4.frame  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ValueError("needs the package lz4, which is not installed") from error
    return lz4.frame.LZ4FrameFile(stream)


class _Inflated:
    """Zlib streams, one after the other as joblib reads them, as something that can be read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.inflate, self.waiting = stream, zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        while True:
            if self.inflate.eof:
                self.waiting = self.inflate.unused_data or self.stream.read(CHUNK_BYTES)
                if not self.waiting:
                    return b""
                self.inflate = zlib.decompressobj()
            data = self.waiting or self.inflate.unconsumed_tail or self.stream.read(CHUNK_BYTES)
            self.waiting = b""
            if not data:
                raise ValueError("ends inside a compressed block")
            found = self.inflate.decompress(data, size)
            if found:
                return found


def _scan_compressed(stream: IO[bytes], place: Place, kind: str, opened: Callable[[IO[bytes]], Any]) -> Iterator[Part]:
    try:
        with _unpacked(opened(stream), place) as inner:
            yield place.part(kind, Verdict.CLEAN)
            yield from _scan(inner, place.into(kind))
    except TooMuch as error:
        yield place.part(kind, Verdict.NOT_SCANNABLE, str(error))
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
        yield place.part(kind, Verdict.NOT_SCANNABLE, f"does not unpack ({type(error).__name__}: {error})")


def _scan_zip(stream: IO[bytes], place: Place) -> Iterator[Part]:
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            kind, parts, tensors = scan_formats.describe_zip(archive, members, stream, place)
            yield place.part(kind, Verdict.CLEAN)
            yield from parts
            inner_place = replace(place, tensors=tensors)
            for member in members:
                if not member.is_dir():
                    yield from _scan_member(lambda item=member: archive.open(item), member.filename, inner_place)  # type: ignore[misc]
            if len({member.filename for member in members}) != len(members):
                yield place.part(kind, Verdict.SUSPICIOUS, "holds two members of one name")
    except TooMuch as error:
        yield place.part("zip", Verdict.NOT_SCANNABLE, str(error))
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        yield place.part("zip", Verdict.NOT_SCANNABLE, f"is not a readable zip archive ({type(error).__name__}: {error})")


def _scan_tar(stream: IO[bytes], place: Place) -> Iterator[Part]:
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            yield place.part("tar", Verdict.CLEAN)
            for member in archive:
                if member.issym() or member.islnk():
                    if _leaves(member.linkname) or _leaves(member.name):
                        yield place.into(member.name).part("link", Verdict.DANGEROUS, "is a link that leaves the archive")
                elif member.isfile():
                    yield from _scan_member(lambda item=member: archive.extractfile(item), member.name, place)  # type: ignore[misc]
                elif not member.isdir():
                    yield place.into(member.name).part("special", Verdict.NOT_SCANNABLE, "is neither a file nor a folder")
    except TooMuch as error:
        yield place.part("tar", Verdict.NOT_SCANNABLE, str(error))
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        yield place.part("tar", Verdict.NOT_SCANNABLE, f"is not a readable tar archive ({type(error).__name__}: {error})")


def _scan_member(opened: Callable[[], IO[bytes] | None], name: str, place: Place) -> Iterator[Part]:
    inner = place.into(name)
    if _leaves(name):
        yield inner.part("member", Verdict.DANGEROUS, "unpacks outside the archive's folder")
    place.budget.members += 1
    if place.budget.members > place.budget.limits.members:
        raise TooMuch(f"holds more than {place.budget.limits.members} members")
    if inner.depth > place.budget.limits.depth:
        raise TooMuch(f"holds archives inside archives, more than {place.budget.limits.depth} deep")
    source = opened()
    if source is None:
        yield inner.part("member", Verdict.NOT_SCANNABLE, "cannot be opened")
        return
    with source, _unpacked(source, place) as content:
        if name in place.tensors:
            yield inner.part("tensor", Verdict.CLEAN)
        else:
            yield from _scan(content, inner)


def _unpacked(source: Any, place: Place) -> IO[bytes]:
    """A seekable copy of `source`, as far as the budget goes; what an archive says about sizes is not believed."""
    if place.depth >= place.budget.limits.depth:
        raise TooMuch(f"holds archives inside archives, more than {place.budget.limits.depth} deep")
    copy = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  (the caller closes it)
    try:
        while chunk := source.read(CHUNK_BYTES):
            place.budget.unpacked += len(chunk)
            if place.budget.unpacked > place.budget.limits.unpacked_bytes:
                raise TooMuch(f"unpacks to more than {place.budget.limits.unpacked_bytes} bytes")
            copy.write(chunk)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "\0" in name
