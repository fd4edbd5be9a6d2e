#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_cluster
short_description: Create a PostgreSQL primary or standby on a host, but never a second primary
version_added: 0.1.0
description:
  - Creates Debian's cluster if it does not exist, with data checksums and with a collation that does not change when
    libc is upgraded. A standby is a copy of the primary, made through a replication slot; the module creates the slot
    if the primary does not have it.
  - The state of the host must agree with its description. If it does not, the module fails and changes nothing. Such
    cases are a standby that is described as the primary, a fenced host, or a primary's data on a described standby.
  - The module never removes data, except the data directory of a standby with O(rebuild=true), and only after the new
    copy is complete. It first counts the transactions that only a former primary has committed.
  - The action plugin installs the packages by M(ansible.builtin.apt). Before that, the module prevents the package from
    creating a cluster.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description: Role of the cluster on this host.
    type: str
    choices: [primary, standby]
    default: primary
  version:
    description: PostgreSQL's major version.
    type: str
    required: true
  name:
    description: Debian's name of the cluster.
    type: str
    default: main
  packages:
    description: Packages of the server, installed when the server is missing.
    type: list
    elements: str
    default: []
  primary:
    description: The primary that a standby replicates; required with O(state=standby).
    type: dict
    suboptions:
      host:
        description: Name or address of the primary, as in its certificate.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 5432
      user:
        description: User with the right to replicate.
        type: str
        required: true
      password:
        description: The user's password.
        type: str
        required: true
      slot:
        description: Replication slot on the primary that retains WAL for this standby.
        type: str
        required: true
      ca_file:
        description: Certificate authority that signed the primary's certificate.
        type: str
        default: /etc/vise/tls/internal/ca.pem
      restore:
        description:
          - Command that restores a backup as a standby to an empty directory, C({data}). The word C({tablespaces}) is
            replaced by one C(--tablespace-map) for each tablespace of the primary. If there is no command, if it
            fails, or if the backup contains WAL that a restore of the primary discarded, C(pg_basebackup) copies the
            primary.
        type: list
        elements: str
        default: []
      backups:
        description:
          - Command that lists the backups in the format of C(pgbackrest info --output=json); required with
            O(primary.restore).
          - A backup is not used if it ended after the LSN at which the primary left the backup's timeline, because it
            would never become consistent.
        type: list
        elements: str
        default: []
  rebuild:
    description: Whether a standby may replace the content of its data directory, including data of a former primary.
    type: bool
    default: false
  upgrade_from:
    description: Major version whose cluster may have data on this host, too, because this cluster takes over its data.
    type: str
    default: ""
  take_over:
    description:
      - Services whose state on this host may be used although it was there before the collection. Without
        V(postgresql), data of a cluster that no component of this collection has configured are refused.
      - The action plugin sets it from the variable C(preflight_take_over).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports the steps, or why they are refused.
    support: full
"""

EXAMPLES = r"""
- name: Create a primary
  vise.platform.postgresql_cluster:
    version: "17"
    packages: [postgresql-17]

- name: Create a standby of it
  vise.platform.postgresql_cluster:
    version: "17"
    packages: [postgresql-17]
    state: standby
    primary:
      host: db-1.internal
      user: replication
      password: "{{ vault_replication_password }}"
      slot: db_2
"""

RETURN = r"""
actions:
  description: The actions of this run, in order; in check mode, the actions that a run would take.
  returned: always
  type: list
  elements: str
  sample: [rewind to the primary, "discard 3 transactions that only this host has committed, after 0/3000148"]
needs:
  description: Packages that must be installed first; consumed by the action plugin, therefore not in a task's result.
  returned: when the server is not installed
  type: list
  elements: str
  sample: [postgresql-17]
resources:
  description: Size of the host, from which the server's settings are derived - memory and disk in MB, and cores.
  returned: always
  type: dict
  sample: {memory_mb: 7941, cores: 4, disk_mb: 76000}
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component import foreign_state
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster as model
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host

SERVICE = "postgresql"
PRIMARY: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "slot": {"type": "str", "required": True},
    "ca_file": {"type": "str", "default": "/etc/vise/tls/internal/ca.pem"},
    "restore": {"type": "list", "elements": "str", "default": []},
    "backups": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["primary", "standby"], "default": "primary"},
    "version": {"type": "str", "required": True},
    "name": {"type": "str", "default": "main"},
    "packages": {"type": "list", "elements": "str", "default": []},
    "primary": {"type": "dict", "options": PRIMARY},
    "rebuild": {"type": "bool", "default": False},
    "upgrade_from": {"type": "str", "default": ""},
    "take_over": {"type": "list", "elements": "str", "default": []},
}


def refuse_foreign_data(cluster: host.Cluster, permitted: t.Container[str]) -> None:
    """Raise ClusterError for data that the host had before the collection, without permission to use them."""
    found = foreign_state.find_foreign_state([SERVICE], [], cluster.root).get(SERVICE)
    if found and SERVICE not in permitted:
        raise model.ClusterError(f"refused, nothing was changed: {foreign_state.describe(SERVICE, found)}")


def plan(cluster: host.Cluster, current: model.HostState, options: dict[str, t.Any]) -> list[str]:
    """Return the steps; query the primary only when its client is installed. Raise ClusterError for a refusal."""
    if options["state"] == "primary":
        return model.plan_primary(current, options["upgrade_from"])
    upstream, reason = (
        host.query_primary(cluster, options["primary"]) if current.installed else (model.Upstream("unknown"), "")
    )
    try:
        return model.plan_standby(current, upstream, options["rebuild"])
    except model.ClusterError as error:
        raise model.ClusterError(f"{error}. {reason}".strip(" .")) from error


def apply(cluster: host.Cluster, current: model.HostState, steps: list[str], options: dict[str, t.Any]) -> None:
    """Run the planned steps."""
    if "create the cluster" in steps:
        host.create(cluster)
    if {"rewind to the primary", "copy the primary"} & set(steps):
        provide_standby_data(cluster, current, steps, options["primary"])
    if "configure the cluster" in steps:
        host.configure(cluster)
    if "remove the fence" in steps:
        host.unfence(cluster)


def provide_standby_data(
    cluster: host.Cluster, current: model.HostState, steps: list[str], primary: dict[str, t.Any]
) -> None:
    """Get a standby's data; add discarded transactions and deviations from the plan to `steps`."""
    system, past = host.query_primary(cluster, primary)[0].system, host.read_history(cluster, primary)
    host.ensure_slot(cluster, primary)
    if current.data == "primary" and current.system == system and not current.rewinding:
        host.stop(cluster)
        lost = host.describe_discarded_transactions(cluster, past)
        steps += [lost] if lost else []
    if "rewind to the primary" in steps:
        try:
            host.rewind(cluster, primary)
        except model.ClusterError as error:
            steps[steps.index("rewind to the primary")] = f"pg_rewind failed: {error}"
            steps.append("copy the primary")
    if "copy the primary" in steps:
        reason = host.copy_primary(cluster, primary, system, past)
        steps += [f"pg_basebackup was used, because no backup was usable: {reason}"] if reason else []


def converge(cluster: host.Cluster, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Plan and apply; return the module's result."""
    refuse_foreign_data(cluster, options["take_over"])
    current = host.inspect(cluster)
    steps = plan(cluster, current, options)
    answer: dict[str, t.Any] = {"resources": host.measure_resources(cluster)}
    if not current.installed:
        steps = [f"install {name}" for name in options["packages"]] + steps
        if not check_mode:
            host.disable_default_cluster(cluster.root)
            answer["needs"] = options["packages"]
    elif not check_mode:
        apply(cluster, current, steps, options)
    return {**answer, "changed": bool(steps), "actions": steps}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, required_if=[("state", "standby", ["primary"])], supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    options = module.params

    cluster = host.Cluster(options["version"], options["name"], host.run_program)
    try:
        # No lock in check mode, because the lock is a file and check mode creates none.
        with contextlib.nullcontext() if module.check_mode else host.lock(cluster):
            result = converge(cluster, options, module.check_mode)
    except model.ClusterError as error:
        module.fail_json(msg=f"cluster {options['version']}/{options['name']}: {error}")
    if module._diff and result["actions"]:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in result["actions"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
