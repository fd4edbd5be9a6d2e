"""Proofs of a configuration, refused settings, and secrets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import settings
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import Settings

DUMP = {"name": "redis", "redis_dump": "/var/tmp/redis.rdb"}
FIRST = {"name": "a", "url": "s3:https://a/b", "key": "access-1", "key_secret": "secret-1", "password": "password-1"}
SECOND = {**FIRST, "name": "b", "region": "eu"}
PLAIN = {
    "user": "verify",
    "scratch": "/var/lib/vise/backup-verify",
    "reports": "/var/lib/vise/reports/restores",
    "metrics": "/var/lib/prometheus/node-exporter",
    "keep_reports": 26,
    "rpo_seconds": 3600,
    "pgbackrest_config": "/etc/pgbackrest/pgbackrest.conf",
    "pgbackrest_stanza": "main",
    "pgbackrest_repositories": [],
    "pgbackrest_yearly": [],
    "postgresql_settings": {},
    "restic_host": "",
    "restic_sets": [{"name": "files"}, DUMP],
    "restic_ca_file": "",
    "restic_age_seconds": 129600,
    "restic_parts": 4,
}
CONFIG = """
[global]
repo1-path=/pgbackrest
repo1-s3-key=first-access-key
repo1-s3-key-secret=first-secret
repo1-s3-key-type=shared
repo3-cipher-pass = third-pass
compress-type=zst
"""


def build_settings(restic: list[dict[str, str]] | None = None, **further: Any) -> Settings:
    return Settings.from_json({**PLAIN, **further}, [FIRST, SECOND] if restic is None else restic)


def test_settings_of_the_role_are_valid() -> None:
    assert settings.find_problems(build_settings()) == []


@pytest.mark.parametrize(
    ("further", "expected"),
    [
        ({"scratch": "/var/lib/postgresql/17/scratch"}, "which contains live data"),
        ({"scratch": "/var/lib/postgresql"}, "which contains live data"),
        ({"scratch": "/etc/vise/scratch"}, "which contains live data"),
        ({"scratch": "/srv"}, "three levels deep"),
        ({"scratch": "var/lib/vise/scratch"}, "absolute path"),
        ({"scratch": "/var/lib/vise/../postgresql"}, "absolute path"),
        ({"restic_parts": 0}, "1 or more"),
        ({"keep_reports": 0}, "1 or more"),
        ({"restic": [FIRST, FIRST]}, "repository a is listed twice"),
        ({"restic_sets": [DUMP, DUMP]}, "set redis is listed twice"),
        ({"restic_sets": []}, "no restic_sets to restore"),
        ({"restic": [{**FIRST, "name": 'a"b'}]}, "letters, digits"),
        ({"restic_sets": [{"name": "../x"}]}, "letters, digits"),
    ],
)
def test_invalid_settings_are_refused(further: dict[str, Any], expected: str) -> None:
    (problem,) = settings.find_problems(build_settings(**further))
    assert expected in problem


def test_directory_next_to_live_data_is_allowed() -> None:
    assert settings.find_problems(build_settings(scratch="/var/lib/postgresql-scratch")) == []


@pytest.mark.parametrize(
    ("further", "only", "expected"),
    [
        ({}, "", ["postgresql 1", "postgresql 3", "restic a", "restic b", "redis a", "redis b"]),
        ({}, "redis", ["redis a", "redis b"]),
        ({"restic_sets": [{"name": "files"}]}, "redis", []),
        ({"pgbackrest_repositories": [3]}, "postgresql", ["postgresql 3"]),
        ({"pgbackrest_config": ""}, "postgresql", []),
        ({"restic": []}, "", ["postgresql 1", "postgresql 3"]),
        ({"pgbackrest_yearly": ["/a.conf", "/b.conf"]}, "yearly", ["yearly 1", "yearly 2"]),
    ],
)
def test_targets_are_all_configured_proofs(further: dict[str, Any], only: str, expected: list[str]) -> None:
    assert [
        f"{proof} {name}" for proof, name in settings.list_targets(build_settings(**further), CONFIG, only)
    ] == expected


def test_configuration_without_numbers_has_repository_1() -> None:
    assert settings.list_repositories(build_settings(), "[global]\n") == [1]


def test_secrets_are_found() -> None:
    words = settings.find_secrets(build_settings(), CONFIG)
    assert words == {"first-access-key", "first-secret", "third-pass", "access-1", "secret-1", "password-1"}
