# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read and write the state of a host: this module does the I/O; the planner makes the decisions."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import pwd
import re
import stat
import sys
import time
import traceback
import typing as t

from ..host import files, programs
from ..host import units as systemd
from .model import ABSENT, Change, Node, Probe, UnitState

COMMAND_TIMEOUT = 300  # seconds; a unit that needs longer to start counts as broken


class HostError(Exception):
    """An operation on the host failed; the message is for the operator."""


def run(argv: t.Sequence[str], timeout: int = COMMAND_TIMEOUT) -> tuple[int, str]:
    """Run a command and return its exit status and output (stdout and stderr).

    A missing program returns 127, a command that runs longer than ``timeout`` seconds returns 124.
    """
    result = programs.run(argv, timeout=timeout)
    return result.code, result.text


def read_node(path: str) -> Node:
    """Return the state of a path; a symbolic link itself, not its target."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if stat.S_ISLNK(status.st_mode):
        return Node("link", os.readlink(path))
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else "other"
    content = ""
    if kind == "file":
        # O_NOFOLLOW: the owner of the directory could have replaced the file by a link since lstat.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as handle:
            status = os.fstat(handle.fileno())
            content = handle.read().decode("utf-8", "surrogateescape")
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    unreadable = not status.st_mode & stat.S_IROTH
    return Node(kind, content, _user_name(status.st_uid), _group_name(status.st_gid), mode, secret=unreadable)


def expand_globs(patterns: t.Iterable[str]) -> set[str]:
    """Return the paths that match one of the globs; glob ignores staged files because their names begin with a dot."""
    return {path for pattern in patterns for path in glob.glob(pattern, recursive=True)}


def write_node(path: str, node: Node) -> None:
    """Write a node to a path; a file or a link is replaced atomically.

    Raises HostError when the owner does not exist, a directory is not empty, or another file blocks a directory.
    """
    if node.kind == "absent":
        _remove(path)
        return
    files.make_directories(os.path.dirname(path))
    if node.kind == "directory":
        _make_directory(path, node)
        return
    if node.kind == "link":
        _write_link(path, node.content)
        return
    with _named_account(path, node):
        files.replace_file(path, node.content, mode=int(node.mode, 8), owner=node.owner, group=node.group)


def _make_directory(path: str, node: Node) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise HostError(f"cannot create directory {path}, a file or link has this path: {error.strerror}") from error
    try:
        with _named_account(path, node):
            files.set_access(descriptor, int(node.mode, 8), node.owner, node.group)
    finally:
        os.close(descriptor)


def _write_link(path: str, target: str) -> None:
    staged = files.staged_path(path)
    _remove(staged)
    os.symlink(target, staged)
    os.rename(staged, path)
    files.sync_directory(os.path.dirname(path))


@contextlib.contextmanager
def _named_account(path: str, node: Node) -> t.Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise HostError(f"{path}: user or group {node.owner}:{node.group} does not exist on this host") from error


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"cannot remove {path}: {error.strerror}") from error
    files.sync_directory(os.path.dirname(path))


def remove_staged(paths: t.Iterable[str]) -> None:
    """Remove the staged files that a killed run left next to the paths."""
    for path in paths:
        _remove(files.staged_path(path))


def read_groups() -> dict[str, dict[str, t.Any]]:
    """Return the groups of the host by name."""
    return {g.gr_name: {"name": g.gr_name, "gid": g.gr_gid} for g in grp.getgrall()}


def read_users() -> dict[str, dict[str, t.Any]]:
    """Return the users of the host by name, with the properties that a component may set."""
    memberships: dict[str, list[str]] = {}
    for group in grp.getgrall():
        for member in group.gr_mem:
            memberships.setdefault(member, []).append(group.gr_name)
    return {
        u.pw_name: {
            "name": u.pw_name,
            "uid": u.pw_uid,
            "group": _group_name(u.pw_gid),
            "groups": sorted(memberships.get(u.pw_name, [])),
            "comment": u.pw_gecos,
            "home": u.pw_dir,
            "shell": u.pw_shell,
        }
        for u in pwd.getpwall()
    }


def read_unit_states(names: t.Sequence[str]) -> dict[str, UnitState]:
    """Return the states of systemd units by name, with one call of `systemctl show`."""
    if not names:
        return {}
    properties = ["LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload"]
    argv = ["systemctl", "show", "--property", ",".join(properties), *names]
    result = programs.run(argv, timeout=COMMAND_TIMEOUT)
    if result.failed:
        raise HostError(f"systemctl show failed: {result.text}")
    states = {}
    for name, block in zip(names, result.out.strip().split("\n\n"), strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        load, active, file_state, needs_reload = (values.get(key, "") for key in properties)
        states[name] = UnitState(load, active, file_state, needs_reload == "yes")
    return states


def gets_an_alias(unit: str) -> bool:
    """Return whether a running unit gets an alias when it is enabled, so that systemd could lose its processes.

    If another unit file names the alias, systemd has it as a unit that was not found. When both become one, the state
    of the alias counts: the unit is then inactive, and its processes are nobody's. sshd.service of Debian is such one.
    """
    result = programs.run(["systemctl", "show", "--property=ActiveState,Names", unit], timeout=COMMAND_TIMEOUT)
    values = dict(line.split("=", 1) for line in result.out.splitlines() if "=" in line)
    if values.get("ActiveState") not in ("active", "reloading"):
        return False
    text = programs.run(["systemctl", "cat", unit], timeout=COMMAND_TIMEOUT).out
    aliases = " ".join(re.findall(r"^Alias=(.*)$", text, re.MULTILINE)).split()
    return not set(aliases) <= set(values.get("Names", "").split())


def systemctl(verb: str, *units: str) -> None:
    """Run a systemctl verb for units; raises HostError with the last 10 journal lines of the units."""
    status, text = run(["systemctl", verb, *units])
    if status:
        journal = systemd.read_journal("--lines=10", *(f"--unit={unit}" for unit in units))
        raise HostError(f"`systemctl {verb} {' '.join(units)}` failed: {text}\n{journal}".strip())


def run_probe(probe: Probe, generation: str) -> str:
    """Run a probe once; return an empty string when it passes, otherwise the reason of the failure."""
    expect = probe.expect.replace("{generation}", generation)
    status, text = run(probe.argv, timeout=max(1, probe.timeout))
    if status == 0 and expect in text:
        return ""
    problem = f"does not print {expect!r}" if status == 0 else f"failed (exit {status})"
    return f"probe `{' '.join(probe.argv)}` {problem}; its output: {text[-500:]}"


def wait_for_probes(probes: t.Iterable[Probe], generation: str) -> str:
    """Retry each probe until it passes or its timeout expires; return the reason of the first failure, or ''."""
    for probe in probes:
        deadline = time.monotonic() + probe.timeout
        pause = 0.02
        while failure := run_probe(probe, generation):
            if time.monotonic() > deadline:
                return failure
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
    return ""


def check_in_private_namespace(
    changes: t.Sequence[Change], checks: t.Sequence[t.Sequence[str]], owned: t.Iterable[str] = ()
) -> str:
    """Run the checks against the changed files before they are live; return the first failure, or ''.

    A child process creates its own mount namespace and mounts an overlay on each directory that changes or holds files
    of the component (``owned``; a check may write next to them). It makes the changes in the overlays and runs the
    checks. Everything is in memory and ends with the child, so a failed check or a killed run leaves nothing behind.
    """
    if not checks:
        return ""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _report_and_exit(writer, changes, checks, owned)
    os.close(writer)
    with os.fdopen(reader, "rb") as handle:
        failure = handle.read().decode("utf-8", "replace")
    _pid, status = os.waitpid(child, 0)
    return failure or (f"the process of the check ended with wait status {status}" if status else "")


def _report_and_exit(
    writer: int, changes: t.Sequence[Change], checks: t.Sequence[t.Sequence[str]], owned: t.Iterable[str]
) -> None:
    try:
        _enter_private_namespace([*(change.path for change in changes), *owned])
        for change in changes:
            write_node(change.path, change.after)
        failure = _run_checks(checks)
    except (HostError, OSError) as error:
        failure = f"the check could not be prepared: {error}"
    except BaseException:  # noqa: BLE001  # report it to the parent; the child must never continue as a second module
        failure = traceback.format_exc()
    os.write(writer, failure.encode("utf-8", "replace")[:60000])
    sys.stdout.flush()
    os._exit(0)


def _run_checks(checks: t.Sequence[t.Sequence[str]]) -> str:
    for argv in checks:
        status, text = run(argv)
        if status:
            return f"`{' '.join(argv)}` rejected the new files (exit {status}): {text[-3000:]}"
    return ""


def _enter_private_namespace(paths: t.Sequence[str]) -> None:
    os.unshare(os.CLONE_NEWNS)  # type: ignore[attr-defined,unused-ignore]  # Python 3.12 and newer, as on the hosts
    _mount("--make-rprivate", "/")
    roots = find_overlay_roots(paths, os.path.isdir)
    if "/" in roots:
        raise HostError("a file directly in / cannot be checked before it is live: move it into a directory")
    _mount("-t", "tmpfs", "-o", "mode=1777", "vise-check", "/tmp")
    for number, directory in enumerate(roots):
        upper, work = f"/tmp/{number}/upper", f"/tmp/{number}/work"
        os.makedirs(upper, mode=0o700)
        os.makedirs(work, mode=0o700)
        status = os.stat(directory)
        os.chown(upper, status.st_uid, status.st_gid)
        os.chmod(upper, stat.S_IMODE(status.st_mode))
        _mount("-t", "overlay", "-o", f"lowerdir={directory},upperdir={upper},workdir={work}", "vise-check", directory)


def find_overlay_roots(paths: t.Iterable[str], is_directory: t.Callable[[str], bool]) -> list[str]:
    """Return the smallest set of existing directories that contains all of the paths."""
    roots: set[str] = set()
    for path in paths:
        parent = os.path.dirname(path)
        while not is_directory(parent):
            parent = os.path.dirname(parent)
        roots.add(os.path.realpath(parent))
    return sorted(r for r in roots if not any(r != other and r.startswith(other.rstrip("/") + "/") for other in roots))


def _mount(*arguments: str) -> None:
    status, text = run(["mount", *arguments])
    if status:
        raise HostError(f"`mount {' '.join(arguments)}` failed: {text}")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
