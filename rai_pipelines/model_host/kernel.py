"""The few calls to the Linux kernel that Python 3.11 has no function for; each raises OSError with the kernel's reason."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 36, 38
SECCOMP_MODE_FILTER = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
SYS_IO_URING_SETUP, SYS_MOUNT_SETATTR = 425, 442
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CAPABILITY_V3 = 0x20080522
LAST_CAPABILITY = 63


def unshare(flags: int) -> None:
    """Put this process into new namespaces."""
    _checked(_libc().unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    _checked(_libc().mount(_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data)), target)


def make_read_only(target: str, *, deep: bool, devices: bool = False) -> None:
    """Make a mount read-only, with all mounts below it when `deep` (mount_setattr(2), Linux 5.12)."""
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (0 if devices else MOUNT_ATTR_NODEV), 0, 0, 0)
    flags = AT_RECURSIVE if deep else 0
    _checked(_libc().syscall(SYS_MOUNT_SETATTR, AT_FDCWD, _text(target), flags, attributes, ctypes.c_size_t(len(attributes))), target)


def enter_root(root: str, old: str) -> None:
    """Make the mount `root` this process's root folder and let go of the old one; `old` is an empty folder below `root`."""
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known for {os.uname().machine}")
    _checked(_libc().syscall(number, _text(root), _text(old)), root)
    os.chdir("/")
    _checked(_libc().umount2(_text(old.removeprefix(root)), MNT_DETACH), old)


def prctl(option: int, value: int, second: int = 0) -> None:
    """prctl(2)."""
    _checked(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def drop_capabilities() -> None:
    """Give up every privilege, for good."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # beyond the last one that this kernel knows, or not permitted: then the sets below hold nothing to begin with
            break
    header = struct.pack("=Ii", CAPABILITY_V3, 0)
    _checked(_libc().capset(header, bytes(24)))


def forbid_sockets() -> None:
    """Let no thread of this process, nor its children, open a socket or an io_uring (which can open one); seccomp(2), needs no_new_privs."""
    known = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}.get(os.uname().machine)
    if known is None:
        raise OSError(f"system calls are not known for {os.uname().machine}")
    architecture, socket = known
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x80000000
    program = (
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),
        (at_least, 3, 0, 0x40000000),  # the x32 numbers of x86_64
        (equal, 2, 0, socket),
        (equal, 1, 0, SYS_IO_URING_SETUP),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    )
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    description = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(filters)))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(description))


def is_linux() -> bool:
    """Whether any of this exists here."""
    return sys.platform == "linux"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _text(value: str | None) -> bytes | None:
    return os.fsencode(value) if value is not None else None


def _checked(result: int, name: str | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
