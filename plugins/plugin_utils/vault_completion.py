# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generate the missing secrets of hosts, and name those that the user has to get from a provider."""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t
from pathlib import Path

from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.vise.platform.plugins.module_utils import secret_values
from ansible_collections.vise.platform.plugins.module_utils.host import locks
from ansible_collections.vise.platform.plugins.plugin_utils import definitions, needed_secrets, vault_files

ROLES = Path(__file__).parent.parent.parent / "roles"


class Outcome(t.NamedTuple):
    """The names of the generated secrets, and of the others, each with how to get it."""

    generated: list[str]
    issued: dict[str, str]

    def advice(self) -> list[str]:
        """Return how to get the secrets that are not generated, one line for those that come from the same place."""
        names: dict[str, list[str]] = {}
        for name, text in self.issued.items():
            names.setdefault(text, []).append(name)
        return [f"{', '.join(listed)}: {text}" for text, listed in names.items()]


def complete_vault(
    hosts: t.Mapping[str, t.Mapping[str, t.Any]],
    path: Path,
    secrets: vault_files.Secrets,
    loader: DataLoader,
    *,
    plaintext: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Generate the missing secrets of hosts into a vault file.

    Args:
        hosts: the variables of each host, not templated, with `groups` and `hostvars`.
        path: the vault file; it need not exist.
        secrets: the passwords of the vault.
        loader: reads files.
        plaintext: whether a vault file in plain text is permitted.
        dry_run: whether to write nothing.

    Raises:
        VaultFileError: the file cannot be read or written.
        SecretError: only a part of the platform's authority is missing.
    """
    # A wrong password ends the run before anything is evaluated.
    vault_files.read_file(path, secrets)
    schema = needed_secrets.load_schema(ROLES)
    missing = needed_secrets.find_missing(hosts, ROLES, schema, loader)
    decision = secret_values.decide(missing, schema)
    values = secret_values.generate(decision, missing)
    if not dry_run:
        values = write_values(path, values, secrets, plaintext)
    return Outcome(sorted(values), dict(sorted(decision.issued.items())))


def lock(path: Path) -> contextlib.AbstractContextManager[None]:
    """Wait for the lock of a vault file on this controller and hold it."""
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return locks.lock(os.path.join(str(constants.ANSIBLE_HOME), f"vise-vault-{name}.lock"))


def write_values(path: Path, values: dict[str, str], secrets: vault_files.Secrets, plaintext: bool) -> dict[str, str]:
    """Add those values that no other process has added meanwhile, and return them."""
    with lock(path):
        file = vault_files.read_file(path, secrets)
        present = vault_files.load(path, file.text)
        absent = {name: value for name, value in values.items() if name not in present}
        if absent:
            vault_files.add_secrets(file, absent, secrets, plaintext)
        else:
            vault_files.restrict_access(file.path)
    return absent


def read_hosts(folder: Path, loader: DataLoader) -> dict[str, dict[str, t.Any]]:
    """Return the variables of the hosts of an inventory, not templated, as files define them at this moment.

    Ansible itself remembers which files it has found, and would not see those that were written in the same run.
    """
    inventory = InventoryManager(loader=loader, sources=[str(folder)])
    groups = inventory.get_groups_dict()
    found: dict[str, dict[str, t.Any]] = {}
    for host in inventory.get_hosts():
        members = sorted(host.get_groups(), key=lambda group: (group.depth, group.priority, group.name))
        variables: dict[str, t.Any] = {}
        for group in members:
            variables |= group.get_vars()
        for group in members:
            variables |= read_files(folder / "group_vars", group.name, loader)
        variables |= {**host.get_vars(), **read_files(folder / "host_vars", host.name, loader)}
        names = {"inventory_hostname": host.name, "group_names": [group.name for group in members]}
        found[host.name] = {**variables, **names, "groups": groups, "inventory_dir": str(folder)}
    for one in found.values():
        one["hostvars"] = found
    return found


def read_files(folder: Path, name: str, loader: DataLoader) -> dict[str, t.Any]:
    """Return the variables that files define for a group or host."""
    variables: dict[str, t.Any] = {}
    for path in definitions.find_files(folder, [name]):
        variables |= loader.load_from_file(str(path), cache="none", trusted_as_template=True) or {}
    return variables
