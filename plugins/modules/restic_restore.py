#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: restic_restore
short_description: Restore a backup set of files
version_added: 0.1.0
description:
  - Restores a snapshot of a set beside its place, has restic verify the content, compares the attributes with the
    snapshot, and then switches it in by renames. Until then nothing is changed.
  - When a repository is down, or does not give everything intact, the next one is asked.
  - Repositories and credentials are what the role M(vise.platform.restic) has written on the host.
author:
  - vise.platform contributors (@vise-platform)
options:
  set:
    description: Name of the set.
    type: str
    required: true
  snapshot:
    description:
      - V(latest), the beginning of an id (8 hexadecimal digits or more), or a time such as V(2026-03-01T02:00); UTC
        when it has no zone. Of a time, the last snapshot before it is meant.
      - An id is known to one repository only; another one gives its snapshot that is nearest to it in time.
    type: str
    default: latest
  host:
    description: Whose backup it is; the host's own name in its settings when empty.
    type: str
    default: ""
  repository:
    description: The repository to try first; when empty, the one with the newest snapshot.
    type: str
    default: ""
  target:
    description: A directory that is empty or not there, below which the paths are restored.
    type: path
  in_place:
    description:
      - Whether the paths are restored where they were. What lies there is kept beside them, with
        C(.before-restore-<time>) behind its name.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says which snapshot would be taken; whether it is intact is known only afterwards.
    support: full
  diff_mode:
    description: The files are too many to show.
    support: none
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Restore the newest backup to a directory
  vise.platform.restic_restore:
    set: files
    target: /srv/restored

- name: Put back what was there on the first of March
  vise.platform.restic_restore:
    set: files
    snapshot: 2026-03-01T12:00
    in_place: true
"""

RETURN = r"""
repository:
  description: Where it came from.
  returned: success
  type: str
  sample: a
snapshot:
  description: The snapshot's id.
  returned: success
  type: str
  sample: 3c5f8503dcf4dcf781622de66814203adb3e7f0444875e277600488f6bac0a69
time:
  description: When it was made.
  returned: success
  type: str
  sample: "2026-03-01T02:11:18.400413618Z"
files:
  description: Number of files; 0 in check mode.
  returned: success
  type: int
  sample: 120
bytes:
  description: Their size; 0 in check mode.
  returned: success
  type: int
  sample: 3000003
restored:
  description: The paths that were restored.
  returned: success
  type: list
  elements: str
  sample: [/srv/files]
aside:
  description: Where that is kept which was there before.
  returned: success
  type: list
  elements: str
  sample: [/srv/files.before-restore-20260301T120000Z]
passed_over:
  description: Why other repositories were not taken.
  returned: success
  type: list
  elements: str
  sample: ["a: no usable answer in time"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, restoring


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "set": {"type": "str", "required": True},
            "snapshot": {"type": "str", "default": "latest"},
            "host": {"type": "str", "default": ""},
            "repository": {"type": "str", "default": ""},
            "target": {"type": "path"},
            "in_place": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    target = (given["target"] or "").rstrip("/")
    # Without a target the library restores in place: that must have been meant.
    if bool(target) == given["in_place"]:
        module.fail_json(msg="give either a target below /, or in_place=true")
    request = restoring.Request(given["set"], given["snapshot"], given["host"], given["repository"], target)
    try:
        report = restoring.restore(jobs.settings(), request, module.check_mode)
    except (jobs.JobError, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **report)


if __name__ == "__main__":
    main()
