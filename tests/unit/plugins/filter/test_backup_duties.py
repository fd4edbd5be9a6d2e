"""What one host backs up, and by which credentials."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.filter.backup_duties import FilterModule

PASSPHRASES = {"database_passphrase": "of the database", "files_passphrase": "of files"}
REPOSITORY = {
    "name": "first",
    "endpoint": "s3.example.org",
    "region": "eu-1",
    "bucket": "backups",
    "append": {"key": "A", "secret": "cannot delete"},
    "full": {"key": "F", "secret": "can delete"},
}
SETS = [
    {"name": "hosts", "group": "all", "paths": ["/etc"]},
    {"name": "redis", "group": "cache", "paths": ["/var/tmp/redis.rdb"], "redis_dump": "/var/tmp/redis.rdb"},
]


def of(host: str, repository: dict[str, Any] = REPOSITORY, **more: Any) -> dict[str, Any]:
    duties = FilterModule().filters()["backup_duties"]
    groups = {"all": ["c", "D.test", "e"], "cache": ["c"], "others": ["c", "D.test"]}
    found: dict[str, Any] = duties([repository], host, groups, **{**PASSPHRASES, "sets": SETS, **more})
    return found


@pytest.mark.parametrize(("host", "names"), [("c", ["hosts", "redis"]), ("d", ["hosts"])])
def test_host_backs_up_what_its_groups_have(host: str, names: list[str]) -> None:
    found = of(host)["sets"]
    assert [one["name"] for one in found] == names
    assert all(one.keys() == {"name", "paths"} for one in found)


def test_proof_knows_which_file_is_a_dump() -> None:
    assert of("c")["proofs"] == [{"name": "hosts"}, {"name": "redis", "redis_dump": "/var/tmp/redis.rdb"}]


def test_files_go_to_a_path_of_the_hosts_own_by_credentials_that_cannot_delete() -> None:
    assert of("c")["file_repositories"] == [
        {
            "name": "first",
            "url": "s3:https://s3.example.org/backups/files/c",
            "region": "eu-1",
            "key": "A",
            "key_secret": "cannot delete",
            "password": "of files",
        }
    ]


def test_database_goes_by_credentials_whose_backups_expire() -> None:
    assert of("c")["database_repositories"] == [
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


def test_one_host_removes_old_backups_of_all_that_have_any() -> None:
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
            "password": "of files",
        }
        for name, host in (("c-first", "c"), ("d-test-first", "D.test"))
    ]


def test_host_in_place_of_a_lost_one_finds_that_ones_backups() -> None:
    found = of("new", name="c")
    assert found["name"] == "c"
    assert found["file_repositories"][0]["url"].endswith("/files/c")


def test_bucket_can_be_shared_below_a_path() -> None:
    found = of("c", {**REPOSITORY, "path": "/staging"})
    assert found["database_repositories"][0]["path"] == "/staging/database"
    assert found["file_repositories"][0]["url"] == "s3:https://s3.example.org/backups/staging/files/c"
