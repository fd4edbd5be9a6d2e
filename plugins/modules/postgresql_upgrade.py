#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_upgrade
short_description: Upgrade a PostgreSQL cluster to another major version, with rollback
version_added: 0.1.0
description:
  - The steps of C(playbooks/upgrade_postgresql.yml) on one host. pg_upgrade copies the old cluster into a new one, or
    shares blocks with it where the file system can. It only reads the old cluster, which is kept for a rollback.
  - The progress is written to C(/var/lib/vise/postgresql-upgrade.json). If a run was killed before the switch, the next
    run rolls it back; if it was killed later, the next run completes it.
  - While one of the two clusters is in service, the other one is fenced, across reboots.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description:
      - V(checked) finds the old cluster and reports everything that would make the upgrade fail. It changes nothing,
        but it rolls back a killed run. V(compatible) also runs C(pg_upgrade --check) on the running old cluster; it
        needs the packages of the new version.
      - A database that an interrupted C(DROP DATABASE) has left is not upgraded. V(checked) names it in a warning, and
        V(compatible) completes the C(DROP DATABASE).
      - V(upgraded) stops the old cluster, creates the new one from it, compares their content, and starts the new one.
        It needs the empty cluster that the role postgresql creates with C(postgresql_upgrade_from).
      - V(proven) checks the running new cluster and reports the duration of the upgrade.
      - V(rolled_back) puts the old cluster back into service. V(removed) removes the cluster that is out of service.
      - V(retired) is for the host of a standby; it fences the old cluster, so that the standby can be rebuilt.
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
    description: Port of the old cluster, and of the new one after the switch.
    type: int
    default: 5432
  count_rows:
    description:
      - Whether all rows are counted before and after pg_upgrade, while the database is down. If not, only the checks of
        pg_upgrade itself detect missing data.
    type: bool
    default: true
  accept_loss:
    description: Whether V(state=rolled_back) may discard the writes since the switch.
    type: bool
    default: false
attributes:
  check_mode:
    description:
      - Reports the refusals of the checks, and runs C(pg_upgrade --check) when the new version is installed. Later
        steps do nothing.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
"""

EXAMPLES = r"""
- name: Check whether an upgrade is possible
  vise.platform.postgresql_upgrade:
    state: compatible
    version: "17"

- name: Roll back and discard the writes since the switch
  vise.platform.postgresql_upgrade:
    state: rolled_back
    version: "17"
    accept_loss: true
"""

RETURN = r"""
stage:
  description:
    - Progress of the upgrade; C(prepared), C(switched), C(serving), C(proven), C(rolled_back), or empty without one.
  returned: always
  type: str
  sample: proven
from_version:
  description: The old version; empty when there is nothing to upgrade.
  returned: always
  type: str
  sample: "15"
report:
  description:
    - Duration in seconds by step, number of rows, updated extensions, and pg_upgrade's method; in check mode, C(check)
      with the result of C(pg_upgrade --check).
  returned: when O(state=compatible), O(state=upgraded) or O(state=proven)
  type: dict
  sample:
    method: --copy
    rows: 41200
    extensions: ["edu: pg_trgm"]
    seconds: {stop and count: 1.9, pg_upgrade: 6.1, recount: 1.6, downtime: 10.2, statistics: 2.0}
lost:
  description:
    - Description of the writes that the rollback discarded; empty when there was no transaction since the switch.
      Transactions are counted after the new cluster has stopped, and some of them are its own maintenance; the number
      of rows comes from its statistics.
  returned: when O(state=rolled_back)
  type: str
  sample: ""
"""

import contextlib
import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.host.journal import Journal
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
STANDBY_WAIT_SECONDS = 30
Note = dict[str, t.Any]


def read_or_start_note(new: host.Cluster, journal: Journal, check_mode: bool) -> Note:
    """Return the note of the current or a new upgrade, empty for none; roll back a run killed before the switch."""
    note = journal.read()
    if note.get("stage") in (upgrade.ROLLING_BACK, upgrade.ROLLED_BACK):
        raise model.ClusterError(
            f"an earlier upgrade was rolled back, and {new.data} contains the writes of that time: complete the "
            "rollback with upgrade_rollback=true, or remove these data with upgrade_clean=true, then start again"
        )
    if note.get("stage") == upgrade.UPGRADING and not check_mode:
        upgrade_host.abort_upgrade(get_old_cluster(new, note), new, journal)
        note = {}
    if note:
        return note
    current = host.inspect(new)
    if not current.others:
        return {}
    if current.data != "none":
        raise model.ClusterError(
            f"this host has data of {new.version} and of {current.others[0]}, but {journal.path} contains no upgrade: "
            "find out which cluster is current"
        )
    if len(current.others) > 1:
        raise model.ClusterError(f"this host has data of {', '.join(current.others)}: remove the unused versions")
    return {"from": current.others[0], "to": new.version}


def get_old_cluster(new: host.Cluster, note: Note) -> host.Cluster:
    """Return the old cluster."""
    return dataclasses.replace(new, version=note["from"])


def check(new: host.Cluster, options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Raise ClusterError with every reason why the upgrade must not start."""
    # After the rollback of a killed run, the standbys need some seconds to reconnect.
    tries = STANDBY_WAIT_SECONDS if journal.read().get("stage") == upgrade.UPGRADING else 1
    note = read_or_start_note(new, journal, check_mode)
    if not note or note.get("stage") in upgrade.SWITCHED_STAGES:
        return False, note
    old = get_old_cluster(new, note)
    reasons: list[str] = []
    for attempt in range(tries):
        time.sleep(min(attempt, 1))
        reasons = upgrade.find_refusals(
            upgrade_host.collect_facts(old, options["port"], new.version), old.version, new.version
        )
        if not reasons:
            break
    if reasons:
        raise model.ClusterError(f"nothing was changed, {old.version} still runs: {'; '.join(reasons)}")
    invalid = upgrade_host.list_invalid_databases(old, options["port"])
    if options["state"] == "checked":
        if not check_mode:
            host.disable_default_cluster(new.root)
        return check_mode, {**note, "warnings": [describe_invalid(name, check_mode) for name in invalid]}
    if check_mode:
        return True, {**note, "check": check_plan(old, new, options["port"], invalid)}
    # pg_upgrade refuses them; nothing else can be done with such a database.
    upgrade_host.drop_databases(old, options["port"], invalid)
    run_check(old, new, options["port"])
    return False, journal.write({**note, "stage": upgrade.PREPARED})


def describe_invalid(name: str, check_mode: bool) -> str:
    """Describe a database that is not upgraded."""
    return (
        f"database {name} was left by an interrupted DROP DATABASE, and no session can connect to it: it is not "
        f"upgraded, and its DROP DATABASE {'would be' if check_mode else 'is'} completed"
    )


def check_plan(old: host.Cluster, new: host.Cluster, port: int, invalid: t.Sequence[str]) -> str:
    """Run pg_upgrade's own check in check mode, where it is possible; return its result. Raise ClusterError."""
    if not host.is_installed(new):
        return f"not run, because PostgreSQL {new.version} is not installed yet"
    if invalid:
        return f"not run, because it refuses the database {invalid[0]} until that is dropped"
    run_check(old, new, port)
    return "passed"


def run_check(old: host.Cluster, new: host.Cluster, port: int) -> None:
    """Run pg_upgrade --check on the running old cluster."""
    try:
        upgrade_host.check_compatibility(old, new, port)
    except model.ClusterError as error:
        raise model.ClusterError(f"nothing was changed, {old.version} still runs: {error}") from error


def upgrade_cluster(new: host.Cluster, options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Create the new cluster from the old one and put it into service."""
    note = journal.read()
    if note.get("stage") in (upgrade.SERVING, upgrade.PROVEN):
        return False, note
    if check_mode:
        return True, note
    if note.get("stage") not in (upgrade.PREPARED, upgrade.SWITCHED):
        raise model.ClusterError("the upgrade was not checked: run upgrade_postgresql.yml")
    old = get_old_cluster(new, note)
    if note["stage"] == upgrade.PREPARED:
        try:
            note = upgrade_host.convert_data(old, new, options["port"], options["count_rows"], note, journal)
        except (model.ClusterError, OSError) as error:
            upgrade_host.abort_upgrade(old, new, journal)
            raise model.ClusterError(f"rolled back, {old.version} runs again with all its data: {error}") from error
    note = upgrade_host.start_new_cluster(old, new, note, journal)
    return True, upgrade_host.finish_upgrade(new, options["port"], note, journal)


def prove(new: host.Cluster, options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Check the running new cluster."""
    if check_mode:
        note = read_or_start_note(new, journal, check_mode)
        return bool(note) and note.get("stage") != upgrade.PROVEN, note
    note = journal.read()
    if note.get("stage") not in (upgrade.SERVING, upgrade.PROVEN):
        return False, note
    problems = upgrade_host.find_health_problems(new, options["port"])
    if problems:
        raise model.ClusterError(f"{new.version} runs, but: {'; '.join(problems)}. To roll back: upgrade_rollback=true")
    if note["stage"] == upgrade.SERVING:
        return True, journal.write({**note, "stage": upgrade.PROVEN})
    return False, note


def roll_back(new: host.Cluster, options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Put the old cluster back into service."""
    note = journal.read()
    stage = note.get("stage")
    if not stage:
        current = host.inspect(new)
        if "standby" in (
            current.data,
            *(host.inspect(get_old_cluster(new, {"from": version})).data for version in current.others),
        ):
            return False, {}
        raise model.ClusterError("there is no upgrade to roll back: none was started, or the old cluster was removed")
    if stage == upgrade.ROLLED_BACK or check_mode:
        return stage != upgrade.ROLLED_BACK, note
    new = dataclasses.replace(new, version=note["to"])
    old = get_old_cluster(new, note)
    if stage in (upgrade.PREPARED, upgrade.UPGRADING):
        upgrade_host.abort_upgrade(old, new, journal)
        return True, {**note, "stage": upgrade.ROLLED_BACK, "lost": ""}
    if stage != upgrade.ROLLING_BACK:
        writes = upgrade_host.count_new_writes(new, options["port"], note)
        loss = upgrade_host.describe_loss(note, writes)
        if loss and not options["accept_loss"]:
            raise model.ClusterError(
                f"nothing was changed. A rollback to {old.version} loses this: {loss}. To accept the loss, add "
                f"upgrade_accept_loss=true; {new.data} is kept, so that you can extract the lost rows from it"
            )
        note = {**note, "writes": writes}
    return True, upgrade_host.roll_back(old, new, options["port"], note, options["accept_loss"], journal)


def remove(new: host.Cluster, _options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Remove the cluster that is out of service."""
    note = journal.read()
    if not note:
        return False, {}
    new = dataclasses.replace(new, version=note["to"])
    old = get_old_cluster(new, note)
    unwanted = {upgrade.PROVEN: old, upgrade.ROLLED_BACK: new}.get(note["stage"])
    if unwanted is None:
        raise model.ClusterError(
            f"the upgrade is {note['stage']}: complete it or roll it back before you remove a cluster"
        )
    if not check_mode:
        upgrade_host.remove_cluster(unwanted, new if unwanted is old else old)
        journal.remove()
    return True, {**note, "stage": "", "from": unwanted.version}


def retire(new: host.Cluster, _options: Options, journal: Journal, check_mode: bool) -> tuple[bool, Note]:
    """Fence the old cluster of a standby."""
    note = journal.read()
    current = host.inspect(new)
    if note.get("stage") == upgrade.ROLLED_BACK:
        raise model.ClusterError("an earlier upgrade was rolled back: remove its data with upgrade_clean=true")
    if not note and not current.others:
        return False, {}
    if not note:
        old = get_old_cluster(new, {"from": current.others[0]})
        if host.inspect(old).data != "standby":
            raise model.ClusterError(f"the cluster of {old.version} is not a standby")
        note = {"from": old.version, "to": new.version, "stage": upgrade.PROVEN, "standby": True}
    changed = note["from"] in current.others
    if changed and not check_mode:
        journal.write(note)
        host.fence(get_old_cluster(new, note), f"its primary was upgraded to {new.version}")
    return changed, note


FUNCTIONS = {
    "checked": check,
    "compatible": check,
    "upgraded": upgrade_cluster,
    "proven": prove,
    "rolled_back": roll_back,
    "removed": remove,
    "retired": retire,
}


def report(note: Note) -> dict[str, t.Any]:
    """Return the part of a note that is reported to the operator."""
    content: dict[str, t.Any] = {key: note[key] for key in ("method", "extensions", "seconds", "check") if key in note}
    return {**content, "rows": upgrade.count_rows(note["before"])} if note.get("before") else content


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    options = module.params

    new = host.Cluster(options["version"], options["name"], host.run_program)
    journal = Journal(new.root + upgrade_host.NOTE)
    try:
        # No lock in check mode, because the lock is a file and check mode creates none.
        with contextlib.nullcontext() if module.check_mode else host.lock(new):
            changed, note = FUNCTIONS[options["state"]](new, options, journal, module.check_mode)
    except model.ClusterError as error:
        module.fail_json(msg=f"upgrade to {options['version']}/{options['name']}: {error}")
    for warning in note.get("warnings", ()):
        module.warn(warning)
    module.exit_json(
        changed=changed,
        stage=note.get("stage", ""),
        from_version=note.get("from", ""),
        lost=note.get("lost", ""),
        report=report(note),
    )


if __name__ == "__main__":
    main()
