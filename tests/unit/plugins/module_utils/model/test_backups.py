"""The backups of one host and their credentials."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.backup_services import FilterModule

MANUAL = Path(__file__).resolve().parents[5] / "docs/backups.md"
PASSPHRASES = {"database": "of the database", "files": "of files"}
REPOSITORY = {
    "name": "first",
    "endpoint": "s3.example.org",
    "region": "eu-1",
    "bucket": "backups",
    "append": {"key": "A", "secret": "cannot delete"},
    "full": {"key": "F", "secret": "can delete"},
}
# By name, the HMAC-SHA256 of the name with the key "of files", as `openssl dgst -hmac` prints it
PASSWORDS = {
    "c": "0f4680b0839ec42bf93891c6d587ae6833470beb5650a5a658c0853546e73728",
    "D.test": "580b360c4bebbe807e8bcaf969512adcc1ee96914c1d3c18fd8616b3d0330c4d",
}
SETS: list[dict[str, Any]] = [
    {"name": "hosts", "group": "all", "paths": ["/etc"], "may_be_empty": True},
    {"name": "redis", "group": "cache", "paths": ["/var/tmp/redis.rdb"], "redis_dump": "/var/tmp/redis.rdb"},
]


def of(host: str, repository: dict[str, Any] = REPOSITORY, **more: Any) -> dict[str, Any]:
    derive = FilterModule().filters()["backup_services"]
    groups = {"all": ["c", "D.test", "e"], "cache": ["c"], "database": ["e"], "others": ["c", "D.test"]}
    names = more.pop("names", {})
    hostvars = {host: {"backup_name": names[host]} if host in names else {} for host in groups["all"]}
    found: dict[str, Any] = derive(
        [repository], host, groups, hostvars, **{"passphrases": PASSPHRASES, "sets": SETS, **more}
    )
    return found


@pytest.mark.parametrize(("host", "names"), [("c", ["hosts", "redis"]), ("D.test", ["hosts"])])
def test_host_backs_up_the_sets_of_its_groups(host: str, names: list[str]) -> None:
    found = of(host)["sets"]
    assert [one["name"] for one in found] == names
    assert all(one.keys() == {"name", "paths"} for one in found)


def test_proof_contains_its_own_keys_of_a_set() -> None:
    assert of("c")["proofs"] == [
        {"name": "hosts", "may_be_empty": True},
        {"name": "redis", "redis_dump": "/var/tmp/redis.rdb"},
    ]


def test_files_have_their_own_path_per_host_and_credentials_that_cannot_delete() -> None:
    assert of("c")["file_repositories"] == [
        {
            "name": "first",
            "url": "s3:https://s3.example.org/backups/files/c",
            "region": "eu-1",
            "key": "A",
            "key_secret": "cannot delete",
            "password": PASSWORDS["c"],
        }
    ]


def test_database_has_credentials_that_can_delete_because_its_backups_expire() -> None:
    assert of("e")["database_repositories"] == [
        {
            "endpoint": "s3.example.org",
            "bucket": "backups",
            "region": "eu-1",
            "path": "/database",
            "key": "F",
            "key_secret": "can delete",
            "cipher_pass": "of the database",
        }
    ]


def test_one_host_prunes_the_backups_of_all_hosts() -> None:
    sets = [{**SETS[0], "group": "others"}]
    assert of("c", sets=sets, pruner="e")["pruned_repositories"] == []
    found = of("e", sets=sets, pruner="e")
    assert found["sets"] == []
    assert found["pruned_repositories"] == [
        {
            "name": name,
            "url": f"s3:https://s3.example.org/backups/files/{host}",
            "region": "eu-1",
            "key": "F",
            "key_secret": "can delete",
            "password": PASSWORDS[host],
        }
        for name, host in (("c-first", "c"), ("d-test-first", "D.test"))
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, ["c", "D.test", "e"]),
        ({"e": "lost"}, ["c", "D.test", "lost"]),
        # The lost host is still in the inventory.
        ({"e": "c"}, ["c", "D.test"]),
        ({"e": ""}, ["c", "D.test", "e"]),
    ],
)
def test_backups_are_pruned_where_hosts_write_them(names: dict[str, str], expected: list[str]) -> None:
    pruned = {one["url"]: one["password"] for one in of("c", pruner="c", names=names)["pruned_repositories"]}
    assert [url.rpartition("/")[2] for url in pruned] == expected
    written = [of(host, names=names)["file_repositories"][0] for host in ("c", "D.test", "e")]
    assert pruned == {one["url"]: one["password"] for one in written}


def test_replacement_of_a_lost_host_reads_the_backups_of_that_host() -> None:
    found = of("e", names={"e": "c"})
    assert found["name"] == "c"
    assert found["file_repositories"] == of("c")["file_repositories"]


def test_each_host_and_each_passphrase_has_a_different_password() -> None:
    given = [("c", "of files"), ("D.test", "of files"), ("e", "of files"), ("c", "of files too")]
    passwords = {of(host, passphrases={"files": one})["file_repositories"][0]["password"] for host, one in given}
    assert len(passwords) == len(given)
    assert not [one for one in passwords if "of files" in one]


def test_manual_shows_the_command_that_computes_the_password() -> None:
    (command,) = re.findall(r"^printf .*openssl .*$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    for name, password in PASSWORDS.items():
        script = f"NAME={name}; PASSPHRASE='of files'\n{command}"
        printed = subprocess.run(["sh", "-euc", script], capture_output=True, check=True, text=True).stdout
        assert printed == f"{password}\n"


@pytest.mark.parametrize(("host", "pruner"), [("c", ""), ("e", "e")])
def test_files_are_not_encrypted_without_a_passphrase(host: str, pruner: str) -> None:
    sets = [{**SETS[0], "group": "others"}]
    assert of("e", sets=sets, passphrases={})["file_repositories"] == []
    with pytest.raises(AnsibleFilterError, match="backup_files_passphrase is missing"):
        of(host, sets=sets, passphrases={"files": ""}, pruner=pruner)


def test_host_without_a_database_or_sets_has_no_repository() -> None:
    found = of("c", sets=[{"name": "others", "group": "none", "paths": ["/srv"]}])
    assert (found["database_repositories"], found["file_repositories"]) == ([], [])


def test_bucket_can_be_shared_by_path() -> None:
    found = of("e", {**REPOSITORY, "path": "/staging"})
    assert found["database_repositories"][0]["path"] == "/staging/database"
    assert found["file_repositories"][0]["url"] == "s3:https://s3.example.org/backups/staging/files/e"
