#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: company_repository
short_description: Write the repository of a company, or add to it
version_added: 0.1.0
description:
  - Writes a repository that describes a platform and runs it by this collection. It contains the inventory, the
    description by topic, the vault with generated secrets, the settings of Ansible, the requirements, a Makefile and a
    workflow for GitHub.
  - No file is overwritten. If the folder contains such a repository already, the answers are added to it, and the text
    of the user stays. An answer that contradicts the repository is refused.
  - All answers are validated before anything is written.
  - It runs on the controller and connects to no host.
extends_documentation_fragment: [vise.platform.attributes.controller]
attributes:
  check_mode:
    description: It returns the files and writes nothing.
    support: full
  diff_mode:
    description: It shows no difference; the files are new.
    support: none
author:
  - vise.platform contributors (@vise-platform)
options:
  folder:
    description: The folder of the repository; it is created if it does not exist.
    type: path
    required: true
  domain:
    description: The domain of the platform.
    type: raw
  user:
    description: The account with which Ansible logs in. The default is V(root). Other accounts become root by sudo.
    type: raw
  hosts:
    description: The hosts as C(NAME=ADDRESS[:PORT][,ADDRESS...]), a list or words between spaces.
    type: raw
  functions:
    description:
      - The functions as C(FUNCTION[=HOST,HOST...]), a list or words between spaces. V(all) stands for V(docs), V(mail),
        V(database) and V(cache). Without a host, it is the only host or the host with the name of the function.
    type: raw
  applications:
    description: The applications that use the database and the cache, as C(NAME[=HOST,HOST...]).
    type: raw
  sites:
    description:
      - The sites as C(NAME[=DOMAIN][:PORT]). A site without a port consists of files; one with a port is served by the
        application of its name.
    type: raw
  people:
    description: The administrators as C(NAME=KEY), where the key is a public key or a file with public keys.
    type: raw
  dns:
    description: V(cloudflare), or V(none) if the records are managed elsewhere.
    type: raw
  storage:
    description: The buckets for backups as C(ENDPOINT/REGION/BUCKET), or V(none).
    type: raw
  collection:
    description: The collection in the written requirements, as a path of an archive. The default is the one of Galaxy.
    type: str
    default: ""
  vault_password_file:
    description:
      - A file with the password of the vault, which must exist. Without it, the password is the one with which
        ansible-playbook was started, or a new one in the file C(.vault-password) of the repository.
    type: str
    default: ""
  usage:
    description: The text that is printed after the problems.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Write a repository for one host with a documentation site
  vise.platform.company_repository:
    folder: /home/alice/platform
    domain: example.org
    hosts: web-1=192.0.2.10,2001:db8::10
    user: debian
    functions: docs
    people: alice=~/.ssh/id_ed25519.pub

- name: Add a second site
  vise.platform.company_repository:
    folder: /home/alice/platform
    sites: blog=blog.example.org
"""

RETURN = r"""
folder:
  description: The folder of the repository.
  returned: success
  type: str
  sample: /home/alice/platform
written:
  description: The new files.
  returned: success
  type: list
  elements: str
  sample: [inventory/hosts.yml]
edited:
  description: The files of the repository to which entries were added.
  returned: success
  type: list
  elements: str
  sample: [inventory/group_vars/all/sites.yml]
kept:
  description: The files that existed and were not changed.
  returned: success
  type: list
  elements: str
  sample: [README.md]
generated:
  description: The names of the generated secrets.
  returned: success
  type: list
  elements: str
  sample: [vault_internal_ca, vault_internal_ca_key]
next:
  description: What the user has to do next, one step in each entry.
  returned: success
  type: list
  elements: str
  sample: ["run `make check`, then `make converge`"]
"""
