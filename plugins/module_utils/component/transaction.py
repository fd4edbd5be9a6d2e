# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The transaction: inspect, check, journal, replace files, activate, probe, then commit or roll back."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ..host import accounts
from . import host, packages, plan, revert_timer
from .host import HostError
from .model import (
    ABSENT,
    Change,
    Command,
    Manifest,
    Node,
    Probe,
    UnitState,
    Wanted,
)
from .store import Journal, Store


@dataclasses.dataclass(frozen=True)
class Prerequisites:
    """Packages, groups and users that other modules must change before the component writes its files."""

    packages: list[str]
    absent_packages: list[str]
    groups: list[dict[str, t.Any]]
    users: list[dict[str, t.Any]]
    absent_users: list[str]
    unfinished_packages: list[str]  # an interrupted dpkg left them; the module itself completes them
    closed_users: list[str]  # wanted users that were absent before

    def actions(self) -> list[str]:
        """Return a short text for each prerequisite."""
        return [
            *(f"complete the interrupted installation of {name}" for name in self.unfinished_packages),
            *(f"install {name}" for name in self.packages),
            *(f"uninstall {name}" for name in self.absent_packages),
            *(f"group {group['name']}" for group in self.groups),
            *(f"user {user['name']}" for user in self.users),
            *(f"close user {name}" for name in self.absent_users),
            *(f"reopen user {name}" for name in self.closed_users),
        ]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps of this run, and the current state that they depend on."""

    prerequisites: Prerequisites
    changes: list[Change]
    commands: list[Command]
    verbs: list[tuple[str, str]]
    daemon_reload: bool
    states: t.Mapping[str, UnitState]
    probe_failure: str  # the reason why a probe failed although no file differs
    unfinished: bool  # a killed run left its journal
    foreign: tuple[str, ...] = ()  # files of others, which are copied first
    reported: t.Sequence[str] = ()  # a text for each file of others that stays and has, or seems to have, an effect

    def actions(self) -> list[str]:
        """Return a short text for each step, in order."""
        return [
            *(f"keep a copy of {path}" for path in self.foreign),
            *self.prerequisites.actions(),
            *plan.describe_changes(self.changes),
            *(["daemon-reload"] if self.daemon_reload else []),
            *(" ".join(command.argv) for command in self.commands),
            *(f"{verb} {unit}" for verb, unit in self.verbs),
        ]


class Readers(t.NamedTuple):
    """How an inspection reads the host; a survey reads for all components at once."""

    node: t.Callable[[str], Node]
    packages: t.Callable[[], list[packages.Package]]
    groups: t.Callable[[], dict[str, dict[str, t.Any]]]
    users: t.Callable[[], dict[str, dict[str, t.Any]]]
    units: t.Callable[[t.Sequence[str]], t.Mapping[str, UnitState]]
    probe: t.Callable[[Probe, str], str]


def direct_readers() -> Readers:
    """Return the functions that read the host directly."""
    return Readers(
        host.read_node,
        packages.read_packages,
        host.read_groups,
        host.read_users,
        host.read_unit_states,
        host.run_probe,
    )


def find_prerequisites(wanted: Wanted, owned: Manifest, read: Readers) -> Prerequisites:
    """Compare packages, groups and users with the host; return those that differ."""
    known = read.packages() if wanted.packages or wanted.absent_packages else []
    users = read.users()
    wanted_users = {user["name"] for user in wanted.users}
    owned_users = set(owned.users) & users.keys() - wanted_users
    closed = accounts.read_closed(owned_users | (wanted_users & users.keys()))
    return Prerequisites(
        packages.find_missing(wanted.packages, known),
        packages.find_installed(wanted.absent_packages, known),
        plan.plan_accounts(wanted.groups, read.groups()),
        plan.plan_accounts(wanted.users, users),
        sorted(owned_users.difference(closed)),
        packages.find_unfinished(known),
        sorted(wanted_users.intersection(closed)),
    )


def prepare_packages(name: str, prerequisites: Prerequisites) -> Prerequisites:
    """Complete what dpkg was interrupted in, and refuse an installation that apt cannot do or that removes packages.

    Returns:
        The prerequisites with the specifications that apt resolved.
    """
    if prerequisites.unfinished_packages:
        packages.complete_unfinished()
    if not prerequisites.packages:
        return prerequisites
    try:
        resolved = packages.resolve(prerequisites.packages, prerequisites.absent_packages)
    except HostError as error:
        raise HostError(f"{name}: refused, nothing was changed: {error}") from error
    return dataclasses.replace(prerequisites, packages=resolved)


def inspect(wanted: Wanted, store: Store, read: Readers | None = None) -> Plan:
    """Compare the host with the wanted state and plan the steps; changes nothing."""
    read = read or direct_readers()
    owned, journal = store.read_manifest(), store.read_journal()
    _refuse_foreign_paths(wanted, owned, store)
    prerequisites = find_prerequisites(wanted, owned, read)
    nodes = {**wanted.nodes}
    for path in plan.unwanted_paths(wanted, owned, host.expand_globs(wanted.purge)):
        nodes[path] = ABSENT
    changes = plan.plan_paths(nodes, {path: read.node(path) for path in nodes})
    paths = [change.path for change in changes] + list(journal.nodes if journal else ())
    states = read.units([unit.name for unit in wanted.units])
    # A missing program or a differing file already causes an activation; a probe would add nothing.
    runs_probes = not (paths or prerequisites.packages)
    failures = (read.probe(probe, wanted.generation) for probe in wanted.probes)
    failure = next(filter(None, failures), "") if runs_probes else ""
    return Plan(
        prerequisites,
        changes,
        plan.plan_commands(wanted.commands, paths, bool(failure)),
        plan.plan_units(wanted.units, states, paths, bool(failure)),
        plan.needs_daemon_reload(states, paths),
        states,
        failure,
        journal is not None,
        reported=find_foreign(wanted, owned),
    )


def find_foreign(wanted: Wanted, owned: Manifest) -> list[str]:
    """Return a text for each file that neither this component nor a package has put into a place of the component."""
    known = wanted.nodes.keys() | set(owned.paths)
    return [
        f"{path}: {effect}"
        for pattern, effect in wanted.foreign
        for path in sorted(host.expand_globs([pattern]) - known)
        if not os.path.realpath(path).startswith("/usr/")
    ]


def _refuse_foreign_paths(wanted: Wanted, owned: Manifest, store: Store) -> None:
    """Raise HostError when a new path of this component belongs to another one, which would remove it later."""
    new = set(build_manifest(wanted).paths) - set(owned.paths)
    for name, paths in store.read_other_paths() if new else ():
        shared = sorted(new.intersection(paths))
        if shared:
            raise HostError(f"{wanted.name}: refused, nothing was changed: {shared[0]} belongs to the component {name}")


def validate(wanted: Wanted, steps: Plan) -> None:
    """Check the files before they are live; raises HostError when the change is refused, changes nothing.

    Without a difference as well: an activation also makes live what other programs have written.
    """
    reason = plan.explain_refusal(steps.changes)
    activates = steps.changes or steps.commands or steps.verbs or steps.probe_failure
    if not reason and activates and not steps.prerequisites.actions():
        owned = [path for path, node in wanted.nodes.items() if node.kind == "file"]
        reason = host.check_in_private_namespace(steps.changes, wanted.checks, owned)
    if reason:
        raise HostError(f"{wanted.name}: refused, nothing was changed: {reason}")


def begin(wanted: Wanted, store: Store) -> None:
    """Record the wanted users as owned before they are created, so that a killed run loses none.

    Not the paths: until `apply` writes them, what is there belongs to others, also after a run that failed before.
    """
    users = dataclasses.replace(build_manifest(wanted), paths=())
    store.write_manifest(store.read_manifest().merge(users))


def record(wanted: Wanted, store: Store) -> None:
    """Record the wanted paths and users as owned, and the wanted state as proved; call this when it is live."""
    store.write_manifest(build_manifest(wanted))
    store.write_record(wanted.to_record())


def apply(wanted: Wanted, steps: Plan, store: Store) -> None:
    """Make the planned changes live; on failure roll back and raise HostError.

    A component that needs a confirmation stays unconfirmed: `confirmation` commits it, or the host reverts it.
    """
    journal = _build_journal(steps, store)
    store.write_journal(journal)
    store.write_manifest(journal.manifest.merge(build_manifest(wanted)))
    host.remove_staged(journal.nodes)
    try:
        if wanted.confirm_within:
            revert_timer.arm(store, _build_record(wanted, steps, store), wanted.confirm_within)
        for change in steps.changes:
            host.write_node(change.path, change.after)
        _activate(steps.daemon_reload, steps.commands, steps.verbs)
        failure = host.wait_for_probes(wanted.probes, wanted.generation)
        if failure:
            raise HostError(f"the new configuration is not live: {failure}")
        if wanted.confirm_within:
            revert_timer.start(store)
            return
    except (HostError, OSError) as error:
        raise HostError(f"{wanted.name}: {error}\n{roll_back(wanted, steps, journal, store)}") from error
    record(wanted, store)
    end(store)


def end(store: Store) -> None:
    """End the change: it is complete or rolled back, and its timer must not revert it."""
    store.remove_journal()
    revert_timer.disarm(store)


def _build_record(wanted: Wanted, steps: Plan, store: Store) -> dict[str, t.Any]:
    """Return what a rollback needs besides the journal, and the manifest of the confirmed change."""
    older = revert_timer.read_record(store) or {"steps": {"verbs": [], "daemon_reload": False}}
    return {
        "manifest": dataclasses.asdict(build_manifest(wanted)),
        "record": wanted.to_record(),
        "wanted": {
            "name": wanted.name,
            "generation": wanted.generation,
            "confirm_within": wanted.confirm_within,
            "answers": wanted.answers,
            "units": [unit.name for unit in wanted.units],
            "probes": [dataclasses.asdict(probe) for probe in wanted.probes],
        },
        "steps": {
            "commands": [dataclasses.asdict(command) for command in steps.commands],
            # An unconfirmed change before this one is reverted together with it.
            "verbs": [*map(list, older["steps"]["verbs"]), *map(list, steps.verbs)],
            "daemon_reload": steps.daemon_reload or older["steps"]["daemon_reload"],
        },
    }


def build_manifest(wanted: Wanted) -> Manifest:
    """Return the paths and users that the component owns when the wanted state is live."""
    paths = sorted(path for path, node in wanted.nodes.items() if node.kind in ("file", "link"))
    return Manifest(wanted.generation, tuple(paths), tuple(sorted(user["name"] for user in wanted.users)))


def _build_journal(steps: Plan, store: Store) -> Journal:
    # The journal of a killed run is older: it holds the state that was live last, so its entries win.
    older = store.read_journal() or Journal({}, {}, store.read_manifest())
    nodes = {**{change.path: change.before for change in steps.changes}, **older.nodes}
    return Journal(nodes, {**steps.states, **older.states}, older.manifest)


def _activate(daemon_reload: bool, commands: t.Iterable[Command], verbs: t.Iterable[tuple[str, str]]) -> None:
    if daemon_reload:
        host.systemctl("daemon-reload")
    for command in commands:
        status, text = host.run(command.argv)
        if status:
            raise HostError(f"`{' '.join(command.argv)}` failed (exit {status}): {text[-1000:]}")
    for verb, unit in verbs:
        if verb not in ("stop", "disable"):
            # systemd does not start a unit that crashed too often, not even with a repaired configuration.
            host.run(["systemctl", "reset-failed", unit])
        try:
            if verb == "enable" and host.gets_an_alias(unit):
                host.systemctl("stop", unit)
                host.systemctl("enable", unit)
                verb = "start"
            host.systemctl(verb, unit)
        except HostError:
            if verb != "reload-or-restart":
                raise
            # A rollback must succeed: some services end at a reload, for example sshd with the port of a socket.
            host.systemctl("restart", unit)


def roll_back(wanted: Wanted, steps: Plan, journal: Journal, store: Store) -> str:
    """Restore files and units from the journal; return the outcome as a sentence for the operator."""
    before = {path: host.read_node(path) for path in journal.nodes}
    changes = plan.plan_paths(journal.nodes, before)
    # A program that the rolled-back change would have installed cannot activate the state before it. Only where a login
    # depends on it, it must: then it is removed after it has run.
    known = [one for one in steps.commands if journal.nodes.get(one.argv[0], Node("file")).kind != "absent"]
    late: list[Change] = []
    if wanted.confirm_within:
        known, late = steps.commands, [change for change in changes if plan.removes_program(change)]
    try:
        _restore(change for change in changes if change not in late)
    except (HostError, OSError) as error:
        return f"Rollback failed, some previous files are not restored: {error}. Repair this and run again."
    try:
        _activate(steps.daemon_reload, known, _plan_rollback_verbs(wanted, steps, journal))
        _restore(late)
    except (HostError, OSError) as error:
        return f"Rollback failed: the previous files are restored, but not live: {error}. Repair this and run again."
    store.write_manifest(journal.manifest)
    end(store)
    # Without a generation the component is new on this host: no probe could pass.
    failure = host.wait_for_probes(wanted.probes, journal.manifest.generation) if journal.manifest.generation else ""
    outcome = f"but the probe does not prove that it is live: {failure}" if failure else "which is live."
    skipped = [" ".join(command.argv) for command in steps.commands if command not in known]
    if skipped:
        outcome = f"but what `{skipped[0]}` did may remain, because its program is removed too."
    return f"Rolled back to the previous configuration, {outcome}"


def _restore(changes: t.Iterable[Change]) -> None:
    for change in changes:
        if change.before.kind == "directory" and change.after.kind == "absent":
            continue  # an empty directory does no harm, and a service may have written data into it
        host.write_node(change.path, change.after)


def _plan_rollback_verbs(wanted: Wanted, steps: Plan, journal: Journal) -> list[tuple[str, str]]:
    verbs = []
    for unit in wanted.units:
        before = journal.states.get(unit.name, UnitState())
        done = [verb for verb, name in steps.verbs if name == unit.name]
        if before.load == "not-found":
            # The unit file may be one of the removed files; systemd forgets the unit when it has stopped.
            host.run(["systemctl", "stop", unit.name])
            continue
        if "enable" in done and not before.file_state.startswith("enabled"):
            verbs.append(("disable", unit.name))
        if "disable" in done and before.file_state.startswith("enabled"):
            verbs.append(("enable", unit.name))
        if before.active == "active" and {"reload", "restart", "start", "stop"} & set(done):
            # Not a plain reload: the rejected configuration may have ended the process.
            verbs.append(("reload-or-restart" if done[-1] == "reload" else "restart", unit.name))
        elif before.active != "active" and {"start", "restart"} & set(done):
            verbs.append(("stop", unit.name))
    return verbs
