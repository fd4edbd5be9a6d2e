#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: static_release
short_description: Release a built site, as a transaction
version_added: 0.1.0
description:
  - Makes a directory of built files on the controller the live release of a site on the host.
  - A release is a directory named after a hash of its content. It appears whole, compressed with gzip and brotli, and a
    link is switched to it. When the site's first page then is not what visitors get, the link is switched back.
  - A run that was killed anywhere is finished by the next one.
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: The site's name, which is its directory below O(root).
    type: str
    required: true
  source:
    description: The built site on the controller; it must hold C(index.html). Needed unless O(release) is given.
    type: path
  release:
    description:
      - Instead of the source, the id of a release that is still on the host, or V(previous).
      - An id may be given as often as one likes; V(previous) switches back and forth.
    type: str
  root:
    description: The directory of all sites.
    type: path
    default: /srv/sites
  keep:
    description: How many releases stay on the host, the live and the previous one among them, which always do.
    type: int
    default: 5
  url:
    description:
      - The address of the site's first page. After the switch the host asks itself for it, and compares.
      - Without it only the files on disk are compared.
    type: str
    default: ""
  files:
    description: Path and SHA-256 of each file; set by the action plugin.
    type: dict
  archive:
    description: The files, packed; set by the action plugin.
    type: path
attributes:
  check_mode:
    description: The plan is complete; nothing changes.
    support: full
  diff_mode:
    description: The files of the live and the wanted release, with the beginning of their hashes.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Release the manual
  vise.platform.static_release:
    name: docs
    source: "{{ playbook_dir }}/../docs/.vitepress/dist"
    url: https://docs.example.org/

- name: Go back to the release before
  vise.platform.static_release:
    name: docs
    release: previous
    url: https://docs.example.org/
"""

RETURN = r"""
release:
  description: The release that is live, or in check mode would be.
  returned: always
  type: str
  sample: 3f2a9c81d0b7
needs:
  description: What the action plugin has to bring first; never part of a task's result.
  returned: when the release is not on the host
  type: list
  elements: str
  sample: [files, brotli]
"""

import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import releases

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "source": {"type": "path"},
    "release": {"type": "str"},
    "root": {"type": "path", "default": "/srv/sites"},
    "keep": {"type": "int", "default": 5},
    "url": {"type": "str", "default": ""},
    "files": {"type": "dict"},
    "archive": {"type": "path"},
}


def converge(
    wanted: releases.Wanted, archive: str, check_mode: bool, run: releases.Run
) -> tuple[releases.Found, list[str]]:
    """Bring the site to the wanted release; return what was found, and what is missing for it."""
    found = releases.inspect(wanted)
    if check_mode or not found.changed:
        return found, []
    if not found.target and not archive:
        return found, ["files"] if shutil.which("brotli") else ["files", "brotli"]
    with releases.locked(wanted.root):
        releases.apply(wanted, archive, run)
    return found, []


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    # Whoever runs it may have another, and nginx would not come to the site.
    os.umask(0o022)
    given = module.params
    files = given["files"] or {}
    release = given["release"] or releases.identity(files)
    wanted = releases.Wanted(os.path.join(given["root"], given["name"]), release, files, given["keep"], given["url"])

    def run(argv: t.Sequence[str]) -> tuple[int, str]:
        status, out, err = module.run_command(list(argv))
        return status, out or err

    try:
        found, needs = converge(wanted, given["archive"] or "", module.check_mode, run)
    except (releases.ReleaseError, OSError) as error:
        module.fail_json(msg=f"{given['name']}: {error}", invocation={})
    result: dict[str, t.Any] = {"changed": found.changed, "release": found.target or release, "invocation": {}}
    if needs:
        result["needs"] = needs
    if module._diff and found.changed:
        result["diff"] = found.diff()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
