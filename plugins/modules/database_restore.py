#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: Restore a PostgreSQL cluster from pgBackRest, as a transaction
version_added: 0.1.0
description:
  - Restores a set to a staging directory next to the existing cluster and recovers it there to the target. Only a copy
    that has reached the target and answers replaces the old cluster, whose directory is renamed and kept.
  - If a set or its WAL is damaged, the module tries the next set, from the other repository first, then the full backup
    of the same chain and the chain before it. If none of them leads to the target, the existing cluster is not changed,
    and the message names the sets that remain.
  - When the disk becomes full, the module removes what it has restored and does not change the existing cluster.
  - The next run rolls back a killed run, or completes it if the promotion had started.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  target:
    description:
      - Where recovery ends; V(latest) is the end of the archive, V(immediate) is the end of the backup.
    type: str
    choices: [latest, time, lsn, name, immediate]
    default: latest
  value:
    description:
      - With O(target=time) a time with its UTC offset, with V(lsn) an LSN, with V(name) the name of a restore point.
    type: str
    default: ""
  stanza:
    description: pgBackRest's stanza.
    type: str
    default: main
  config:
    description: pgBackRest's configuration file; for a yearly backup C(/etc/pgbackrest/yearly-<number>.conf).
    type: path
    default: /etc/pgbackrest/pgbackrest.conf
  cluster:
    description: Version and name of Debian's cluster.
    type: str
    default: 17/main
  port:
    description: The cluster's port.
    type: int
    default: 5432
  set:
    description: Label of the set to restore; the default is the newest set that leads to the target.
    type: str
    default: ""
  repository:
    description: Number of the repository to restore from; 0 means any repository.
    type: int
    default: 0
  timeline:
    description:
      - Number of the timeline to follow; V(latest), the default, is the newest timeline, V(current) each set's own.
      - A restore to an earlier point starts a new timeline. Sets of the old timeline lead to the new one only if they
        ended before that point. To restore later commits of the old timeline, give its number.
      - Not allowed with O(target=immediate).
    type: str
    default: ""
  mode:
    description:
      - V(copy) keeps the old cluster in a renamed directory. V(delta) verifies the set and then overwrites the files of
        the old cluster, for disks without space for two copies; it keeps no copy.
    type: str
    choices: [copy, delta]
    default: copy
  replace_live:
    description: Whether a running cluster may be replaced.
    type: bool
    default: false
  older:
    description:
      - Whether an older set may be restored when the newest one is damaged and O(target=immediate). Commits between the
        ends of the two sets are then lost. With the other targets an older set leads to the same state by more WAL and
        needs no permission.
    type: bool
    default: false
  archive:
    description: Whether the restored cluster archives its WAL; set V(false) for a copy whose original is in service.
    type: bool
    default: true
attributes:
  check_mode:
    description: Queries the repositories, validates the request and reports the steps; changes nothing.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
"""

EXAMPLES = r"""
- name: Restore the state one second before a mistake
  vise.platform.database_restore:
    target: time
    value: "2026-03-01 12:30:00+00:00"
    replace_live: true

- name: Restore all archived data on a new host
  vise.platform.database_restore:

- name: Restore a yearly backup as a separate copy
  vise.platform.database_restore:
    target: immediate
    config: /etc/pgbackrest/yearly-1.conf
    archive: false
"""

RETURN = r"""
steps:
  description: The steps of this run; in check mode, the steps that a run would take.
  returned: unless a killed run was completed
  type: list
  elements: str
  sample: [restore set 20260301-013000F of repository 1 to /var/lib/postgresql/17/main.restoring, promote]
live:
  description: Whether the restore was refused because a cluster runs and O(replace_live=false).
  returned: when this is the cause of the failure
  type: bool
  sample: true
report:
  description:
    - Set, loss, timeline and archiving of the restored cluster, and the attempts before.
    - C(raised) contains the settings that were raised for the recovery, because the server that wrote the WAL had
      higher ones; after the promotion they are as before.
  returned: unless in check mode
  type: dict
  sample:
    repository: 2
    set: 20260301-013000F
    attempts: [{repository: 1, set: 20260301-013000F, outcome: error restoring a file}]
    lost: No commit was replayed; commits after the target are not restored, as requested.
    old_data: /var/lib/postgresql/17/main.before-20260301T124500Z
    old_tablespaces: [/srv/ts/before-20260301T124500Z]
    raised: {}
    timeline: 2
    archiving: proven in each repository
    skipped: ["Set 20260308-013000F of repository 1 was not used: error restoring a file"]
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import restore, targets

ARGUMENT_SPEC: dict[str, t.Any] = {
    "target": {"type": "str", "choices": list(targets.KINDS), "default": "latest"},
    "value": {"type": "str", "default": ""},
    "stanza": {"type": "str", "default": "main"},
    "config": {"type": "path", "default": "/etc/pgbackrest/pgbackrest.conf"},
    "cluster": {"type": "str", "default": "17/main"},
    "port": {"type": "int", "default": 5432},
    "set": {"type": "str", "default": ""},
    "repository": {"type": "int", "default": 0},
    "timeline": {"type": "str", "default": ""},
    "mode": {"type": "str", "choices": ["copy", "delta"], "default": "copy"},
    "replace_live": {"type": "bool", "default": False},
    "older": {"type": "bool", "default": False},
    "archive": {"type": "bool", "default": True},
}


def build_request(options: t.Mapping[str, t.Any], now: float) -> restore.Request:
    """Return the requested restore; raise RestoreError when an option is invalid. `now` is in seconds since 1970."""
    return restore.Request(
        targets.parse_target(options["target"], options["value"], now),
        stanza=options["stanza"],
        config=options["config"],
        cluster=options["cluster"],
        port=options["port"],
        label=options["set"],
        repository=options["repository"],
        timeline=targets.parse_timeline(options["timeline"], options["target"]),
        delta=options["mode"] == "delta",
        replace_live=options["replace_live"],
        older=options["older"],
        archive=options["archive"],
    )


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    result: dict[str, t.Any] = {"changed": True}
    try:
        request = build_request(module.params, time.time())
        if module.check_mode:
            # After a killed run, only its first step is known; the plan depends on the result of that step.
            result["steps"] = list(restore.list_first_steps(request) or restore.plan_restore(request).steps)
        else:
            result["report"] = restore.restore(request)
            result["steps"] = result["report"].pop("steps", [])
    except restore.LiveClusterError as error:
        module.fail_json(msg=str(error), live=True)
    except (targets.RestoreError, restore.UnusableSetError, OSError) as error:
        module.fail_json(msg=str(error))
    if module._diff:
        result["diff"] = {"prepared": "".join(f"> {step}\n" for step in result["steps"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
