#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record
short_description: End the lease of a run on a host, and record what the run has changed there
version_added: 0.1.0
description:
  - A run that changes a host has a lease of it, so that no second run changes it at the same time. This is the last
    task of C(site.yml). It ends the lease.
  - If the run has changed the host, it also writes a record to C(/var/lib/vise/runs). The record contains who ran which
    playbook, from where and when, the commit of the description, and the names of the changed tasks. It contains no
    secret. The newest 100 records stay.
  - On a host that the run has not changed, nothing is executed.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  run:
    description: The identity of the run. The action plugin sets it.
    type: str
    default: ""
  record:
    description: The record; empty for none. The action plugin sets it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
"""

EXAMPLES = r"""
- name: End the lease and record the changes
  vise.platform.run_record:
"""

RETURN = r"""
path:
  description: The record on the host.
  returned: when the run has changed the host
  type: str
  sample: /var/lib/vise/runs/20261130T031500Z.json
"""

import glob
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import files, leases

DIRECTORY = "/var/lib/vise/runs"
MOST = 100


def write_record(record: dict[str, object], directory: str = DIRECTORY) -> str:
    """Write a record, remove the oldest ones, and return the path."""
    files.make_directories(directory, 0o700)
    path = os.path.join(directory, f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json")
    files.write_json(path, record)
    for old in sorted(glob.glob(os.path.join(directory, "*.json")))[:-MOST]:
        files.remove_file(old)
    return path


def main() -> None:
    """Run as a module."""
    spec = {"run": {"type": "str", "default": ""}, "record": {"type": "dict", "default": {}}}
    module = AnsibleModule(spec, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False)
    os.umask(0o022)
    try:
        path = write_record(module.params["record"]) if module.params["record"] else ""
        leases.end(module.params["run"])
    except OSError as error:
        module.fail_json(msg=str(error))
    # What is written belongs to the run, not to the state of the host.
    module.exit_json(changed=False, **({"path": path} if path else {}))


if __name__ == "__main__":
    main()
