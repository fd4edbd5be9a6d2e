#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_upgrade
short_description: Bring a PostgreSQL cluster to another major version, with a way back
version_added: 0.1.0
description:
  - The steps of C(playbooks/upgrade_postgresql.yml) on one host. pg_upgrade copies the old cluster into a new one, or
    shares blocks with it where the file system can; the old one is only read, and is the way back.
  - How far it came is noted in C(/var/lib/vise/postgresql-upgrade.json). A run that was killed before the switch is
    put back by the next, one that was killed later is finished by it.
  - While one of the two clusters serves, the other one is fenced, across reboots.
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description:
      - V(checked) finds the old cluster and refuses what cannot go well; nothing is changed, but a killed run is put
        back. V(compatible) lets pg_upgrade look at the running old cluster, too; it needs the new version's packages.
      - V(upgraded) stops the old cluster, makes the new one from it, compares what they hold, and lets the new one
        serve. It needs the empty cluster of the role postgresql with its C(postgresql_upgrade_from).
      - V(proven) looks at the cluster that serves, and says what the upgrade took.
      - V(rolled_back) lets the old cluster serve again. V(removed) removes the one that serves no more.
      - V(retired) is for the host of a standby; its old cluster is fenced, so that it can be copied anew.
    type: str
    choices: [checked, compatible, upgraded, proven, rolled_back, removed, retired]
    required: true
  version:
    description: The new major version.
    type: str
    required: true
  name:
    description: Debian's name of both clusters.
    type: str
    default: main
  port:
    description: Port on which the old cluster serves, and then the new one.
    type: int
    default: 5432
  count_rows:
    description:
      - Whether all rows are counted before and after, while nobody is served. Without it only pg_upgrade's own checks
        tell that all is there.
    type: bool
    default: true
  accept_loss:
    description: Whether V(state=rolled_back) may lose what was written since the switch.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would be refused; later steps do nothing.
    support: full
  diff_mode:
    description: Nothing is shown.
    support: none
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Look whether an upgrade would go well
  vise.platform.postgresql_upgrade:
    state: compatible
    version: "17"

- name: Go back, without what was written since
  vise.platform.postgresql_upgrade:
    state: rolled_back
    version: "17"
    accept_loss: true
"""

RETURN = r"""
stage:
  description:
    - How far the upgrade is; C(prepared), C(switched), C(serving), C(proven), C(back), or nothing where none goes on.
  returned: always
  type: str
  sample: proven
from_version:
  description: The old version; empty when there is no upgrade to do.
  returned: always
  type: str
  sample: "15"
report:
  description: What it took and what was found.
  returned: when O(state=upgraded) or O(state=proven)
  type: dict
  sample:
    way: --copy
    rows: 41200
    extensions: ["edu: pg_trgm"]
    seconds: {stop and count: 1.9, pg_upgrade: 6.1, count again: 1.6, nobody was served: 10.2, statistics: 2.0}
lost:
  description:
    - What going back has lost, in words; empty when there was no transaction since the switch. Transactions are counted
      once the new cluster has stopped, and some of them are its own upkeep; rows are those that its statistics know.
  returned: when O(state=rolled_back)
  type: str
  sample: ""
"""

import contextlib
import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster as model
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host, upgrade, upgrade_host

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {
        "type": "str",
        "choices": ["checked", "compatible", "upgraded", "proven", "rolled_back", "removed", "retired"],
        "required": True,
    },
    "version": {"type": "str", "required": True},
    "name": {"type": "str", "default": "main"},
    "port": {"type": "int", "default": 5432},
    "count_rows": {"type": "bool", "default": True},
    "accept_loss": {"type": "bool", "default": False},
}
Options = t.Mapping[str, t.Any]
PATIENCE = 30  # seconds
Note = dict[str, t.Any]


def begin(new: host.Cluster, path: str, check_mode: bool) -> Note:
    """Return the note of an upgrade that goes on, or one of a new upgrade; what a killed run left is put back."""
    note = upgrade_host.noted(path)
    if note.get("stage") in (upgrade.GOING_BACK, upgrade.BACK):
        raise model.ClusterError(
            f"it was rolled back, and {new.data} holds what was written meanwhile: go back whole with "
            "upgrade_rollback=true, or remove that with upgrade_clean=true, then begin again"
        )
    if note.get("stage") == upgrade.UPGRADING and not check_mode:
        upgrade_host.put_back(old_of(new, note), new, path)
        note = {}
    if note:
        return note
    found = host.find(new)
    if not found.others:
        return {}
    if found.data != "none":
        raise model.ClusterError(
            f"this host holds data of {new.version} and of {found.others[0]}, and nobody knows why"
        )
    if len(found.others) > 1:
        raise model.ClusterError(f"this host holds data of {', '.join(found.others)}: remove what is needed no more")
    return {"from": found.others[0], "to": new.version}


def old_of(new: host.Cluster, note: Note) -> host.Cluster:
    """Return the old cluster."""
    return dataclasses.replace(new, version=note["from"])


def check(new: host.Cluster, options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Refuse what cannot go well."""
    # A cluster that was just put back needs a moment until its standbys are there again.
    tries = PATIENCE if upgrade_host.noted(path).get("stage") == upgrade.UPGRADING else 1
    note = begin(new, path, check_mode)
    if not note or note.get("stage") in upgrade.AHEAD:
        return False, note
    old = old_of(new, note)
    reasons: list[str] = []
    for attempt in range(tries):
        time.sleep(min(attempt, 1))
        reasons = upgrade.refusals(upgrade_host.facts(old, options["port"], new.version), old.version, new.version)
        if not reasons:
            break
    if reasons:
        raise model.ClusterError(f"nothing was changed, {old.version} serves: {'; '.join(reasons)}")
    if check_mode:
        return True, note
    if options["state"] == "checked":
        host.before_packages(new.root)
        return False, note
    try:
        upgrade_host.compatible(old, new, options["port"])
    except model.ClusterError as error:
        raise model.ClusterError(f"nothing was changed, {old.version} serves: {error}") from error
    return False, upgrade_host.note(path, {**note, "stage": upgrade.PREPARED})


def run(new: host.Cluster, options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Make the new cluster from the old one, and let it serve."""
    note = upgrade_host.noted(path)
    if note.get("stage") in (upgrade.SERVING, upgrade.PROVEN):
        return False, note
    if check_mode:
        return True, note
    if note.get("stage") not in (upgrade.PREPARED, upgrade.SWITCHED):
        raise model.ClusterError("it was not checked; run upgrade_postgresql.yml")
    old = old_of(new, note)
    if note["stage"] == upgrade.PREPARED:
        try:
            note = upgrade_host.take_over(old, new, options["port"], options["count_rows"], note, path)
        except (model.ClusterError, OSError) as error:
            upgrade_host.put_back(old, new, path)
            raise model.ClusterError(f"{old.version} serves again, with all that it had: {error}") from error
    note = upgrade_host.serve(old, new, note, path)
    return True, upgrade_host.settle(new, options["port"], note, path)


def prove(new: host.Cluster, options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Look at the cluster that serves."""
    note = upgrade_host.noted(path)
    if check_mode or note.get("stage") not in (upgrade.SERVING, upgrade.PROVEN):
        return False, note
    problems = upgrade_host.health(new, options["port"])
    if problems:
        raise model.ClusterError(f"{new.version} serves, but: {'; '.join(problems)}. To go back: upgrade_rollback=true")
    if note["stage"] == upgrade.SERVING:
        return True, upgrade_host.note(path, {**note, "stage": upgrade.PROVEN})
    return False, note


def roll_back(new: host.Cluster, options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Let the old cluster serve again."""
    note = upgrade_host.noted(path)
    stage = note.get("stage")
    if not stage:
        found = host.find(new)
        if "standby" in (found.data, *(host.find(old_of(new, {"from": version})).data for version in found.others)):
            return False, {}
        raise model.ClusterError("there is no upgrade to go back from: none was begun, or the old cluster was removed")
    if stage == upgrade.BACK or check_mode:
        return stage != upgrade.BACK, note
    new = dataclasses.replace(new, version=note["to"])
    old = old_of(new, note)
    if stage in (upgrade.PREPARED, upgrade.UPGRADING):
        upgrade_host.put_back(old, new, path)
        return True, {**note, "stage": upgrade.BACK, "lost": ""}
    if stage != upgrade.GOING_BACK:
        gained = upgrade_host.gained(new, options["port"], note)
        words = upgrade_host.loss(note, gained)
        if words and not options["accept_loss"]:
            raise model.ClusterError(
                f"nothing was changed. Going back to {old.version} loses this: {words}. Say that it may, with "
                f"upgrade_accept_loss=true; {new.data} is kept, for whoever wants to fetch it from there"
            )
        note = {**note, "gained": gained}
    return True, upgrade_host.go_back(old, new, options["port"], note, options["accept_loss"], path)


def remove(new: host.Cluster, _options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Remove the cluster that serves no more."""
    note = upgrade_host.noted(path)
    if not note:
        return False, {}
    new = dataclasses.replace(new, version=note["to"])
    old = old_of(new, note)
    unwanted = {upgrade.PROVEN: old, upgrade.BACK: new}.get(note["stage"])
    if unwanted is None:
        raise model.ClusterError(
            f"the upgrade is {note['stage']}: finish it, or roll it back, before something is removed"
        )
    if not check_mode:
        upgrade_host.drop(unwanted)
        upgrade_host.forget(path)
    return True, {**note, "stage": "", "from": unwanted.version}


def retire(new: host.Cluster, _options: Options, path: str, check_mode: bool) -> tuple[bool, Note]:
    """Fence the old cluster of a standby."""
    note = upgrade_host.noted(path)
    found = host.find(new)
    if note.get("stage") == upgrade.BACK:
        raise model.ClusterError("it was rolled back: remove what is left with upgrade_clean=true, then begin again")
    if not note and not found.others:
        return False, {}
    if not note:
        old = old_of(new, {"from": found.others[0]})
        if host.find(old).data != "standby":
            raise model.ClusterError(f"the cluster of {old.version} is no standby")
        note = {"from": old.version, "to": new.version, "stage": upgrade.PROVEN, "standby": True}
    changed = note["from"] in found.others
    if changed and not check_mode:
        upgrade_host.note(path, note)
        host.fence(old_of(new, note), f"its primary was upgraded to {new.version}")
    return changed, note


STEPS = {
    "checked": check,
    "compatible": check,
    "upgraded": run,
    "proven": prove,
    "rolled_back": roll_back,
    "removed": remove,
    "retired": retire,
}


def report(note: Note) -> dict[str, t.Any]:
    """Return what of a note is worth telling."""
    told: dict[str, t.Any] = {key: note[key] for key in ("way", "extensions", "seconds") if key in note}
    return {**told, "rows": upgrade.rows(note["before"])} if note.get("before") else told


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params

    def call(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> tuple[int, str, str]:
        status, out, err = module.run_command(list(argv), environ_update=dict(environment), cwd="/")
        return status, out, err

    new = host.Cluster(options["version"], options["name"], call)
    try:
        # Check mode changes nothing, and a lock is a file.
        with contextlib.nullcontext() if module.check_mode else host.locked(new):
            changed, note = STEPS[options["state"]](new, options, new.root + upgrade_host.NOTE, module.check_mode)
    except model.ClusterError as error:
        module.fail_json(msg=f"upgrade to {options['version']}/{options['name']}: {error}")
    module.exit_json(
        changed=changed,
        stage=note.get("stage", ""),
        from_version=note.get("from", ""),
        lost=note.get("lost", ""),
        report=report(note),
    )


if __name__ == "__main__":
    main()
