"""The libraries that a model was trained under, installed beside the auditor's own: what its `requirements.txt` names, by uv, from wheels alone.

The file comes with the model, so nobody vouches for it. It may name packages and their versions and nothing else: no option, no address, no path.
A wheel runs nothing when it is installed here (it is unpacked into a folder, and Python's start-up files in that folder are not read); what is in it
runs in the confined process only. Which index packages come from is the operator's configuration of uv.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rai_pipelines.errors import ModelError
from rai_pipelines.model_host.scan_parts import one_line

if TYPE_CHECKING:
    from pydantic import JsonValue

REQUIREMENTS_FILE = "requirements.txt"
# what the model's side of the host itself imports
HOST_NEEDS = ("numpy", "pandas>=2.0", "pyarrow>=14", "pydantic>=2.7", "pyyaml>=6", "rfc8785>=0.1.4")
FOR_OLD_NUMPY = "pyarrow<21"  # newer ones need NumPy 2, which their metadata do not say
NOT_NEEDED = ("mlflow", "mlflow-skinny", "mlflow-tracing")  # they only fetched the model; with their dependencies they are most of such a file
MOST_BYTES, MOST_LINES = 100_000, 500  # of the file
MANIFEST = "rai-environment.json"  # written last: a folder without it is not used
LOOK_EVERY_S = 0.2
MEASURE_EVERY_S = 2.0


@dataclass(frozen=True)
class BuildLimits:
    """Seconds that a build may take, and bytes that the environment may have (uv's cache is not counted)."""

    seconds: float = 600.0
    folder_bytes: int = 4 * 2**30


@dataclass(frozen=True)
class OwnEnvironment:
    """A folder of installed packages; `packages` are their versions by name, `digest` is of the requirements and the Python they are for."""

    folder: Path
    digest: str
    packages: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def details(self) -> dict[str, JsonValue]:
        """As JSON for evidence."""
        return {"digest": self.digest, "python": _python(), "packages": dict(self.packages), "left_out": list(self.left_out)}


def own_environment(model_folder: Path, kept_in: Path, *, limits: BuildLimits | None = None) -> OwnEnvironment | None:
    """The environment that the model's `requirements.txt` asks for, built once and kept in `kept_in`; None when there is no such file.

    Packages are for this Python (the versions that a `python_env.yaml` names are not looked at).

    Raises:
        ModelError: a line is not allowed, uv is absent, or the build fails, takes too long or takes too much room; says which.
    """
    path = model_folder / REQUIREMENTS_FILE
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    wanted, left_out = read_requirements(content)
    identity = {"requirements": hashlib.sha256(content).hexdigest(), "python": _python(), "platform": sys.platform, "needs": HOST_NEEDS}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    kept = kept_in / digest
    if not (kept / MANIFEST).is_file():
        _build((*wanted, *HOST_NEEDS), kept, limits or BuildLimits())
    packages = json.loads((kept / MANIFEST).read_text(encoding="utf-8"))
    return OwnEnvironment(kept, f"sha256:{digest}", packages, left_out)


def read_requirements(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The requirements in a `requirements.txt`, written anew, and those that the host does not need.

    Raises:
        ModelError: the file is too long, or a line is anything but a package with versions and conditions.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    if len(content) > MOST_BYTES:
        raise _refused("is too long", f"Keep it below {MOST_BYTES:,} bytes")
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise _refused("is not UTF-8 text", "Save it as UTF-8") from error
    wanted: list[str] = []
    left_out: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not text:
            continue
        if text.startswith("-") or " --" in text or text.endswith("\\"):
            raise _refused(f"has an option in line {number} ({one_line(text, 80)})", "Name packages and versions; the index is uv's configuration")
        try:
            found = Requirement(text)
        except InvalidRequirement as error:
            raise _refused(f"names no package in line {number} ({one_line(text, 80)})", "Paths and addresses are not allowed") from error
        if found.url is not None:
            raise _refused(f"names an address in line {number} ({one_line(text, 80)})", "Name a package of the index, with its version")
        (left_out if canonicalize_name(found.name) in NOT_NEEDED else wanted).append(str(found))
    if len(wanted) > MOST_LINES:
        raise _refused(f"names {len(wanted)} packages", f"Name at most {MOST_LINES}")
    return tuple(wanted), tuple(left_out)


def find_uv() -> str | None:
    """The program that installs, on the path or beside this Python."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _build(requirements: tuple[str, ...], kept: Path, limits: BuildLimits) -> None:
    """Install into a folder beside `kept` and rename it, so that `kept` is whole or not there."""
    uv = find_uv()
    if uv is None:
        raise _failed("uv is not installed", "Install uv, or set RAI_MODEL_ENVIRONMENT=shared")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(kept.parent) as made:
        folder = _install(uv, requirements, made / "first", limits)
        if _installed(folder).get("numpy", "").startswith("1."):
            folder = _install(uv, (*requirements, FOR_OLD_NUMPY), made / "second", limits)
        (folder / MANIFEST).write_text(json.dumps(_installed(folder), sort_keys=True), encoding="utf-8")
        os.chmod(folder, 0o755)  # noqa: S103  (the confined process is another user)
        try:
            os.rename(folder, kept)
        except OSError:
            if not (kept / MANIFEST).is_file():  # else another audit was quicker
                raise


def _install(uv: str, requirements: tuple[str, ...], made: Path, limits: BuildLimits) -> Path:
    asked, folder = made / "requirements.in", made / "packages"
    folder.mkdir(parents=True)
    asked.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    command = [uv, "pip", "install", "--quiet", "--no-progress", "--only-binary", ":all:", "--target", str(folder)]
    _run([*command, "--python", sys.executable, "--requirements", str(asked)], made, folder, limits)
    return folder


def _run(command: list[str], working: Path, folder: Path, limits: BuildLimits) -> None:
    """Run uv in an empty folder, so that it reads no configuration but the operator's, and end it at a limit."""
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    started, measured = time.monotonic(), time.monotonic()
    with (working / "said").open("w+b") as said:
        child = subprocess.Popen(  # noqa: S603  (uv, with arguments of our own)
            command, cwd=working, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        try:
            while child.poll() is None:
                time.sleep(LOOK_EVERY_S)
                now = time.monotonic()
                if now - started > limits.seconds:
                    raise _failed(f"it was not built within {limits.seconds:g} s", "Look whether the package index answers")
                if now - measured > MEASURE_EVERY_S:
                    measured = now
                    _check_room(folder, limits)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode:
            said.seek(0)
            raise _failed(_reason(said.read().decode("utf-8", errors="replace")), "Mend requirements.txt, or the configuration of uv")
    _check_room(folder, limits)


def _check_room(folder: Path, limits: BuildLimits) -> None:
    if sum(path.lstat().st_size for path in _files(folder)) > limits.folder_bytes:
        raise _failed(f"it takes more than {limits.folder_bytes / 2**30:.3g} GiB", "Name fewer packages")


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if os.path.lexists(path):  # uv moves files while it works
                yield path


def _installed(folder: Path) -> dict[str, str]:
    from importlib import metadata

    return {found.metadata["Name"]: found.version for found in metadata.distributions(path=[str(folder)])}


def _reason(said: str) -> str:
    """What uv said, without addresses: they may hold credentials, and they differ from house to house."""
    text = re.sub(r"\w+://\S+", "an address", " ".join(said.split()))
    return one_line(re.sub(r"^error: ", "", text.replace("×", "").replace("╰─▶", "").strip()), 500)


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _python() -> str:
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def _refused(what: str, hint: str) -> ModelError:
    return ModelError(f"{what}, so the model's own environment was not built", where=REQUIREMENTS_FILE, hint=hint)


def _failed(what: str, hint: str) -> ModelError:
    return ModelError(f"the model's own environment could not be built: {what}", where=REQUIREMENTS_FILE, hint=hint)
