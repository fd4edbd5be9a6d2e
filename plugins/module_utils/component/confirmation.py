# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Confirm a change by a new login, or revert it: by the controller, or by the host when its timer ends."""

from __future__ import annotations

import typing as t

from . import host, revert_timer, transaction
from .model import Command, Manifest, Probe, Unit, Wanted
from .store import Store

NOTHING_PENDING = "no change of {name} waits for a confirmation: the host has reverted it (`journalctl -u {unit}`)"


def is_pending(store: Store) -> bool:
    """Return whether a change waits for a new login that confirms it."""
    return store.read_journal() is not None and revert_timer.read_record(store) is not None


def read_answers(store: Store) -> list[t.Any]:
    """Return what the controller got from the host before the change that waits; empty when none waits."""
    record = revert_timer.read_record(store) if is_pending(store) else None
    return list(record["wanted"]["answers"]) if record else []


def confirm(store: Store, generation: str) -> str:
    """Commit the change of a generation; return why it cannot be committed, or an empty string."""
    with store.lock():
        record = revert_timer.read_record(store)
        if record is None or store.read_journal() is None:
            return NOTHING_PENDING.format(name=store.name, unit=revert_timer.unit_name(store.name))
        if record["wanted"]["generation"] != generation:
            return f"another run has changed {store.name} meanwhile: run again"
        store.write_manifest(_build_manifest(record["manifest"]))
        store.write_record(record["record"])
        transaction.end(store)
    return ""


def revert(store: Store, generation: str = "") -> str:
    """Roll back the unconfirmed change, of any generation by default; return the outcome, or '' if there is none."""
    with store.lock():
        record, journal = revert_timer.read_record(store), store.read_journal()
        if record is None:
            return ""
        if journal is None:
            # The change was committed or rolled back by a process that was killed before it could stop the timer.
            revert_timer.disarm(store)
            return ""
        if generation not in ("", record["wanted"]["generation"]):
            return f"Another run has changed {store.name} meanwhile; its change stays."
        return transaction.roll_back(_build_wanted(record["wanted"]), _build_plan(record["steps"]), journal, store)


def _build_wanted(data: dict[str, t.Any]) -> Wanted:
    return Wanted(
        data["name"],
        data["generation"],
        units=tuple(Unit(name) for name in data["units"]),
        probes=tuple(Probe(tuple(probe["argv"]), probe["expect"], probe["timeout"]) for probe in data["probes"]),
        confirm_within=data["confirm_within"],
    )


def _build_plan(data: dict[str, t.Any]) -> transaction.Plan:
    return transaction.Plan(
        transaction.Prerequisites([], [], [], [], [], [], []),
        [],
        [Command(tuple(command["argv"]), tuple(command["watch"])) for command in data["commands"]],
        [(one[0], one[1]) for one in data["verbs"]],
        data["daemon_reload"],
        {},
        "",
        unfinished=True,
    )


def _build_manifest(data: dict[str, t.Any]) -> Manifest:
    return Manifest(data["generation"], tuple(data["paths"]), tuple(data["users"]))


def main(arguments: t.Sequence[str]) -> int:
    """Revert a component's unconfirmed change; the timer runs this with the name and the directory of components."""
    name, root = arguments
    store = Store(name, root)
    outcome = revert(store)
    # A change that is still unconfirmed was not rolled back; systemd then runs this again.
    if is_pending(store):
        raise host.HostError(f"{name}: {outcome}")
    return 0
