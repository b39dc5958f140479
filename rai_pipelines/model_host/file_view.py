"""What a model's process sees of the file system: itself read-only, Python, system libraries, and a small private folder in memory."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from rai_pipelines.model_host import kernel

SHOWN_MODEL, SHOWN_HOME = "/model", "/tmp/home"  # noqa: S108  (inside the model's own file system)
SYSTEM_PATHS = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/nix/store", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
READABLE, OPEN = 0o555, 0o777  # to whichever user the model runs as


def show_only_the_model(
    folder: str, private: str, file_bytes: int, *, more: tuple[str, ...] = (), namespaces: bool, note: Callable[[str, bool, str], None]
) -> Path:
    """The folder that the model is loaded from: within a file system of system libraries, Python, the folders `more` and itself, or a copy."""
    failed = "there is no mount namespace"
    if namespaces:
        try:
            how = _build_root(folder, private, file_bytes, more)
            note("file_system", True, "own root of read-only system files and a small private folder in memory")
            note("read_only_model", True, how)
            return Path(SHOWN_MODEL)
        except OSError as error:
            failed = f"the small file system cannot be built ({error.strerror}: {error.filename})"
    copy = Path(private) / "model"
    _copy_read_only(folder, copy)
    note("file_system", False, failed)
    note("read_only_model", True, "private copy without write permission; the original is not named to it")
    home = Path(private) / "home"
    home.mkdir()
    os.chmod(home, OPEN)
    os.environ["HOME"] = os.environ["TMPDIR"] = str(home)
    return copy


def _copy_read_only(folder: str, copy: Path) -> None:
    """Files and folders; links as links, since their targets may be anywhere, and no special files."""
    shutil.copytree(folder, copy, dirs_exist_ok=True, symlinks=True, ignore=_special)
    for parent, _, files in os.walk(copy):
        for path in (Path(parent) / name for name in files):
            if not path.is_symlink():
                path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        os.chmod(parent, READABLE)


def _special(parent: str, names: list[str]) -> list[str]:
    modes = {name: os.lstat(os.path.join(parent, name)).st_mode for name in names}
    return [name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))]


def _show_model(folder: str, target: str) -> str:
    """Mount the model's folder; where the model's own user could not read it, a copy in memory. Returns which."""
    if os.getuid() != 0 or all(_others_may_read(path) for path in (Path(folder), *Path(folder).rglob("*"))):
        _show(folder, target)
        return "read-only mount"
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    os.mkdir(target)
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size * 2 + 2**20}")
    _copy_read_only(folder, Path(target))
    kernel.make_read_only(target, deep=False)
    return "read-only copy in memory, because only the auditor may read the original"


def _others_may_read(path: Path) -> bool:
    mode = path.lstat().st_mode  # of a link everyone may read where it leads
    return bool(mode & stat.S_IROTH) and (not path.is_dir() or bool(mode & stat.S_IXOTH))


def _build_root(folder: str, private: str, file_bytes: int, more: tuple[str, ...]) -> str:
    root = str(Path(private) / "root")
    os.mkdir(root)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    # first: Python itself may lie below one of them
    for name, size in (("/tmp", file_bytes), ("/dev/shm", file_bytes)):  # noqa: S108
        os.makedirs(root + name)
        kernel.mount("tmpfs", root + name, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={size},nr_inodes=4096,mode=1777")
    os.makedirs(root + SHOWN_HOME)
    os.chmod(root + SHOWN_HOME, OPEN)
    for path in (*shown_paths(), *more):
        _show(path, root + path)
    shown = _show_model(folder, root + SHOWN_MODEL)
    for device in DEVICES:
        _show(f"/dev/{device}", f"{root}/dev/{device}", devices=True)
    for name in ("/proc", "/old"):
        os.mkdir(root + name)
    kernel.mount("proc", root + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.enter_root(root, root + "/old")
    os.rmdir("/old")
    kernel.make_read_only("/", deep=False)
    return shown


def shown_paths() -> list[str]:
    """System libraries, this Python, and this package; of two where one holds the other, the outer alone."""
    import rai_pipelines

    package = str(Path(rai_pipelines.__file__).resolve().parent)
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    own = str(Path(sys.executable).resolve().parent.parent)
    wanted = [*SYSTEM_PATHS, sys.prefix, sys.base_prefix, sys.exec_prefix, own, *libraries, package]
    shown: list[str] = []
    for path in wanted:
        if os.path.lexists(path) and path != "/" and not any(path == outer or path.startswith(outer + "/") for outer in shown):
            shown.append(path)
    return shown


def _show(path: str, target: str, *, devices: bool = False) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        if not os.path.lexists(target):
            os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    kernel.mount(path, target, None, kernel.MS_BIND | kernel.MS_REC)
    kernel.make_read_only(target, deep=True, devices=devices)
