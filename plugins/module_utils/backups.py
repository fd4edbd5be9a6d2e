# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one host backs up and where it goes, derived from the description and the inventory. Pure.

Repositories are read for hosts that use them alone: Ansible templates what is read, and asks for the secrets in it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.datastores import PRIMARY, STANDBY
from ansible_collections.vise.platform.plugins.module_utils.topology import Entry, Groups, HostVars

Entries = Sequence[Mapping[str, t.Any]]
# What a set says to whoever proves it, and not to whoever makes it.
PROOF = ("redis_dump", "redis_keys")


class BackupsError(ValueError):
    """The description cannot work; the text says what to write where."""


class Description(t.NamedTuple):
    """Where backups go, what is backed up beside the databases, what encrypts them, and who removes old ones."""

    repositories: Entries
    sets: Entries
    database_passphrase: str
    files_passphrase: str
    pruner: str


def database_repository(repository: Mapping[str, t.Any], passphrase: str) -> Entry:
    """Return a repository as the role pgbackrest takes it."""
    return {
        **{key: repository[key] for key in ("endpoint", "bucket", "region", "uri_style") if key in repository},
        "path": f"{repository.get('path', '')}/database",
        "key": repository["full"]["key"],
        "key_secret": repository["full"]["secret"],
        "cipher_pass": passphrase,
    }


def backup_name(hostvars: HostVars, host: str) -> str:
    """Return the name under which a host's backups lie: its own where nothing is said."""
    return str(hostvars[host].get("backup_name") or host)


def files_password(passphrase: str, name: str) -> str:
    """Return what encrypts the files of one name, in hexadecimal digits; no other one can be told from it.

    Raises BackupsError without a passphrase: what would come of it, everybody could compute.
    """
    if not passphrase:
        raise BackupsError("backup_files_passphrase is missing, and files are backed up; set it, as a secret")
    return hmac.new(passphrase.encode(), name.encode(), hashlib.sha256).hexdigest()


def files_repository(repository: Mapping[str, t.Any], passphrase: str, name: str, credentials: str) -> Entry:
    """Return a repository as the role restic takes it: each name has a path and a password of its own."""
    return {
        "name": repository["name"],
        "url": f"s3:https://{repository['endpoint']}/{repository['bucket']}{repository.get('path', '')}/files/{name}",
        "region": repository["region"],
        "key": repository[credentials]["key"],
        "key_secret": repository[credentials]["secret"],
        "password": files_password(passphrase, name),
    }


def pruned_repositories(wanted: Description, groups: Groups, hostvars: HostVars) -> list[Entry]:
    """Return the repositories of all names under which files are backed up, with the credentials that may delete."""
    hosts = [host for host in groups.get("all") or () if of_host(wanted.sets, host, groups)]
    return [
        {
            **files_repository(repository, wanted.files_passphrase, name, "full"),
            "name": re.sub(r"[^a-z0-9]+", "-", f"{name}-{repository['name']}".lower()),
        }
        # A lost host and the one in its place have one name, for as long as the inventory has both
        for name in dict.fromkeys(backup_name(hostvars, host) for host in hosts)
        for repository in wanted.repositories
    ]


def of_host(wanted: Entries, host: str, groups: Groups) -> list[Mapping[str, t.Any]]:
    """Return the sets that a host has, by its groups."""
    return [one for one in wanted if one["group"] == "all" or host in (groups.get(one["group"]) or ())]


def without(one: Mapping[str, t.Any], *keys: str) -> Entry:
    """Return a mapping without these keys."""
    return {key: value for key, value in one.items() if key not in keys}


def backup_duties(wanted: Description, host: str, groups: Groups, hostvars: HostVars) -> Entry:
    """Return all that follows for one host."""
    name = backup_name(hostvars, host)
    own = of_host(wanted.sets, host, groups)
    cluster = [*(groups.get(PRIMARY) or ()), *(groups.get(STANDBY) or ())]
    of_database = wanted.repositories if host in cluster else ()
    of_files = wanted.repositories if own else ()
    return {
        "name": name,
        "database_repositories": [database_repository(one, wanted.database_passphrase) for one in of_database],
        "file_repositories": [files_repository(one, wanted.files_passphrase, name, "append") for one in of_files],
        "pruned_repositories": pruned_repositories(wanted, groups, hostvars) if host == wanted.pruner else [],
        "sets": [without(one, "group", *PROOF) for one in own],
        "proofs": [{key: one[key] for key in ("name", *PROOF) if key in one} for one in own],
    }
