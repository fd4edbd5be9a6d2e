# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done to a host: pure functions from wanted and observed state to lists of steps."""

from __future__ import annotations

import fnmatch
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.component.model import (
    ABSENT,
    Change,
    Command,
    Manifest,
    Node,
    Unit,
    UnitState,
    Wanted,
)

# systemd reads these once; a change is not seen before a daemon-reload.
UNIT_PATHS = ("/etc/systemd/system/*", "/usr/lib/systemd/system/*", "/usr/local/lib/systemd/system/*")
# Unit files without an [Install] section can be neither enabled nor disabled.
FIXED_FILE_STATES = ("static", "generated", "transient", "indirect", "alias")


def matches(path: str, patterns: t.Iterable[str]) -> bool:
    """Tell whether a path matches one of the globs; ``*`` crosses slashes."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def touched(paths: t.Iterable[str], patterns: t.Iterable[str]) -> bool:
    """Tell whether one of the paths matches one of the globs."""
    patterns = tuple(patterns)
    return any(matches(path, patterns) for path in paths)


def unwanted_paths(wanted: Wanted, owned: Manifest, purgeable: t.Iterable[str]) -> set[str]:
    """Return the paths to take away: made before and no longer wanted, or found where nothing else may lie."""
    return {*owned.paths, *purgeable} - wanted.nodes.keys()


def plan_paths(wanted: t.Mapping[str, Node], observed: t.Mapping[str, Node]) -> list[Change]:
    """Return the differing paths, directories first (parents before children), removals last (children first)."""
    changes = [
        Change(path, observed.get(path, ABSENT), node)
        for path, node in wanted.items()
        if observed.get(path, ABSENT) != node
    ]
    making = [c for c in changes if c.after.kind != "absent"]
    removing = [c for c in changes if c.after.kind == "absent"]
    making.sort(key=lambda c: (c.after.kind != "directory", c.path))
    removing.sort(key=lambda c: c.path, reverse=True)
    return making + removing


def refusal(changes: t.Iterable[Change]) -> str:
    """Return why the changes cannot be made safely, or an empty string."""
    for change in changes:
        kinds = {change.before.kind, change.after.kind}
        if "directory" in kinds and "absent" not in kinds and len(kinds) == 2:
            return f"{change.path} is a {change.before.kind}, a {change.after.kind} is wanted: move it away first"
        if change.before.kind == "other":
            return f"{change.path} is neither a file, a link nor a directory: move it away first"
    return ""


def plan_packages(wanted: Wanted, installed: set[str]) -> tuple[list[str], list[str]]:
    """Return the packages to install and those to remove."""
    return (
        [name for name in wanted.packages if name not in installed],
        [name for name in wanted.absent_packages if name in installed],
    )


def plan_accounts(
    wanted: t.Iterable[dict[str, t.Any]], observed: t.Mapping[str, dict[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """Return the accounts (groups or users) of which a property that is given differs."""
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

    ``paths`` are the changed paths, ``stale`` says that a probe found something else live than what is wanted.
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
    if unit.activation != "none" and (stale or touched(paths, unit.watch)):
        restart = unit.activation == "restart" or touched(paths, unit.restart_on)
        verbs.append("restart" if restart else "reload")
    return verbs


def plan_units(
    units: t.Iterable[Unit], states: t.Mapping[str, UnitState], paths: t.Iterable[str], stale: bool = False
) -> list[tuple[str, str]]:
    """Return (verb, unit) pairs in the order of the units."""
    paths = tuple(paths)
    return [(verb, u.name) for u in units for verb in plan_unit(u, states.get(u.name, UnitState()), paths, stale)]


def plan_commands(commands: t.Iterable[Command], paths: t.Iterable[str], stale: bool = False) -> list[Command]:
    """Return the commands that changed paths, or a failed probe, ask for."""
    paths = tuple(paths)
    return [command for command in commands if stale or touched(paths, command.watch)]


def needs_daemon_reload(states: t.Mapping[str, UnitState], paths: t.Iterable[str]) -> bool:
    """Tell whether systemd has to read its unit files again."""
    return touched(paths, UNIT_PATHS) or any(state.needs_reload for state in states.values())


def describe(change: Change) -> str:
    """Return a short text for a change: what happens to which path."""
    if change.after.kind == "absent":
        return f"remove {change.path}"
    if change.before.kind == "absent":
        return f"create {change.path}"
    same_content = (change.before.kind, change.before.content) == (change.after.kind, change.after.content)
    return f"{'chmod/chown' if same_content else 'write'} {change.path}"


def diff(change: Change) -> dict[str, str]:
    """Return Ansible's diff of a change; a secret's content is never part of it."""
    hide = change.after.secret or (change.after.kind == "absent" and change.before.secret)
    differs = change.before.content != change.after.content
    before = "(secret, not shown)" if hide else ""
    after = "(secret, not shown: content differs)" if hide and differs else before
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": _text(change.before, before),
        "after": _text(change.after, after),
    }


def _text(node: Node, instead: str) -> str:
    if node.kind == "absent":
        return ""
    if node.kind == "link":
        return f"link to {node.content}\n"
    head = f"{node.kind} {node.owner}:{node.group} {node.mode}\n"
    if node.kind == "directory":
        return head
    body = instead + "\n" if instead else node.content.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return head + body
