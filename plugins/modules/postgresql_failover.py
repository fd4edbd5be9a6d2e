#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_failover
short_description: Fence a PostgreSQL primary, or promote its standby
version_added: 0.1.0
description:
  - The two halves of a change of primary. Fencing stops the old primary and keeps its unit from starting, across
    reboots, by a marker, by Debian's C(start.conf) and by a mask. Promoting makes a standby the primary. Where that
    does not come about, V(unfenced) lets the old primary serve again.
  - It does not promote while the old primary still answers, whatever it is told, nor while the fenced one has
    committed what the standby does not have; what may still be on its way is waited for, for ten seconds.
  - It takes no fence away while another host runs as primary of the cluster. Whether one that cannot be asked was
    promoted, whoever calls it has to know.
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description: What the host should be.
    type: str
    choices: [fenced, unfenced, promoted]
    required: true
  version:
    description: PostgreSQL's major version.
    type: str
    default: "17"
  name:
    description: Debian's name of the cluster.
    type: str
    default: main
  port:
    description: Port of the server on this host, for its socket.
    type: int
    default: 5432
  reason:
    description: What the marker says, for whoever meets it.
    type: str
    default: another host was promoted
  fenced_at:
    description: Position at which the old primary was fenced, as this module returned it there.
    type: str
    default: ""
  gone:
    description: Whether a person says that the old primary is gone and will not be started again.
    type: bool
    default: false
  accept_lost_bytes:
    description: How many bytes of WAL of the fenced primary the standby may lack.
    type: int
    default: 0
attributes:
  check_mode:
    description: Says what would be done, or why it is refused; a given O(fenced_at) counts as a fence that holds.
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
- name: Fence the old primary
  vise.platform.postgresql_failover:
    state: fenced
    reason: db-2 was promoted
  register: fenced

- name: Promote the standby, on its own host
  vise.platform.postgresql_failover:
    state: promoted
    fenced_at: "{{ fenced.position }}"

- name: Let the old primary serve again, since nobody was promoted
  vise.platform.postgresql_failover:
    state: unfenced
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: [promote the standby]
position:
  description: Where the WAL of a fenced primary ends.
  returned: when O(state=fenced)
  type: str
  sample: 0/5000028
lost_bytes:
  description: Bytes of WAL that the old primary had and the standby lacks; empty when nobody can know.
  returned: when O(state=promoted) and it was not the primary already
  type: int
  sample: 0
lost_seconds:
  description: Seconds since the last commit that the standby has, so the most that can be lost in time.
  returned: when O(state=promoted) and it was not the primary already
  type: int
  sample: 12
"""

import socket
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster as model
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host

# The role's program, which asks the other hosts whether one of them is the primary.
GUARD = "/usr/local/libexec/vise-postgresql-{version}"
# Seconds in which what a standby lacks may come.
PATIENCE = 10
ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["fenced", "unfenced", "promoted"], "required": True},
    "version": {"type": "str", "default": "17"},
    "name": {"type": "str", "default": "main"},
    "port": {"type": "int", "default": 5432},
    "reason": {"type": "str", "default": "another host was promoted"},
    "fenced_at": {"type": "str", "default": ""},
    "gone": {"type": "bool", "default": False},
    "accept_lost_bytes": {"type": "int", "default": 0},
}


def fence(cluster: host.Cluster, options: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Fence this host."""
    found = host.find(cluster)
    if found.data == "standby":
        raise model.ClusterError("this host holds a standby, which needs no fence")
    steps = [] if found.fence else ["fence the primary"]
    if not check_mode:
        # Also when the marker is there: a run that was killed may have left it alone.
        host.fence(cluster, found.fence or options["reason"])
    return {"changed": bool(steps), "actions": steps, "position": host.end_of_wal(cluster)}


def unfence(cluster: host.Cluster, check_mode: bool) -> dict[str, t.Any]:
    """Let the primary of this host serve again."""
    found = host.find(cluster)
    inactive, _out, _err = cluster.run(["systemctl", "is-active", "--quiet", cluster.unit], {})
    steps = model.plan_unfenced(found, not inactive)
    if found.fence:
        # The unit asks the same when it starts; here nothing has changed yet.
        cluster.call([GUARD.format(version=cluster.version), "guard"])
    if not check_mode:
        if "remove the fence" in steps:
            host.unfence(cluster)
        if "start the primary" in steps:
            cluster.call(["systemctl", "start", cluster.unit])
    return {"changed": bool(steps), "actions": steps}


def caught_up(cluster: host.Cluster, options: dict[str, t.Any]) -> model.Standby | None:
    """Return what the standby says of itself, as soon as it has what it must, at the latest when patience ends."""
    for attempt in range(PATIENCE):
        time.sleep(min(attempt, 1))
        standby = host.standby(cluster, options["port"])
        if not standby or (model.lost(options["fenced_at"], standby.received) or 0) <= options["accept_lost_bytes"]:
            break
    return standby


def promote(
    cluster: host.Cluster, options: dict[str, t.Any], check_mode: bool, answers: t.Callable[[str, int], bool]
) -> dict[str, t.Any]:
    """Promote this host's standby."""
    standby = caught_up(cluster, options)
    if standby is None:
        return {"changed": False, "actions": []}
    lost = model.lost(options["fenced_at"], standby.received)
    # In check mode the fence is not there yet, and its position stands for it.
    answering = not (check_mode and options["fenced_at"]) and answers(standby.host, standby.port)
    refusal = model.refusal_to_promote(
        standby,
        answering,
        options["fenced_at"],
        options["gone"],
        lost,
        options["accept_lost_bytes"],
    )
    if refusal:
        raise model.ClusterError(refusal)
    if not check_mode:
        try:
            host.promote(cluster, options["port"])
        except model.ClusterError as error:
            # It has been told to, and may do so yet.
            raise model.ClusterError(f"{error}. Stop it before you let the old primary serve again") from error
    seconds = 0 if lost == 0 else standby.seconds
    return {"changed": True, "actions": ["promote the standby"], "lost_bytes": lost, "lost_seconds": seconds}


def answers(address: str, port: int) -> bool:
    """Tell whether something takes connections there; a server that only says that it is starting does too."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params

    def run(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> tuple[int, str, str]:
        status, out, err = module.run_command(list(argv), environ_update=dict(environment))
        return status, out, err

    cluster = host.Cluster(options["version"], options["name"], run)
    try:
        if options["state"] == "fenced":
            result = fence(cluster, options, module.check_mode)
        elif options["state"] == "unfenced":
            result = unfence(cluster, module.check_mode)
        else:
            result = promote(cluster, options, module.check_mode, answers)
    except model.ClusterError as error:
        module.fail_json(msg=f"cluster {options['version']}/{options['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
