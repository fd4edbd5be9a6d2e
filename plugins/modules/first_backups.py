#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: first_backups
short_description: Wait for the first backups of a host
version_added: 0.1.0
description:
  - The roles M(vise.platform.restic) and M(vise.platform.pgbackrest) start the first backup of each set as a unit. This
    module waits until these units have ended.
  - A backup that still runs after that time continues, and the module reports it in a warning. A backup that has failed
    fails the module.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  tool:
    description: The program that makes the backups.
    type: str
    choices: [pgbackrest, restic]
    required: true
  seconds:
    description: Maximum seconds to wait.
    type: int
    default: 300
attributes:
  check_mode:
    description: Does not wait, because no backup was started.
    support: full
  diff_mode:
    description: Shows no difference, because it changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Wait for the first backups of files
  vise.platform.first_backups:
    tool: restic
    seconds: 600
"""

RETURN = r"""
complete:
  description: Units whose first backup was completed meanwhile.
  returned: always
  type: list
  elements: str
  sample: ["restic-backup@configuration:first.service"]
running:
  description: Units that still run.
  returned: always
  type: list
  elements: str
  sample: ["restic-backup@mail:first.service"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs, units
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs as pgbackrest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import program as pgbackrest_program
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs as restic


def list_restic() -> list[str]:
    """Return the units of files without a first backup."""
    return restic.list_first_backups(restic.load_settings())


def list_pgbackrest() -> list[str]:
    """Return the units of the database without a first backup; none on a standby."""
    settings = pgbackrest.Settings.load(pgbackrest_program.SETTINGS)
    missing = pgbackrest.list_first_backups(settings, pgbackrest.query_repositories(settings))
    return [] if missing and pgbackrest.is_standby(settings) else missing


TOOLS: dict[str, t.Callable[[], list[str]]] = {"pgbackrest": list_pgbackrest, "restic": list_restic}


def describe_failures(names: t.Iterable[str]) -> str:
    """Return which first backups failed, the reason of each, and the next step."""
    reasons = "; ".join(f"{name}: {units.read_last_messages(name) or 'it wrote no message'}" for name in names)
    return (
        f"the first backup failed: {reasons}. The configuration is kept, and the timer tries again. Fix the cause, then"
        f" run: systemctl start {' '.join(names)}"
    )


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "tool": {"type": "str", "choices": sorted(TOOLS), "required": True},
            "seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    leases.keep_alive(module.check_mode)
    if module.check_mode:
        module.exit_json(changed=False, complete=[], running=[])
    list_missing, seconds = TOOLS[module.params["tool"]], module.params["seconds"]
    try:
        wanted = list_missing()
        running = units.wait_until_ended(wanted, seconds)
        missing = set(list_missing() if wanted else ()) - set(running)
        complete = [name for name in wanted if name not in missing and name not in running]
        incomplete = units.find_failed(complete)
        failure = describe_failures(sorted(missing)) if missing else ""
    except (restic.JobError, pgbackrest.JobError, programs.ProgramError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    for name in running:
        module.warn(f"the first backup {name} still runs after {seconds} s; follow it with: journalctl -fu {name}")
    for name in incomplete:
        module.warn(f"the first backup {name} is incomplete: {units.read_last_messages(name)}")
    if failure:
        module.fail_json(msg=failure, complete=complete, running=running)
    module.exit_json(changed=False, complete=complete, running=running)


if __name__ == "__main__":
    main()
