# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a component reads from a host and writes to it: everything here does I/O, nothing decides."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import pwd
import stat
import subprocess
import sys
import time
import traceback
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.component.model import (
    ABSENT,
    Change,
    Node,
    Probe,
    UnitState,
)

# A dot first and no known suffix last: no program that reads a directory of drop-ins takes a half-made file for one.
STAGED = ".{}.vise-new"
COMMAND_TIMEOUT = 300  # seconds; a unit that needs longer to start is as good as broken


class HostError(Exception):
    """Something that the host refused, in words for its operator."""


def run(argv: t.Sequence[str], timeout: int = COMMAND_TIMEOUT) -> tuple[int, str]:
    """Run a command and return its exit status with what it printed; a missing program or a time-out is a status."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            env={
                **os.environ,
                "LC_ALL": "C.UTF-8",
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            },
        )
    except FileNotFoundError:
        return 127, f"{argv[0]}: no such program"
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]}: no answer in {timeout} s"
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def read_node(path: str) -> Node:
    """Return what lies at a path, without following a link at its end."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if stat.S_ISLNK(status.st_mode):
        return Node("link", os.readlink(path))
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else "other"
    content = ""
    if kind == "file":
        # Whoever owns the directory may have put a link in its place meanwhile.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as handle:
            status = os.fstat(handle.fileno())
            content = handle.read().decode("utf-8", "surrogateescape")
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    unreadable = not status.st_mode & stat.S_IROTH
    return Node(kind, content, _user_name(status.st_uid), _group_name(status.st_gid), mode, secret=unreadable)


def find(patterns: t.Iterable[str]) -> set[str]:
    """Return the paths that match one of the globs, without what is still being staged."""
    return {path for pattern in patterns for path in glob.glob(pattern, recursive=True)}


def write_node(path: str, node: Node) -> None:
    """Make a path what the node says; a file or a link appears whole or not at all."""
    if node.kind == "absent":
        _remove(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if node.kind == "directory":
        _make_directory(path, node)
        return
    staged = os.path.join(os.path.dirname(path), STAGED.format(os.path.basename(path)))
    _remove(staged)
    if node.kind == "link":
        os.symlink(node.content, staged)
    else:
        _write_file(staged, node)
    os.rename(staged, path)
    sync_directory(os.path.dirname(path))


def _make_directory(path: str, node: Node) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise HostError(f"{path} is in the way of a directory: {error.strerror}") from error
    try:
        _own(descriptor, path, node)
    finally:
        os.close(descriptor)


def _write_file(path: str, node: Node) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(node.content.encode("utf-8", "surrogateescape"))
        _own(handle.fileno(), path, node)
        handle.flush()
        os.fsync(handle.fileno())


def _own(descriptor: int, path: str, node: Node) -> None:
    # By the descriptor: by its path, whoever owns the directory could have it lead to a file of root's.
    try:
        uid, gid = pwd.getpwnam(node.owner).pw_uid, grp.getgrnam(node.group).gr_gid
    except KeyError as error:
        raise HostError(f"{path}: owner {node.owner}:{node.group} does not exist on this host") from error
    os.fchown(descriptor, uid, gid)
    # After chown, which clears the set-user-id bits.
    os.fchmod(descriptor, int(node.mode, 8))


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path} cannot be removed: {error.strerror}") from error
    sync_directory(os.path.dirname(path))


def remove_staged(paths: t.Iterable[str]) -> None:
    """Remove what a killed run had staged beside the paths."""
    for path in paths:
        _remove(os.path.join(os.path.dirname(path), STAGED.format(os.path.basename(path))))


def sync_directory(path: str) -> None:
    """Make renames in a directory survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def installed_packages(names: t.Sequence[str]) -> set[str]:
    """Return which of the packages are installed whole."""
    if not names:
        return set()
    _status, text = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names])
    return {line.split()[0] for line in text.splitlines() if line.endswith(" installed")}


def observed_groups() -> dict[str, dict[str, t.Any]]:
    """Return the groups of the host by name."""
    return {g.gr_name: {"name": g.gr_name, "gid": g.gr_gid} for g in grp.getgrall()}


def observed_users() -> dict[str, dict[str, t.Any]]:
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


def end_sessions(user: str) -> None:
    """End what a user who is about to be removed still runs."""
    run(["loginctl", "terminate-user", user])


def unit_states(names: t.Sequence[str]) -> dict[str, UnitState]:
    """Return the states of systemd units, asked for in one call."""
    if not names:
        return {}
    properties = ["LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload"]
    status, text = run(["systemctl", "show", "--property", ",".join(properties), *names])
    if status:
        raise HostError(f"systemctl show failed: {text}")
    states = {}
    for name, block in zip(names, text.split("\n\n"), strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        load, active, file_state, needs_reload = (values.get(key, "") for key in properties)
        states[name] = UnitState(load, active, file_state, needs_reload == "yes")
    return states


def systemctl(verb: str, *units: str) -> None:
    """Change a unit; a failure carries the unit's last words."""
    status, text = run(["systemctl", verb, *units])
    if status:
        _status, journal = run(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "10", *(f"-u{u}" for u in units)])
        raise HostError(f"`systemctl {verb} {' '.join(units)}` failed: {text}\n{journal}".strip())


def probe_answer(probe: Probe, generation: str) -> str:
    """Return an empty string when a probe finds what it expects, else what it found."""
    expect = probe.expect.replace("{generation}", generation)
    status, text = run(probe.argv, timeout=max(1, probe.timeout))
    if status == 0 and expect in text:
        return ""
    wanted = f", expected {expect!r}" if status == 0 else ""
    return f"`{' '.join(probe.argv)}` said (exit {status}){wanted}: {text[-500:]}"


def await_probes(probes: t.Iterable[Probe], generation: str) -> str:
    """Ask each probe until it is content or its time is over; return what the first failing one said."""
    for probe in probes:
        deadline = time.monotonic() + probe.timeout
        pause = 0.02
        while answer := probe_answer(probe, generation):
            if time.monotonic() > deadline:
                return answer
            time.sleep(pause)
            pause = min(pause * 2, 0.5)
    return ""


def check_in_private_view(
    changes: t.Sequence[Change], checks: t.Sequence[t.Sequence[str]], owned: t.Iterable[str] = ()
) -> str:
    """Run the checks where the changes are already made and nobody else sees them; return what was refused.

    A child process gets a mount namespace of its own, lays an overlay over each directory that changes or has files of
    the component, beside which a check may write, and makes the changes there. All of it is in memory and ends with the
    child, so a configuration that is refused, or a run that is killed, leaves nothing behind.
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
        answer = handle.read().decode("utf-8", "replace")
    _pid, status = os.waitpid(child, 0)
    return answer or (f"the check ended with wait status {status}" if status else "")


def _report_and_exit(
    writer: int, changes: t.Sequence[Change], checks: t.Sequence[t.Sequence[str]], owned: t.Iterable[str]
) -> None:
    try:
        _enter_private_view([*(change.path for change in changes), *owned])
        for change in changes:
            write_node(change.path, change.after)
        answer = _first_refusal(checks)
    except (HostError, OSError) as error:
        answer = f"the check could not be prepared: {error}"
    except BaseException:  # noqa: BLE001  # the parent must hear of it, and the child never run on as a second module
        answer = traceback.format_exc()
    os.write(writer, answer.encode("utf-8", "replace")[:60000])
    sys.stdout.flush()
    os._exit(0)


def _first_refusal(checks: t.Sequence[t.Sequence[str]]) -> str:
    for argv in checks:
        status, text = run(argv)
        if status:
            return f"`{' '.join(argv)}` refused it (exit {status}): {text[-3000:]}"
    return ""


def _enter_private_view(paths: t.Sequence[str]) -> None:
    os.unshare(os.CLONE_NEWNS)  # type: ignore[attr-defined,unused-ignore]  # Python 3.12 and newer, as on the hosts
    _mount("--make-rprivate", "/")
    roots = overlay_roots(paths, os.path.isdir)
    if "/" in roots:
        raise HostError("a file directly under / cannot be checked before it is live")
    _mount("-t", "tmpfs", "-o", "mode=1777", "vise-check", "/tmp")
    for number, directory in enumerate(roots):
        upper, work = f"/tmp/{number}/upper", f"/tmp/{number}/work"
        os.makedirs(upper)
        os.makedirs(work)
        status = os.stat(directory)
        os.chown(upper, status.st_uid, status.st_gid)
        os.chmod(upper, stat.S_IMODE(status.st_mode))
        _mount("-t", "overlay", "-o", f"lowerdir={directory},upperdir={upper},workdir={work}", "vise-check", directory)


def overlay_roots(paths: t.Iterable[str], is_directory: t.Callable[[str], bool]) -> list[str]:
    """Return the fewest existing directories that hold all of the paths."""
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
