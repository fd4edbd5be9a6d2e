# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The transaction: inspect, check, journal, swap, activate, prove, then keep or put back."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.component import host, plan
from ansible_collections.vise.platform.plugins.module_utils.component.host import HostError
from ansible_collections.vise.platform.plugins.module_utils.component.model import (
    ABSENT,
    Change,
    Command,
    Manifest,
    UnitState,
    Wanted,
)
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store


@dataclasses.dataclass(frozen=True)
class Needs:
    """What other modules have to bring before the component's own files make sense."""

    packages: list[str]
    absent_packages: list[str]
    groups: list[dict[str, t.Any]]
    users: list[dict[str, t.Any]]
    absent_users: list[str]

    def actions(self) -> list[str]:
        """Return a short text for each need."""
        return [
            *(f"install {name}" for name in self.packages),
            *(f"uninstall {name}" for name in self.absent_packages),
            *(f"group {group['name']}" for group in self.groups),
            *(f"user {user['name']}" for user in self.users),
            *(f"remove user {name}" for name in self.absent_users),
        ]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What this run has to do, and what it found."""

    needs: Needs
    changes: list[Change]
    commands: list[Command]
    verbs: list[tuple[str, str]]
    daemon_reload: bool
    states: t.Mapping[str, UnitState]
    stale: str  # what a probe said although nothing else differs
    unfinished: bool  # a killed run has left its journal

    def actions(self) -> list[str]:
        """Return a short text for each step, in order."""
        return [
            *self.needs.actions(),
            *(plan.describe(change) for change in self.changes),
            *(["daemon-reload"] if self.daemon_reload else []),
            *(" ".join(command.argv) for command in self.commands),
            *(f"{verb} {unit}" for verb, unit in self.verbs),
        ]


def missing(wanted: Wanted, owned: Manifest) -> Needs:
    """Return what apt, group and user have to do."""
    packages, absent_packages = plan.plan_packages(
        wanted, host.installed_packages([*wanted.packages, *wanted.absent_packages])
    )
    users = host.observed_users()
    gone = sorted(set(owned.users) & users.keys() - {user["name"] for user in wanted.users})
    return Needs(
        packages,
        absent_packages,
        plan.plan_accounts(wanted.groups, host.observed_groups()),
        plan.plan_accounts(wanted.users, users),
        gone,
    )


def inspect(wanted: Wanted, store: Store) -> Plan:
    """Compare the host with what is wanted; changes nothing."""
    owned, journal = store.manifest(), store.journal()
    needs = missing(wanted, owned)
    nodes = {**wanted.nodes}
    for path in plan.unwanted_paths(wanted, owned, host.find(wanted.purge)):
        nodes[path] = ABSENT
    changes = plan.plan_paths(nodes, {path: host.read_node(path) for path in nodes})
    paths = [change.path for change in changes] + list(journal.nodes if journal else ())
    states = host.unit_states([unit.name for unit in wanted.units])
    # Before the programs are there, and while files differ, a probe can say nothing new.
    ask = not (paths or needs.packages)
    stale = (
        next(filter(None, (host.probe_answer(probe, wanted.generation) for probe in wanted.probes)), "") if ask else ""
    )
    return Plan(
        needs,
        changes,
        plan.plan_commands(wanted.commands, paths, bool(stale)),
        plan.plan_units(wanted.units, states, paths, bool(stale)),
        plan.needs_daemon_reload(states, paths),
        states,
        stale,
        journal is not None,
    )


def refuse(wanted: Wanted, found: Plan) -> None:
    """Raise when the change cannot be made safely; the host is as it was."""
    reason = plan.refusal(found.changes)
    if not reason and found.changes and not found.needs.actions():
        owned = [path for path, node in wanted.nodes.items() if node.kind == "file"]
        reason = host.check_in_private_view(found.changes, wanted.checks, owned)
    if reason:
        raise HostError(f"{wanted.name}: refused, nothing was changed: {reason}")


def claim(wanted: Wanted, store: Store) -> None:
    """Remember the users that are about to be made: whoever is made must be found again after a kill."""
    store.write_manifest(store.manifest().joined(_manifest(wanted)))


def settle(wanted: Wanted, store: Store) -> None:
    """Forget what the component no longer owns; what it wants is live."""
    store.write_manifest(_manifest(wanted))


def apply(wanted: Wanted, found: Plan, store: Store) -> None:
    """Make the planned changes live, or put everything back and raise."""
    journal = _journal(found, store)
    store.write_journal(journal)
    store.write_manifest(journal.manifest.joined(_manifest(wanted)))
    host.remove_staged(journal.nodes)
    try:
        for change in found.changes:
            host.write_node(change.path, change.after)
        _activate(found.daemon_reload, found.commands, found.verbs)
        answer = host.await_probes(wanted.probes, wanted.generation)
        if answer:
            raise HostError(f"not live: {answer}")
    except (HostError, OSError) as error:
        raise HostError(f"{wanted.name}: {error}\n{_put_back(wanted, found, journal, store)}") from error
    settle(wanted, store)
    store.remove_journal()


def _manifest(wanted: Wanted) -> Manifest:
    paths = sorted(path for path, node in wanted.nodes.items() if node.kind in ("file", "link"))
    return Manifest(wanted.generation, tuple(paths), tuple(sorted(user["name"] for user in wanted.users)))


def _journal(found: Plan, store: Store) -> Journal:
    # What a killed run had journalled is older, so it is what was live last.
    older = store.journal() or Journal({}, {}, store.manifest())
    nodes = {**{change.path: change.before for change in found.changes}, **older.nodes}
    return Journal(nodes, {**found.states, **older.states}, older.manifest)


def _activate(daemon_reload: bool, commands: t.Iterable[Command], verbs: t.Iterable[tuple[str, str]]) -> None:
    if daemon_reload:
        host.systemctl("daemon-reload")
    for command in commands:
        status, text = host.run(command.argv)
        if status:
            raise HostError(f"`{' '.join(command.argv)}` failed (exit {status}): {text[-1000:]}")
    for verb, unit in verbs:
        if verb not in ("stop", "disable"):
            # A unit that crashed too often would refuse to start with the configuration that mends it.
            host.run(["systemctl", "reset-failed", unit])
        host.systemctl(verb, unit)


def _put_back(wanted: Wanted, found: Plan, journal: Journal, store: Store) -> str:
    """Restore files and units from the journal; return what became of it in words."""
    before = {path: host.read_node(path) for path in journal.nodes}
    changes = plan.plan_paths(journal.nodes, before)
    try:
        for change in changes:
            if change.before.kind == "directory" and change.after.kind == "absent":
                continue  # an empty directory harms nobody, and a service may have put data into it
            host.write_node(change.path, change.after)
    except (HostError, OSError) as error:
        return f"Not all of the previous files could be put back: {error}; mend that and run this again"
    try:
        _activate(found.daemon_reload, found.commands, _way_back(wanted, found, journal))
    except (HostError, OSError) as error:
        return f"The previous files are on disk, but could not be made live again: {error}"
    store.write_manifest(journal.manifest)
    store.remove_journal()
    # Without a generation the component is new here, and there is nothing that a probe could find.
    answer = host.await_probes(wanted.probes, journal.manifest.generation) if journal.manifest.generation else ""
    proof = f"but not proven live: {answer}" if answer else "and is live"
    return f"The previous configuration was put back {proof}."


def _way_back(wanted: Wanted, found: Plan, journal: Journal) -> list[tuple[str, str]]:
    verbs = []
    for unit in wanted.units:
        before = journal.states.get(unit.name, UnitState())
        done = [verb for verb, name in found.verbs if name == unit.name]
        if before.load == "not-found":
            # Its unit file may have been one of the files: systemd no longer knows it once it has stopped.
            host.run(["systemctl", "stop", unit.name])
            continue
        if "enable" in done and not before.file_state.startswith("enabled"):
            verbs.append(("disable", unit.name))
        if "disable" in done and before.file_state.startswith("enabled"):
            verbs.append(("enable", unit.name))
        if before.active == "active" and {"reload", "restart", "start", "stop"} & set(done):
            # Not a plain reload: the refused configuration may have ended the process.
            verbs.append(("reload-or-restart" if done[-1] == "reload" else "restart", unit.name))
        elif before.active != "active" and {"start", "restart"} & set(done):
            verbs.append(("stop", unit.name))
    return verbs
