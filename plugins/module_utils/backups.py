# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one host backs up and where it goes, derived from the description and the inventory. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.topology import Entry, Groups

Entries = Sequence[Mapping[str, t.Any]]
# What a set says to whoever proves it, and not to whoever makes it.
PROOF = ("redis_dump", "redis_keys")


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


def files_repository(repository: Mapping[str, t.Any], passphrase: str, name: str) -> Entry:
    """Return a repository as the role restic takes it: each host has a path of its own."""
    return {
        "name": repository["name"],
        "url": f"s3:https://{repository['endpoint']}/{repository['bucket']}{repository.get('path', '')}/files/{name}",
        "region": repository["region"],
        "key": repository["append"]["key"],
        "key_secret": repository["append"]["secret"],
        "password": passphrase,
    }


def pruned_repositories(wanted: Description, groups: Groups) -> list[Entry]:
    """Return the repositories of all hosts that back up files, with the credentials that may delete."""
    hosts = [host for host in groups.get("all") or () if of_host(wanted.sets, host, groups)]
    return [
        {
            **files_repository(repository, wanted.files_passphrase, host),
            "name": re.sub(r"[^a-z0-9]+", "-", f"{host}-{repository['name']}".lower()),
            "key": repository["full"]["key"],
            "key_secret": repository["full"]["secret"],
        }
        for host in hosts
        for repository in wanted.repositories
    ]


def of_host(wanted: Entries, host: str, groups: Groups) -> list[Mapping[str, t.Any]]:
    """Return the sets that a host has, by its groups."""
    return [one for one in wanted if one["group"] == "all" or host in (groups.get(one["group"]) or ())]


def without(one: Mapping[str, t.Any], *keys: str) -> Entry:
    """Return a mapping without these keys."""
    return {key: value for key, value in one.items() if key not in keys}


def backup_duties(wanted: Description, host: str, groups: Groups, name: str) -> Entry:
    """Return all that follows for one host, whose backups lie under a name."""
    own = of_host(wanted.sets, host, groups)
    return {
        "name": name,
        "database_repositories": [database_repository(one, wanted.database_passphrase) for one in wanted.repositories],
        "file_repositories": [files_repository(one, wanted.files_passphrase, name) for one in wanted.repositories],
        "pruned_repositories": pruned_repositories(wanted, groups) if host == wanted.pruner else [],
        "sets": [without(one, "group", *PROOF) for one in own],
        "proofs": [{key: one[key] for key in ("name", *PROOF) if key in one} for one in own],
    }
