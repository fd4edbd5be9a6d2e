#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_failover
short_description: Fence a PostgreSQL primary, or promote its standby
version_added: 0.1.0
description:
  - The two steps of a failover. Fencing stops the old primary and prevents the start of its unit, across reboots, by a
    fence file, by Debian's C(start.conf) and by masking the unit. Promoting makes a standby the primary. If no standby
    is promoted, V(unfenced) puts the old primary back into service.
  - The module never promotes while the old primary answers. It also does not promote while the standby lacks WAL of
    the fenced primary; it waits ten seconds for WAL that is still in transit.
  - It does not remove a fence while another host runs as primary of the cluster. If a host does not answer, the
    operator must know whether it was promoted.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description: Desired state of the cluster on this host.
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
    description: Port of the server on this host; it is queried over its socket.
    type: int
    default: 5432
  reason:
    description: Reason that is written to the fence file, for operators.
    type: str
    default: another host was promoted
  fenced_at:
    description: LSN at which the old primary was fenced; RV(position) of the task on that host.
    type: str
    default: ""
  gone:
    description: Whether the operator confirms that the old primary is gone and will not be started again.
    type: bool
    default: false
  accept_lost_bytes:
    description: Number of bytes of the fenced primary's WAL that the standby may lack.
    type: int
    default: 0
attributes:
  check_mode:
    description: Reports the actions, or why they are refused; with O(fenced_at) the old primary counts as fenced.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
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

- name: Put the old primary back into service, because no standby was promoted
  vise.platform.postgresql_failover:
    state: unfenced
"""

RETURN = r"""
actions:
  description: The actions of this run; in check mode, the actions that a run would take.
  returned: always
  type: list
  elements: str
  sample: [promote the standby]
position:
  description: LSN at which the WAL of the fenced primary ends.
  returned: when O(state=fenced)
  type: str
  sample: 0/5000028
lost_bytes:
  description: Bytes of WAL that the old primary had and the standby lacks; empty when this is unknown.
  returned: when O(state=promoted) and it was not the primary already
  type: int
  sample: 0
lost_seconds:
  description: Seconds since the last commit that the standby has replayed; the upper limit of the lost time.
  returned: when O(state=promoted) and it was not the primary already
  type: int
  sample: 12
"""

import socket
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster as model
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host

# The role's program, which queries the other hosts whether one of them is the primary.
GUARD = "/usr/local/sbin/vise-postgresql-{version}"
WAL_WAIT_SECONDS = 10  # for WAL that is still in transit to the standby
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
    """Fence the primary on this host; return the module's result."""
    current = host.inspect(cluster)
    if current.data == "standby":
        raise model.ClusterError("this host has a standby, which needs no fence")
    steps = [] if current.fence else ["fence the primary"]
    if not check_mode:
        # Also when the fence file exists: a killed run may have written the file and not masked the unit.
        host.fence(cluster, current.fence or options["reason"])
    return {"changed": bool(steps), "actions": steps, "position": host.find_end_of_wal(cluster)}


def unfence(cluster: host.Cluster, check_mode: bool) -> dict[str, t.Any]:
    """Put the primary of this host back into service; return the module's result."""
    current = host.inspect(cluster)
    inactive, _out, _err = cluster.run(["systemctl", "is-active", "--quiet", cluster.unit], {})
    steps = model.plan_unfence(current, not inactive)
    if current.fence:
        # The unit runs this check, too, when it starts; but here nothing has changed yet.
        cluster.call([GUARD.format(version=cluster.version), "guard"])
    if not check_mode:
        if "remove the fence" in steps:
            host.unfence(cluster)
        if "start the primary" in steps:
            cluster.call(["systemctl", "start", cluster.unit])
    return {"changed": bool(steps), "actions": steps}


def wait_for_wal(cluster: host.Cluster, options: dict[str, t.Any]) -> model.Standby | None:
    """Wait until the standby has the required WAL, or until the time is over; return its state, None for a primary."""
    for attempt in range(WAL_WAIT_SECONDS):
        time.sleep(min(attempt, 1))
        standby = host.read_standby(cluster, options["port"])
        if not standby:
            break
        missing = model.count_missing_bytes(options["fenced_at"], standby.received) or 0
        if missing <= options["accept_lost_bytes"]:
            break
    return standby


def promote(
    cluster: host.Cluster,
    options: dict[str, t.Any],
    check_mode: bool,
    accepts_connections: t.Callable[[str, int], bool],
) -> dict[str, t.Any]:
    """Promote this host's standby; return the module's result."""
    standby = wait_for_wal(cluster, options)
    if standby is None:
        return {"changed": False, "actions": []}
    lost = model.count_missing_bytes(options["fenced_at"], standby.received)
    # In check mode the old primary is not fenced yet, and its reported position counts as a fence.
    answering = not (check_mode and options["fenced_at"]) and accepts_connections(standby.host, standby.port)
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
            # The request was sent, and the server may still promote itself.
            raise model.ClusterError(f"{error}. Stop it before you unfence the old primary") from error
    seconds = 0 if lost == 0 else standby.seconds
    return {"changed": True, "actions": ["promote the standby"], "lost_bytes": lost, "lost_seconds": seconds}


def accepts_connections(address: str, port: int) -> bool:
    """Return whether a TCP connection is accepted; this includes a server that is still starting."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    options = module.params

    cluster = host.Cluster(options["version"], options["name"], host.run_program)
    try:
        if options["state"] == "fenced":
            result = fence(cluster, options, module.check_mode)
        elif options["state"] == "unfenced":
            result = unfence(cluster, module.check_mode)
        else:
            result = promote(cluster, options, module.check_mode, accepts_connections)
    except model.ClusterError as error:
        module.fail_json(msg=f"cluster {options['version']}/{options['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
