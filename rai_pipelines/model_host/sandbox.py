"""Confine this process before it touches a model: three processes, of which the innermost alone sees the model.

    supervisor   ends everything when the auditor goes away (its end of a pipe closes)
      guard      first process of the new process namespace: builds the small file system, watches the memory, reaps
        model    unprivileged, limited, without network: imports, loads, answers

What the kernel or the container does not allow is left out, and reported by name with the reason. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rai_pipelines.model_host import kernel
from rai_pipelines.model_host.file_view import show_only_the_model, shown_paths
from rai_pipelines.model_host.isolation import HostLimits, Measure
from rai_pipelines.model_host.watch import family, memory_held

PROCESSES_EXIT, MEMORY_EXIT, SETUP_EXIT = 249, 250, 251
NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
FIRST_PRIVATE_UID = 1_879_048_192
NOBODY = 65_534
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What to show and what to allow. `private` is an empty folder of the auditor's, removed by it at the end."""

    folder: str
    private: str
    lifeline: int
    protocol: tuple[int, int]  # requests in, answers out
    shared: int | None  # memory that requests lie in
    limits: HostLimits
    libraries: str | None = None  # folder of the model's own packages; absent: those of this Python


def run_confined(plan: Plan, serve: Callable[[Path, tuple[Measure, ...]], None]) -> NoReturn:
    """Become the supervisor; call `serve(model_folder, measures)` in the innermost process. Exits with that process's code, never returns."""
    measures: dict[str, Measure] = {}

    def note(name: str, in_force: bool, how: str) -> None:
        measures[name] = Measure(name, in_force, how)

    note("environment", True, "only variables of a fixed list")
    note("ends_with_auditor", True, "the supervisor ends everything when the auditor's end of a pipe closes")
    _try(note, "new_privileges", "no_new_privs", lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1))
    if kernel.is_linux():
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    private = os.open(plan.private, os.O_RDONLY | os.O_DIRECTORY)  # still reachable when the root folder has changed
    above = os.open(os.path.dirname(plan.private), os.O_RDONLY | os.O_DIRECTORY)
    namespaces = _enter_namespaces(note)
    guard = os.fork()
    if guard == 0:
        os.close(private)
        os.close(above)
        _as_child(lambda: _guard(plan, namespaces, note, measures, serve))
    for descriptor in plan.protocol:
        os.close(descriptor)
    code = _supervise(guard, plan.lifeline)
    _remove_private(plan, private, above, namespaces)
    os._exit(code)


def _enter_namespaces(note: Callable[[str, bool, str], None]) -> bool:
    failed = "only Linux has namespaces"
    if kernel.is_linux():
        user, group = os.getuid(), os.getgid()
        for flags, how in ((NAMESPACES, ""), (NAMESPACES | kernel.CLONE_NEWUSER, " within a user namespace")):
            try:
                kernel.unshare(flags)
                if flags & kernel.CLONE_NEWUSER:
                    Path("/proc/self/setgroups").write_text("deny")
                    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
            except OSError as error:
                failed = f"the kernel or the container refuses namespaces ({error.strerror})"
                continue
            note("network", True, "network namespace without interfaces" + how)
            note("processes", True, "process namespace, ended as a whole" + how)
            return True
    note("network", False, failed)
    note("processes", False, failed + "; the supervisor ends what it finds")
    return False


def _supervise(guard: int, lifeline: int) -> int:
    """Wait for the guard or for the auditor to go away; then nothing is left running."""
    ended = os.pidfd_open(guard) if hasattr(os, "pidfd_open") else -1
    waiting = select.poll()
    waiting.register(lifeline, select.POLLIN | select.POLLHUP)
    if ended >= 0:
        waiting.register(ended, select.POLLIN)
    code: int | None = None
    while code is None:
        ready = [descriptor for descriptor, _ in waiting.poll(None if ended >= 0 else 100)]
        if lifeline in ready:
            os.kill(guard, signal.SIGKILL)
            code = _exit_code(os.waitpid(guard, 0)[1])
        else:
            found, status = os.waitpid(guard, os.WNOHANG)
            code = _exit_code(status) if found else None
    _end_orphans()
    return code


def _remove_private(plan: Plan, private: int, above: int, namespaces: bool) -> None:
    """An auditor that was killed cannot remove its private folder; one that was not tries as well."""
    if not namespaces:
        shutil.rmtree(plan.private, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.rmdir("root", dir_fd=private)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.basename(plan.private), dir_fd=above)


def _end_orphans() -> None:
    """Without a process namespace, what the model started has become ours (we are its subreaper): end it, generation by generation."""
    while True:
        try:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        except OSError:
            return
        if not children:
            return
        for child in children:
            os.kill(int(child), signal.SIGKILL)
            os.waitpid(int(child), 0)


def _guard(
    plan: Plan,
    namespaces: bool,
    note: Callable[[str, bool, str], None],
    measures: dict[str, Measure],
    serve: Callable[[Path, tuple[Measure, ...]], None],
) -> int:
    if kernel.is_linux():
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    os.close(plan.lifeline)
    own = (plan.libraries,) if plan.libraries is not None else ()
    folder = show_only_the_model(plan.folder, plan.private, plan.limits.file_bytes, more=own, namespaces=namespaces, note=note)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    model = os.fork()
    if model == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        _as_child(lambda: _confine_and_serve(plan, folder, note, measures, serve))
    for descriptor in plan.protocol:
        os.close(descriptor)
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, LOOK_EVERY_S)
        while True:
            try:
                found, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return SETUP_EXIT
            if found == 0:
                break
            if found == model:
                return _exit_code(status)
        members = family(namespaces)
        too_many, too_much = len(members) > plan.limits.processes, memory_held(members) > plan.limits.memory_bytes
        if too_many or too_much:
            os.kill(model, signal.SIGKILL)
            return PROCESSES_EXIT if too_many else MEMORY_EXIT


def _confine_and_serve(
    plan: Plan,
    folder: Path,
    note: Callable[[str, bool, str], None],
    measures: dict[str, Measure],
    serve: Callable[[Path, tuple[Measure, ...]], None],
) -> int:
    limits = plan.limits
    bounds = (
        (
            "memory",
            resource.RLIMIT_AS,
            (limits.memory_bytes, limits.memory_bytes),
            f"{limits.memory_bytes} bytes of address space each, and held together",
        ),
        ("cpu", resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1), f"{limits.cpu_s} s of processor time"),
        ("file_size", resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes), f"{limits.file_bytes} bytes a file"),
        ("open_files", resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files), f"{limits.open_files} descriptors"),
        ("core_dumps", resource.RLIMIT_CORE, (0, 0), "none"),
    )
    for name, kind, bound, how in bounds:
        _try(note, name, how, lambda kind=kind, bound=bound: resource.setrlimit(kind, bound))  # type: ignore[misc]
    resource.setrlimit(resource.RLIMIT_NPROC, (limits.processes, limits.processes))
    own = (plan.libraries,) if plan.libraries is not None else ()
    unprivileged = _become_unprivileged(note, isolated=measures["file_system"].in_force, libraries=own)
    counted = unprivileged and os.getuid() != 0
    uncounted = f"the kernel does not count root's processes; the guard ends the model when it sees more than {limits.processes}"
    note("process_count", counted, f"{limits.processes} processes and threads" if counted else uncounted)
    if not measures["network"].in_force:
        _try(note, "network", f"no sockets (system call filter); {measures['network'].how}", kernel.forbid_sockets)
    if kernel.is_linux():
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user clears it
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    os.chdir(os.environ["HOME"] if os.path.isdir(os.environ.get("HOME", "")) else "/")
    serve(folder, tuple(measures[name] for name in sorted(measures)))
    return 0


def _become_unprivileged(note: Callable[[str, bool, str], None], *, isolated: bool, libraries: tuple[str, ...]) -> bool:
    """A user of its own for a root auditor, and no capabilities in any case."""
    how = "no capabilities"
    if os.getuid() == 0 and _in_first_user_namespace():
        if not isolated and not _readable_by_all(libraries):
            note("user", False, "stays root: without an own file system others could not read this Python or the model's libraries")
        else:
            for user in (FIRST_PRIVATE_UID + os.getppid() + int.from_bytes(os.urandom(2), "big") * 2**10, NOBODY):
                try:
                    os.setgroups([])
                    os.setresgid(user, user, user)
                    os.setresuid(user, user, user)
                    how = "a user of its own without capabilities"
                    break
                except OSError as error:
                    how = f"stays root ({error.strerror}), without capabilities"
    try:
        kernel.drop_capabilities()
    except OSError as error:
        note("user", False, f"capabilities cannot be dropped ({error.strerror})")
        return False
    note("user", os.getuid() != 0, how)
    return True


def _in_first_user_namespace() -> bool:
    """Whether root here may become someone else: a user namespace of ours maps one user only."""
    try:
        return len(Path("/proc/self/uid_map").read_text().splitlines()) > 1 or " 1\n" not in Path("/proc/self/uid_map").read_text()
    except OSError:
        return False


def _readable_by_all(libraries: tuple[str, ...]) -> bool:
    folders = {path for start in (*shown_paths(), *libraries) for path in (Path(start), *Path(start).parents)}
    return all(path.stat().st_mode & stat.S_IXOTH for path in folders if path.is_dir())


def _try(note: Callable[[str, bool, str], None], name: str, how: str, action: Callable[[], None]) -> None:
    try:
        action()
        note(name, True, how)
    except (OSError, ValueError) as error:
        note(name, False, str(error))


def _as_child(work: Callable[[], int]) -> NoReturn:
    """Run `work` in a forked process and end it, whatever happens; the caller's stack is not its own."""
    code = SETUP_EXIT
    try:
        code = work()
    except BaseException as error:  # the message goes to the log that the auditor keeps the end of
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def _exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
