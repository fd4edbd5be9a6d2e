#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: static_release
short_description: Release a built site in a transaction
version_added: 0.1.0
description:
  - Copies a directory of built files from the controller to the host and makes it the live release of a site.
  - A release is a directory named after a hash of its content. The module unpacks it, compresses its files with gzip
    and brotli, and moves it into place atomically. Then it switches a link to the release. When visitors do not get
    the release's first page, the module switches the link back and fails.
  - The next run finishes a killed run.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: Name of the site and of its directory in O(root).
    type: str
    required: true
  source:
    description: Directory of the built site on the controller, with C(index.html). Required unless O(release) is set.
    type: path
  release:
    description:
      - Instead of O(source), the id of a release that is still on the host, or V(previous).
      - A second run with the same id changes nothing. A second run with V(previous) switches forth again.
    type: str
  root:
    description: Directory of all sites.
    type: path
    default: /srv/sites
  keep:
    description: Number of releases that stay on the host. The live and the previous one count, and always stay.
    type: int
    default: 5
  url:
    description:
      - URL of the site's first page. After the switch the host requests it from itself and compares the content.
      - Without a URL, only the files on disk are compared.
    type: str
    default: ""
  prepare:
    description:
      - Makes the release live without a proof, if no configuration of nginx refers to the directory of the site, so
        that no visitor gets it yet. For the files of a virtual host that the role nginx creates afterwards.
      - Changes nothing if there is such a configuration.
      - When this returns C(unproven), a second execution without this option releases or proves the rest.
    type: bool
    default: false
  files:
    description: Path and SHA-256 of each file. The action plugin sets it.
    type: dict
  archive:
    description: Archive of the files on the host. The action plugin sets it.
    type: path
attributes:
  check_mode:
    description: Reports the release that would be live; changes nothing.
    support: full
  diff_mode:
    description: Shows the files of the live and of the wanted release, with the first digits of their hashes.
    support: full
"""

EXAMPLES = r"""
- name: Release the manual
  vise.platform.static_release:
    name: docs
    source: "{{ playbook_dir }}/../docs/.vitepress/dist"
    url: https://docs.example.org/

- name: Roll back to the previous release
  vise.platform.static_release:
    name: docs
    release: previous
    url: https://docs.example.org/
"""

RETURN = r"""
release:
  description: The release that is live, or in check mode would be live.
  returned: always
  type: str
  sample: 3f2a9c81d0b7
unproven:
  description: Whether an execution without O(prepare) must follow.
  returned: with O(prepare)
  type: bool
  sample: true
prerequisites:
  description:
    - Files or packages (brotli) that the action plugin must provide first.
    - The action plugin removes this key, so the result of a task does not contain it.
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
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "source": {"type": "path"},
    "release": {"type": "str"},
    "root": {"type": "path", "default": "/srv/sites"},
    "keep": {"type": "int", "default": 5},
    "url": {"type": "str", "default": ""},
    "prepare": {"type": "bool", "default": False},
    "files": {"type": "dict"},
    "archive": {"type": "path"},
}


class Options(t.NamedTuple):
    """How to bring a site to its release: an archive that was sent, or none; only to prepare it; only to report."""

    archive: str = ""
    prepare: bool = False
    check_mode: bool = False


def converge(wanted: releases.Wanted, options: Options, run: releases.Run) -> tuple[releases.Current, bool, list[str]]:
    """Bring the site to the wanted release; return the state before, whether it changes, and missing prerequisites."""
    current = releases.inspect(wanted)
    if options.prepare:
        differs = not current.target or current.live != current.target
        changed = differs and not releases.is_in_use(wanted.root)
    else:
        changed = current.changed
    if options.check_mode or not changed:
        return current, changed, []
    if not current.target and not options.archive:
        return current, changed, ["files"] if shutil.which("brotli") else ["files", "brotli"]
    with releases.lock(wanted.root):
        (releases.prepare if options.prepare else releases.apply)(wanted, options.archive, run)
    return current, changed, []


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    # A stricter umask of the calling user would close the site's directories to nginx.
    os.umask(0o022)
    params = module.params
    files = params["files"] or {}
    release = params["release"] or releases.compute_id(files)
    root = os.path.join(params["root"], params["name"])
    wanted = releases.Wanted(root, release, files, params["keep"], params["url"])

    def run(argv: t.Sequence[str]) -> tuple[int, str]:
        result = programs.run(argv)
        return result.code, result.out or result.err

    try:
        options = Options(params["archive"] or "", params["prepare"], module.check_mode)
        current, changed, prerequisites = converge(wanted, options, run)
    except (releases.ReleaseError, OSError) as error:
        module.fail_json(msg=f"{params['name']}: {error}", invocation={})
    result: dict[str, t.Any] = {"changed": changed, "release": current.target or release, "invocation": {}}
    if params["prepare"]:
        result["unproven"] = changed or current.changed
    if prerequisites:
        result["prerequisites"] = prerequisites
    if module._diff and changed:
        result["diff"] = current.build_diff()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
