# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one host backs up, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_duties
short_description: Derive what one host backs up and where it goes
version_added: 0.1.0
description:
  - Gives every host that backs up files a path and a password of its own in each repository, with the credentials that
    cannot delete, and the ones that can to the database and to the host that removes old backups.
extends_documentation_fragment: [vise.platform.duties]
positional: host, groups, hostvars
options:
  _input:
    description: The repositories, as C(group_vars/all/backups.yml) describes them.
    type: list
    elements: dict
    required: true
  hostvars:
    description:
      - The inventory's C(hostvars). C(backup_name) in them is the name under which a host's backups lie, where that is
        not its own.
    type: dict
    required: true
  sets:
    description: What is backed up beside the databases, each with the C(group) whose hosts have it.
    type: list
    elements: dict
    default: []
  database_passphrase:
    description: What backups of the database are encrypted with.
    type: str
    default: ""
  files_passphrase:
    description:
      - What the passwords of files are made of. That of one name is the HMAC-SHA256 of the name with this as its key,
        in hexadecimal digits, so that nobody who has one can make another.
      - Required where files are backed up.
    type: str
    default: ""
  pruner:
    description: The host that removes old backups of files, of all hosts; nobody when empty.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: See what a host backs up
  ansible.builtin.debug:
    var: (backup_repositories | vise.platform.backup_duties(inventory_hostname, groups, hostvars, sets=backup_sets,
          files_passphrase=backup_files_passphrase)).sets
"""

RETURN = r"""
_value:
  description:
    - C(database_repositories), as the role pgbackrest takes them, where the host has a database; C(file_repositories),
      where it has sets, C(pruned_repositories) and C(sets), as the role restic takes them; C(proofs), the sets as the
      role backup_verify takes them; C(name), under which they lie.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils import backups, topology


def backup_duties(
    repositories: backups.Entries,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    sets: backups.Entries = (),
    database_passphrase: str = "",
    files_passphrase: str = "",
    pruner: str = "",
) -> dict[str, t.Any]:
    """Return what follows for one host."""
    wanted = backups.Description(repositories or (), sets or (), database_passphrase, files_passphrase, pruner)
    try:
        return backups.backup_duties(wanted, host, groups, hostvars)
    except backups.BackupsError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"backup_duties": backup_duties}
