"""Jobs of sets and repositories, and what cannot be one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.restic_jobs import restic_jobs

SCHEDULES = {"backup": "02:00", "check": "05:00", "prune": "Sun 07:00"}
FILES: dict[str, Any] = {"name": "files", "paths": ["/srv/files"]}


def repository(name: str, **other: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": "s3:https://s3/b/p",
        "key": "AK",
        "key_secret": "hidden",
        "password": "hidden",
        **other,
    }


def test_each_set_goes_to_each_repository_and_each_is_checked() -> None:
    jobs = restic_jobs(
        [FILES, {**FILES, "name": "mail", "schedule": "hourly"}], [repository("a"), repository("b")], [], SCHEDULES
    )
    assert [(job["unit"], job["schedule"]) for job in jobs] == [
        ("restic-backup@files:a", "02:00"),
        ("restic-backup@files:b", "02:00"),
        ("restic-backup@mail:a", "hourly"),
        ("restic-backup@mail:b", "hourly"),
        ("restic-check@a", "05:00"),
        ("restic-check@b", "05:00"),
    ]


def test_prune_is_there_for_what_is_named_of_whichever_host() -> None:
    jobs = restic_jobs([], [repository("a")], [repository("a"), repository("other-a")], SCHEDULES)
    assert [job["unit"] for job in jobs] == ["restic-check@a", "restic-prune@a", "restic-prune@other-a"]


@pytest.mark.parametrize(
    ("sets", "repositories", "pruned", "says"),
    [
        ([{**FILES, "name": "a:b"}], [], [], "'a:b': small letters"),
        ([FILES, FILES], [], [], "'files' is there twice"),
        ([{**FILES, "name": "check"}], [], [], "taken by a job"),
        ([{**FILES, "paths": []}], [], [], "no paths"),
        ([{**FILES, "paths": ["/"]}], [], [], "'/' is no absolute path"),
        ([{**FILES, "paths": ["srv"]}], [], [], "'srv' is no absolute path"),
        ([{**FILES, "paths": ["/srv/"]}], [], [], "'/srv/' is no absolute path"),
        ([{**FILES, "paths": ["/srv/../etc"]}], [], [], "no absolute path"),
        ([], [repository("a", url="s3:http://s3/b")], [], "url must be as s3:https"),
        ([], [repository("a", url="s3:https://me:hidden@s3/b")], [], "url must be as s3:https"),
        ([], [repository("a", key_secret="")], [], "key_secret is empty"),
        ([], [], [repository("a", key="")], "restic_prune_repositories: a: key is empty"),
        ([], [], [repository("a"), repository("a")], "restic_prune_repositories: 'a' is there twice"),
    ],
)
def test_what_cannot_work_is_refused_without_a_secret(
    sets: list[dict[str, Any]], repositories: list[dict[str, Any]], pruned: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=says) as refused:
        restic_jobs(sets, repositories, pruned, SCHEDULES)
    assert "hidden" not in str(refused.value)
