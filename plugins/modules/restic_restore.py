#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_restore
short_description: Restore a backup set of files
version_added: 0.1.0
description:
  - Restores a snapshot of a set to a staging directory next to its place. Restic verifies the content, the module
    compares the attributes with the snapshot, and then it moves the files to their place by renames. Before that,
    nothing is changed.
  - If a repository does not answer or its data are damaged, the module tries the next one. A snapshot of another night
    than the requested one is only restored with O(older=true); otherwise the message names it.
  - The role M(vise.platform.restic) writes the repositories and credentials on the host.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  set:
    description: Name of the backup set.
    type: str
    required: true
  snapshot:
    description:
      - V(latest), the start of an id (8 hexadecimal digits or more), or a time such as V(2026-03-01T02:00), which is in
        UTC if it has no time zone. A time selects the last snapshot before it.
      - An id exists in only one repository; from another one, the snapshot nearest in time is restored, if it is of the
        same night.
    type: str
    default: latest
  host:
    description: Name of the host that made the backup; by default the host's own name in its settings.
    type: str
    default: ""
  repository:
    description: Repository to try first; by default the one with the newest snapshot.
    type: str
    default: ""
  older:
    description:
      - Whether a snapshot of an earlier night may be restored when the requested one is damaged in each repository. The
        newest intact one is used; changes since then are lost.
    type: bool
    default: false
  target:
    description: An empty or missing directory in which the paths are restored.
    type: path
  in_place:
    description:
      - Whether the paths are restored to their original place. Existing files are kept there with the suffix
        C(.before-restore-<time>).
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports the snapshot that would be restored, without checking whether it is intact.
    support: full
  diff_mode:
    description: Shows no difference, because there are too many files.
    support: none
"""

EXAMPLES = r"""
- name: Restore the newest backup to a directory
  vise.platform.restic_restore:
    set: files
    target: /srv/restored

- name: Restore the state of the first of March in place
  vise.platform.restic_restore:
    set: files
    snapshot: 2026-03-01T12:00
    in_place: true
"""

RETURN = r"""
repository:
  description: Repository from which the files were restored.
  returned: success
  type: str
  sample: a
snapshot:
  description: Id of the snapshot.
  returned: success
  type: str
  sample: 3c5f8503dcf4dcf781622de66814203adb3e7f0444875e277600488f6bac0a69
time:
  description: Time of the snapshot.
  returned: success
  type: str
  sample: "2026-03-01T02:11:18.400413618Z"
files:
  description: Number of files; 0 in check mode.
  returned: success
  type: int
  sample: 120
bytes:
  description: Total size of the files in bytes; 0 in check mode.
  returned: success
  type: int
  sample: 3000003
restored:
  description: Restored paths.
  returned: success
  type: list
  elements: str
  sample: [/srv/files]
aside:
  description: Paths of the old files that were renamed and kept.
  returned: success
  type: list
  elements: str
  sample: [/srv/files.before-restore-20260301T120000Z]
passed_over:
  description: Reasons why other repositories were not used.
  returned: success
  type: list
  elements: str
  sample: ["a: no usable answer in time"]
lost:
  description: What is lost, when a snapshot of another night than the requested one was restored; otherwise empty.
  returned: success
  type: str
  sample: ""
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, restoring


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "set": {"type": "str", "required": True},
            "snapshot": {"type": "str", "default": "latest"},
            "host": {"type": "str", "default": ""},
            "repository": {"type": "str", "default": ""},
            "older": {"type": "bool", "default": False},
            "target": {"type": "path"},
            "in_place": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    leases.keep_alive(module.check_mode)
    given = module.params
    target = (given["target"] or "").rstrip("/")
    # Without a target the files are restored in place, which requires explicit consent.
    if bool(target) == given["in_place"]:
        module.fail_json(msg="give either target, a directory below /, or in_place=true")
    request = restoring.Request(
        given["set"], given["snapshot"], given["host"], given["repository"], target, given["older"]
    )
    try:
        report = restoring.restore(jobs.load_settings(), request, module.check_mode)
    except (jobs.JobError, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **report)


if __name__ == "__main__":
    main()
