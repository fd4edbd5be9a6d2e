# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the steps for a host: pure functions that compare wanted and current state."""

from __future__ import annotations

import fnmatch
import typing as t

from .model import (
    ABSENT,
    Change,
    Command,
    Manifest,
    Node,
    Unit,
    UnitState,
    Wanted,
)
from .programs import COMMANDS, find_program

# systemd caches the files in these directories until `systemctl daemon-reload`.
UNIT_PATHS = ("/etc/systemd/system/*", "/usr/lib/systemd/system/*", "/usr/local/lib/systemd/system/*")
# Unit files without an [Install] section can be neither enabled nor disabled.
FIXED_FILE_STATES = ("static", "generated", "transient", "indirect", "alias")


def matches(path: str, patterns: t.Iterable[str]) -> bool:
    """Return whether a path matches one of the globs; ``*`` also matches slashes."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def any_matches(paths: t.Iterable[str], patterns: t.Iterable[str]) -> bool:
    """Return whether at least one of the paths matches one of the globs."""
    patterns = tuple(patterns)
    return any(matches(path, patterns) for path in paths)


def unwanted_paths(wanted: Wanted, owned: Manifest, purgeable: t.Iterable[str]) -> set[str]:
    """Return the paths to remove: owned or matched by ``purge``, and not wanted."""
    return {*owned.paths, *purgeable} - wanted.nodes.keys()


def plan_paths(wanted: t.Mapping[str, Node], observed: t.Mapping[str, Node]) -> list[Change]:
    """Return the paths that differ: directories first (parents before children), removals last (children first)."""
    changes = [
        Change(path, observed.get(path, ABSENT), node)
        for path, node in wanted.items()
        if observed.get(path, ABSENT) != node
    ]
    writes = [c for c in changes if c.after.kind != "absent"]
    removals = [c for c in changes if c.after.kind == "absent"]
    writes.sort(key=lambda c: (c.after.kind != "directory", c.path))
    removals.sort(key=lambda c: c.path, reverse=True)
    return writes + removals


def explain_refusal(changes: t.Iterable[Change]) -> str:
    """Return why the changes could lose data and are refused, or an empty string."""
    for change in changes:
        before, after = change.before.kind, change.after.kind
        kinds = {before, after}
        if "directory" in kinds and "absent" not in kinds and len(kinds) == 2:
            return f"{change.path} is a {before}, but the component needs a {after} there: move it away and run again"
        if before == "other":
            return f"{change.path} is not a file, a link or a directory: move it away and run again"
    return ""


def plan_accounts(
    wanted: t.Iterable[dict[str, t.Any]], observed: t.Mapping[str, dict[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """Return the accounts (groups or users) that are missing or have a given property with another value."""
    return [account for account in wanted if _account_differs(account, observed.get(account["name"]))]


def _account_differs(account: dict[str, t.Any], observed: dict[str, t.Any] | None) -> bool:
    if observed is None:
        return True
    given = {key: value for key, value in account.items() if value is not None and key in observed}
    if "groups" in given:
        given["groups"] = sorted(given["groups"])
    return any(observed[key] != value for key, value in given.items())


def plan_unit(unit: Unit, state: UnitState, paths: t.Iterable[str], stale: bool = False) -> list[str]:
    """Return the systemctl verbs for a unit, in order.

    ``paths`` are the changed paths. ``stale`` means that a probe failed: the wanted configuration is not live.
    """
    paths = tuple(paths)
    verbs = []
    if state.file_state.startswith("masked") and (unit.enabled or unit.state == "started"):
        verbs.append("unmask")
    fixed = unit.enabled is None or state.file_state in FIXED_FILE_STATES
    if not fixed and unit.enabled != state.file_state.startswith("enabled"):
        verbs.append("enable" if unit.enabled else "disable")
    if unit.state == "stopped":
        return verbs + (["stop"] if state.active not in ("inactive", "failed") else [])
    if unit.state == "started" and state.active not in ("active", "reloading"):
        return [*verbs, "start"]
    if unit.activation != "none" and (stale or any_matches(paths, unit.watch)):
        restart = unit.activation == "restart" or any_matches(paths, unit.restart_on)
        verbs.append("restart" if restart else "reload")
    return verbs


def plan_units(
    units: t.Iterable[Unit], states: t.Mapping[str, UnitState], paths: t.Iterable[str], stale: bool = False
) -> list[tuple[str, str]]:
    """Return (verb, unit) pairs in the order of the units."""
    paths = tuple(paths)
    return [(verb, u.name) for u in units for verb in plan_unit(u, states.get(u.name, UnitState()), paths, stale)]


def plan_commands(commands: t.Iterable[Command], paths: t.Iterable[str], stale: bool = False) -> list[Command]:
    """Return the commands that watch a changed path; all of them after a failed probe (``stale``)."""
    paths = tuple(paths)
    return [command for command in commands if stale or any_matches(paths, command.watch)]


def needs_daemon_reload(states: t.Mapping[str, UnitState], paths: t.Iterable[str]) -> bool:
    """Return whether systemd must read its unit files again."""
    return any_matches(paths, UNIT_PATHS) or any(state.needs_reload for state in states.values())


def describe_changes(changes: t.Iterable[Change]) -> list[str]:
    """Return changes as short texts, with one for all files of a program."""
    programs: dict[str, list[Change]] = {}
    texts: dict[str, str] = {}
    for change in changes:
        program = find_program(change.path)
        programs.setdefault(program, []).append(change)
        texts[program or change.path] = describe_change(change)
    for program, parts in programs.items():
        if program:
            texts[program] = _describe_program(program, parts)
    return list(texts.values())


def removes_program(change: Change) -> bool:
    """Return whether a change removes a part of a program, or the link by which it is started."""
    return change.after.kind == "absent" and bool(find_program(change.path) or change.path.startswith(f"{COMMANDS}/"))


def _describe_program(name: str, changes: t.Sequence[Change]) -> str:
    files = [change for change in changes if "directory" not in (change.before.kind, change.after.kind)]
    if all(change.before.kind == "absent" for change in changes):
        verb = "install"
    else:
        verb = "remove" if all(change.after.kind == "absent" for change in changes) else "update"
    return f"{verb} program {name} ({len(files)} file{'' if len(files) == 1 else 's'})"


def build_diffs(changes: t.Iterable[Change]) -> list[dict[str, str]]:
    """Return changes as Ansible's diffs, without the files of programs: their source is not the operator's."""
    return [build_diff(change) for change in changes if not find_program(change.path)]


def describe_change(change: Change) -> str:
    """Return a change as a short text: a verb and the path."""
    if change.after.kind == "absent":
        return f"remove {change.path}"
    if change.before.kind == "absent":
        return f"create {change.path}"
    same_content = (change.before.kind, change.before.content) == (change.after.kind, change.after.content)
    return f"{'chmod/chown' if same_content else 'write'} {change.path}"


def build_diff(change: Change) -> dict[str, str]:
    """Return a change as Ansible's diff, without the content of secrets."""
    hide = change.after.secret or (change.after.kind == "absent" and change.before.secret)
    differs = change.before.content != change.after.content
    before = "(secret, not shown)" if hide else ""
    after = "(secret, not shown: content differs)" if hide and differs else before
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": _format_node(change.before, before),
        "after": _format_node(change.after, after),
    }


def _format_node(node: Node, replacement: str) -> str:
    if node.kind == "absent":
        return ""
    if node.kind == "link":
        return f"link to {node.content}\n"
    head = f"{node.kind} {node.owner}:{node.group} {node.mode}\n"
    if node.kind == "directory":
        return head
    if replacement:
        return f"{head}{replacement}\n"
    return head + node.content.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
