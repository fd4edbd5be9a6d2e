# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backups of one host, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_services
short_description: Derive the backups of one host and their repositories
version_added: 0.1.0
description:
  - Every host that backs up files gets its own path and password in each repository, with the credentials that cannot
    delete. The database hosts and the host that removes old backups get the credentials that can.
extends_documentation_fragment: [vise.platform.host_services]
positional: host, groups, hostvars
options:
  _input:
    description: The repositories, as C(group_vars/all/backups.yml) describes them.
    type: list
    elements: dict
    required: true
  hostvars:
    description:
      - The inventory's C(hostvars). Only C(backup_name) is read, the name of a host's backups when it differs from the
        host's name.
    type: dict
    required: true
  sets:
    description: The files to back up in addition to the databases, each set with the C(group) of its hosts.
    type: list
    elements: dict
    default: []
  passphrases:
    description:
      - C(database) encrypts the backups of the database.
      - The passwords of files are derived from C(files). The password of one name is the HMAC-SHA256 of the name with
        this key, in hexadecimal digits, so that no password reveals another one. It is required where files are backed
        up.
      - They are read only for hosts that need them.
    type: dict
    default: {}
  pruner:
    description: The host that removes old backups of the files of all hosts; they are not removed when it is empty.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the backup sets of a host
  ansible.builtin.debug:
    var: >-
      (backup_repositories | vise.platform.backup_services(inventory_hostname, groups, hostvars, sets=backup_sets,
      passphrases={'files': backup_files_passphrase})).sets
"""

RETURN = r"""
_value:
  description:
    - C(database_repositories), in the format of the role pgbackrest, where the host has a database;
      C(file_repositories), where it has sets, C(pruned_repositories) and C(sets), in the format of the role restic;
      C(proofs), the sets in the format of the role backup_verify; C(name), the name of the backups.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import backups, topology


def backup_services(
    repositories: backups.Entries,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    sets: backups.Entries = (),
    passphrases: t.Mapping[str, str] | None = None,
    pruner: str = "",
) -> dict[str, t.Any]:
    """Return the backups of one host."""
    wanted = backups.Description(repositories or (), sets or (), passphrases or {}, pruner)
    try:
        return backups.backup_services(wanted, host, groups, hostvars)
    except backups.BackupsError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"backup_services": backup_services}
