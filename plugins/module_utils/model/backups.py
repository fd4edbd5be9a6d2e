# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the backups of one host and their repositories from the description and the inventory. Pure.

A repository is read only for the hosts that use it: Ansible evaluates a value when it is read, and then requires its
secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import typing as t
from collections.abc import Mapping, Sequence

from .datastores import PRIMARY, STANDBY
from .topology import Entry, Groups, HostVars

Entries = Sequence[Mapping[str, t.Any]]
# Keys of a set that the role backup_verify reads, and the role restic does not.
PROOF = ("redis_dump", "redis_keys", "may_be_empty")


class BackupsError(ValueError):
    """The description is not valid; the text names what to change."""


class Description(t.NamedTuple):
    """The repositories, the sets of files, the passphrases of `database` and `files`, and the host that prunes."""

    repositories: Entries
    sets: Entries
    passphrases: Mapping[str, str]
    pruner: str

    def passphrase(self, kind: str) -> str:
        """Return a passphrase; empty when it is not set."""
        return self.passphrases.get(kind, "")


def database_repository(repository: Mapping[str, t.Any], passphrase: str) -> Entry:
    """Return a repository in the format of the role pgbackrest."""
    return {
        **{key: repository[key] for key in ("endpoint", "bucket", "region", "uri_style") if key in repository},
        "path": f"{repository.get('path', '')}/database",
        "key": repository["full"]["key"],
        "key_secret": repository["full"]["secret"],
        "cipher_pass": passphrase,
    }


def backup_name(hostvars: HostVars, host: str) -> str:
    """Return the name of a host's backups: its own name unless backup_name is set."""
    return str(hostvars[host].get("backup_name") or host)


def files_password(passphrase: str, name: str) -> str:
    """Return the password of the files of one name, in hexadecimal digits; no other password can be derived from it.

    Raises BackupsError without a passphrase: everyone could compute the result.
    """
    if not passphrase:
        raise BackupsError("backup_files_passphrase is missing, and files are backed up; set it to a secret")
    return hmac.new(passphrase.encode(), name.encode(), hashlib.sha256).hexdigest()


def files_repository(repository: Mapping[str, t.Any], passphrase: str, name: str, credentials: str) -> Entry:
    """Return a repository in the format of the role restic: each name has its own path and password."""
    return {
        "name": repository["name"],
        "url": f"s3:https://{repository['endpoint']}/{repository['bucket']}{repository.get('path', '')}/files/{name}",
        "region": repository["region"],
        "key": repository[credentials]["key"],
        "key_secret": repository[credentials]["secret"],
        "password": files_password(passphrase, name),
    }


def pruned_repositories(wanted: Description, groups: Groups, hostvars: HostVars) -> list[Entry]:
    """Return the repositories of all hosts that back up files, with credentials that may delete."""
    hosts = [host for host in groups.get("all") or () if sets_of_host(wanted.sets, host, groups)]
    return [
        {
            **files_repository(repository, wanted.passphrase("files"), name, "full"),
            "name": re.sub(r"[^a-z0-9]+", "-", f"{name}-{repository['name']}".lower()),
        }
        # A lost host and its replacement have the same name while the inventory lists both.
        for name in dict.fromkeys(backup_name(hostvars, host) for host in hosts)
        for repository in wanted.repositories
    ]


def sets_of_host(wanted: Entries, host: str, groups: Groups) -> list[Mapping[str, t.Any]]:
    """Return the sets of a host, by its groups."""
    return [one for one in wanted if one["group"] == "all" or host in (groups.get(one["group"]) or ())]


def without(one: Mapping[str, t.Any], *keys: str) -> Entry:
    """Return a mapping without these keys."""
    return {key: value for key, value in one.items() if key not in keys}


def backup_services(wanted: Description, host: str, groups: Groups, hostvars: HostVars) -> Entry:
    """Return everything that one host needs for its backups."""
    name = backup_name(hostvars, host)
    own = sets_of_host(wanted.sets, host, groups)
    cluster = [*(groups.get(PRIMARY) or ()), *(groups.get(STANDBY) or ())]
    of_database = wanted.repositories if host in cluster else ()
    of_files = wanted.repositories if own else ()
    return {
        "name": name,
        "database_repositories": [database_repository(one, wanted.passphrase("database")) for one in of_database],
        "file_repositories": [files_repository(one, wanted.passphrase("files"), name, "append") for one in of_files],
        "pruned_repositories": pruned_repositories(wanted, groups, hostvars) if host == wanted.pruner else [],
        "sets": [without(one, "group", *PROOF) for one in own],
        "proofs": [{key: one[key] for key in ("name", *PROOF) if key in one} for one in own],
    }
