#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: Restore a PostgreSQL cluster from pgBackRest, as a transaction
version_added: 0.1.0
description:
  - Restores a set beside the cluster in place and lets it recover to the target there. Only a copy that has reached the
    target and answers takes the place of the old cluster, which is kept aside.
  - A set that is damaged, or whose WAL is, gives way to the next, from the other repository first. When none leads to
    the target, the cluster in place was not touched.
  - A run that was killed anywhere is put back by the next one, or finished when the promotion had begun.
author:
  - vise.platform contributors (@vise-platform)
options:
  target:
    description:
      - Where recovery ends; V(latest) is everything that was archived, V(immediate) the end of the backup itself.
    type: str
    choices: [latest, time, lsn, name, immediate]
    default: latest
  value:
    description:
      - Of V(time) a time with its offset from UTC, of V(lsn) a position in the WAL, of V(name) a restore point.
    type: str
    default: ""
  stanza:
    description: The stanza.
    type: str
    default: main
  config:
    description: pgBackRest's configuration; one of C(/etc/pgbackrest/yearly-<number>.conf) for a backup kept for good.
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
    description: The set to restore; the default is the newest that leads to the target.
    type: str
    default: ""
  repository:
    description: The number of the repository to restore from; 0 is any.
    type: int
    default: 0
  timeline:
    description:
      - The timeline to follow, by its number; V(latest), the default, is the newest, V(current) each set's own.
      - A restore that goes back begins a new timeline. Sets of an old one lead to it only when they ended before it was
        left; to what the old one wrote afterwards its own number leads.
      - Not with O(target=immediate).
    type: str
    default: ""
  mode:
    description:
      - V(copy) keeps the old cluster aside. V(delta) restores over its files where there is no room for two, after the
        set was verified; nothing is kept.
    type: str
    choices: [copy, delta]
    default: copy
  replace_live:
    description: Whether a running cluster may be replaced.
    type: bool
    default: false
  archive:
    description: Whether the restored cluster archives its WAL; not for a copy whose original lives.
    type: bool
    default: true
attributes:
  check_mode:
    description: Everything is looked up and checked; nothing changes.
    support: full
  diff_mode:
    description: The steps.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Go back to a second before a mistake
  vise.platform.database_restore:
    target: time
    value: "2026-03-01 12:30:00+00:00"
    replace_live: true

- name: Bring everything that was archived to a new host
  vise.platform.database_restore:

- name: Look into a backup that is kept for good
  vise.platform.database_restore:
    target: immediate
    config: /etc/pgbackrest/yearly-1.conf
    archive: false
"""

RETURN = r"""
steps:
  description: What is done, or in check mode would be.
  returned: unless a killed run was finished
  type: list
  elements: str
  sample: [restore set 20260301-013000F of repository 1 to /var/lib/postgresql/17/main.restoring, promote]
live:
  description: That a cluster runs, and was not to be replaced.
  returned: when it failed by that
  type: bool
  sample: true
report:
  description: What became of it.
  returned: unless in check mode
  type: dict
  sample:
    repository: 2
    set: 20260301-013000F
    attempts: [{repository: 1, set: 20260301-013000F, outcome: error restoring a file}]
    lost: The last commit that is there is of 2026-03-01 12:29:59+00:00, 1 s before the target.
    old_data: /var/lib/postgresql/17/main.before-20260301T124500Z
    timeline: 2
    archiving: proven in each repository
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
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
    "archive": {"type": "bool", "default": True},
}


def wanted(given: t.Mapping[str, t.Any], now: float) -> restore.Wanted:
    """Return what is asked for; raise when it cannot be."""
    return restore.Wanted(
        targets.target(given["target"], given["value"], now),
        stanza=given["stanza"],
        config=given["config"],
        cluster=given["cluster"],
        port=given["port"],
        label=given["set"],
        repository=given["repository"],
        timeline=targets.timeline(given["timeline"], given["target"]),
        delta=given["mode"] == "delta",
        replace_live=given["replace_live"],
        archive=given["archive"],
    )


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    result: dict[str, t.Any] = {"changed": True}
    try:
        asked = wanted(module.params, time.time())
        if module.check_mode:
            # Whether what it leaves could then be replaced, only the run itself can tell.
            result["steps"] = list(restore.pending(asked) or restore.prepare(asked).steps)
        else:
            result["report"] = restore.restore(asked)
            result["steps"] = result["report"].pop("steps", [])
    except restore.Live as error:
        module.fail_json(msg=str(error), live=True)
    except (targets.Impossible, restore.Unusable, OSError) as error:
        module.fail_json(msg=str(error))
    if module._diff:
        result["diff"] = {"prepared": "".join(f"> {step}\n" for step in result["steps"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
