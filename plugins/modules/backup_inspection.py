#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_inspection
short_description: List the newest backup of each set of a host
version_added: 0.1.0
description:
  - Queries the repositories of a host and reports the newest backup of each set of files and of the database. It reads
    only the lists of backups, not their data.
  - The roles M(vise.platform.restic) and M(vise.platform.pgbackrest) write the repositories and credentials to the
    host.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  sets:
    description: Names of the sets of files.
    type: list
    elements: str
    default: []
  database:
    description: Whether the host has the database.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: List the backups
  vise.platform.backup_inspection:
    sets: [configuration, mail]
    database: true
  register: listed
"""

RETURN = r"""
backups:
  description: One entry for each set, and one for the database.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the set and of the host in its snapshots, or C(database).
      type: str
      sample: mail of mail-1
    passed:
      description: Whether a repository has a backup of it.
      type: bool
      sample: true
    detail:
      description: The newest backup, or the reason why there is none.
      type: str
      sample: the newest of 2026-03-01T02:11:18 in first
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs as pgbackrest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import program as pgbackrest_program
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs as restic
from ansible_collections.vise.platform.plugins.module_utils.restic import plan, restoring

Entry = dict[str, t.Any]


def inspect_set(config: plan.Settings, name: str) -> Entry:
    """Return the newest snapshot of a set in any repository."""
    snapshots, failures = restoring.list_snapshots(config, restoring.Request(name))
    candidates, label = plan.list_candidates(snapshots, "latest"), f"{name} of {config.host}"
    if candidates:
        where, newest = candidates[0]
        return {"name": label, "passed": True, "detail": f"the newest of {newest['time'][:19]} in {where}"}
    reasons = [f"{where} has no snapshot of it" for where in snapshots]
    return {"name": label, "passed": False, "detail": "; ".join([*reasons, *failures])}


def inspect_database(settings: pgbackrest.Settings) -> Entry:
    """Return the newest backup of the database in any repository."""
    answer = pgbackrest.query_repositories(settings)[settings.config]
    entry = {"name": "database", "passed": False}
    if isinstance(answer, str):
        return {**entry, "detail": answer}
    newest = max((one for repo in answer for one in repo.backups), key=lambda one: one.end_time, default=None)
    if newest is None:
        reasons = [
            f"{settings.repositories[repo.number]} {'has no backup of it' if repo.reachable else repo.message}"
            for repo in answer
        ]
        return {**entry, "detail": "; ".join(reasons)}
    ended = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(newest.end_time))
    where = settings.repositories[newest.repository]
    return {"name": "database", "passed": True, "detail": f"the newest of {ended} in {where}"}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "sets": {"type": "list", "elements": "str", "default": []},
            "database": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    names, found = module.params["sets"], []
    try:
        if names:
            config = restic.load_settings()
            found = [inspect_set(config, name) for name in names]
        if module.params["database"]:
            found.append(inspect_database(pgbackrest.Settings.load(pgbackrest_program.SETTINGS)))
    except (restic.JobError, pgbackrest.JobError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, backups=found)


if __name__ == "__main__":
    main()
