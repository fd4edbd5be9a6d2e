#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lease
short_description: Take the lease of a host for this run, or refuse because another run changes the host
version_added: 0.1.0
description:
  - A run that changes a host has a lease of it, so that no second run changes the host at the same time. The module
    M(vise.platform.component) takes it for its own changes. A runbook takes it by this module, before its first change.
  - If another run has the lease, it fails with who runs what, from where and since when. The lease of a run that was
    killed on the same controller ends at once.
  - The run keeps the lease until its last task. The callback P(vise.platform.record#callback) ends it then, also after
    a failure. If the controller has died, the lease ends an hour after the last sign of the run, or with
    C(-e end_lease=RUN). Modules that change a host renew it while they run.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  lease:
    description: Who runs what. The action plugin sets it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Takes no lease.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
"""

EXAMPLES = r"""
- name: Take the lease of the host
  vise.platform.run_lease:
  when: inventory_hostname == runbook.options.restore_host
"""

RETURN = r"""
held_by:
  description: The lease of the other run.
  returned: when another run has the lease
  type: dict
  sample: {who: alice, origin: laptop, command: site.yml}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases


def main() -> None:
    """Run as a module."""
    module = AnsibleModule({"lease": {"type": "dict", "default": {}}}, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False)
    os.umask(0o022)
    try:
        other = leases.take(module.params["lease"], leases.LONG_SECONDS)
    except OSError as error:
        module.fail_json(msg=f"the lease of this host cannot be written: {error}")
    module.exit_json(changed=False, **({"held_by": other} if other else {}))


if __name__ == "__main__":
    main()
