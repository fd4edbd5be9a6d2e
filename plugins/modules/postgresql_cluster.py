#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_cluster
short_description: Make a host hold a PostgreSQL primary or standby, and never a second primary
version_added: 0.1.0
description:
  - Makes Debian's cluster when there is none, with data checksums and a collation that no upgrade of libc changes; a
    standby's by copying the primary through its slot, which it makes where the primary has none.
  - What a host holds must agree with what it is described as. Where it does not, the module says so and touches
    nothing - a standby that is described as primary, a fenced host, a primary's data where a standby should be.
  - Data are never removed, except a standby's own place with O(rebuild=true), and then only after the new copy is
    complete. What a former primary alone had committed is counted before it goes.
  - The packages are brought by M(ansible.builtin.apt), called from the action plugin. In between the module keeps the
    package from making a cluster of its own.
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description: What the host should hold.
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
    description: Packages that bring the server, installed when it is not there.
    type: list
    elements: str
    default: []
  primary:
    description: Whom a standby follows.
    type: dict
    suboptions:
      host:
        description: Name or address of the primary, as its certificate has it.
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
        description: Slot on the primary that keeps the WAL for this standby.
        type: str
        required: true
      ca_file:
        description: Certificate authority that has signed the primary's certificate.
        type: str
        default: /etc/vise/tls/internal/ca.pem
      restore:
        description:
          - Command that fills an empty directory, C({data}), with a copy from a backup, as a standby's. Without one,
            when it fails, or when it brings what the primary went back behind, the primary is copied by
            C(pg_basebackup).
        type: list
        elements: str
        default: []
      backups:
        description:
          - Command that lists the backups as C(pgbackrest info --output=json) does; goes with O(primary.restore).
          - A backup that had not ended where the primary left its timeline never becomes consistent, and is not taken.
        type: list
        elements: str
        default: []
  rebuild:
    description: Whether a standby replaces what lies in its data directory, a former primary's data too.
    type: bool
    default: false
  beside:
    description: Version whose cluster may hold data on this host as well, since this one is about to take them over.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says what would be made, or why it is refused.
    support: full
  diff_mode:
    description: The actions.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Hold a primary
  vise.platform.postgresql_cluster:
    version: "17"
    packages: [postgresql-17]

- name: Hold a standby of it
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
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [rewind to the primary, "give up 3 transactions that this host alone has committed, after 0/3000148"]
needs:
  description: Packages that have to be installed first; the action plugin answers it, so no task's result has it.
  returned: when the server is not installed
  type: list
  elements: str
  sample: [postgresql-17]
resources:
  description: What the server's settings can be derived from - memory and disk in MB, and cores.
  returned: always
  type: dict
  sample: {memory_mb: 7941, cores: 4, disk_mb: 76000}
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster as model
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host

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
    "beside": {"type": "str", "default": ""},
}


def plan(cluster: host.Cluster, found: model.Found, options: dict[str, t.Any]) -> list[str]:
    """Return what is to do; asks the primary only where there is a client to ask with."""
    if options["state"] == "primary":
        return model.plan_primary(found, options["beside"])
    upstream, why = host.ask(cluster, options["primary"]) if found.installed else (model.Upstream("unknown"), "")
    try:
        return model.plan_standby(found, upstream, options["rebuild"])
    except model.ClusterError as error:
        raise model.ClusterError(f"{error}. {why}".strip(" .")) from error


def apply(cluster: host.Cluster, found: model.Found, steps: list[str], options: dict[str, t.Any]) -> None:
    """Do what was planned."""
    if "create the cluster" in steps:
        host.create(cluster)
    if {"rewind to the primary", "copy the primary"} & set(steps):
        follow(cluster, found, steps, options["primary"])
    if "configure the cluster" in steps:
        host.configure(cluster)
    if "remove the fence" in steps:
        host.unfence(cluster)


def follow(cluster: host.Cluster, found: model.Found, steps: list[str], primary: dict[str, t.Any]) -> None:
    """Bring a standby's data, and say what went otherwise than planned and what is lost by it."""
    system, past = host.ask(cluster, primary)[0].system, host.history(cluster, primary)
    host.keep_slot(cluster, primary)
    if found.data == "primary" and found.system == system and not found.rewinding:
        host.stop(cluster)
        lost = host.given_up(cluster, past)
        steps += [lost] if lost else []
    if "rewind to the primary" in steps:
        try:
            host.rewind(cluster, primary)
        except model.ClusterError as error:
            steps[steps.index("rewind to the primary")] = f"give up rewinding: {error}"
            steps.append("copy the primary")
    if "copy the primary" in steps:
        why = host.copy(cluster, primary, system, past)
        steps += [f"copy the primary itself, since there is no backup to take: {why}"] if why else []


def converge(cluster: host.Cluster, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Return the result of this execution."""
    found = host.find(cluster)
    steps = plan(cluster, found, options)
    answer: dict[str, t.Any] = {"resources": host.resources(cluster)}
    if not found.installed:
        steps = [f"install {name}" for name in options["packages"]] + steps
        if not check_mode:
            host.before_packages(cluster.root)
            answer["needs"] = options["packages"]
    elif not check_mode:
        apply(cluster, found, steps, options)
    return {**answer, "changed": bool(steps), "actions": steps}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, required_if=[("state", "standby", ["primary"])], supports_check_mode=True)
    options = module.params

    def run(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> tuple[int, str, str]:
        status, out, err = module.run_command(list(argv), environ_update=dict(environment))
        return status, out, err

    cluster = host.Cluster(options["version"], options["name"], run)
    try:
        # Check mode changes nothing, and a lock is a file.
        with contextlib.nullcontext() if module.check_mode else host.locked(cluster):
            result = converge(cluster, options, module.check_mode)
    except model.ClusterError as error:
        module.fail_json(msg=f"cluster {options['version']}/{options['name']}: {error}")
    if module._diff and result["actions"]:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in result["actions"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
