"""Jobs of sets and repositories, and refused descriptions."""

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


def test_each_set_is_backed_up_to_each_repository_and_each_repository_is_checked() -> None:
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


def test_prune_job_exists_for_each_pruned_repository() -> None:
    jobs = restic_jobs([], [repository("a")], [repository("a"), repository("other-a")], SCHEDULES)
    assert [job["unit"] for job in jobs] == ["restic-check@a", "restic-prune@a", "restic-prune@other-a"]


@pytest.mark.parametrize(
    ("sets", "repositories", "pruned", "message"),
    [
        ([{**FILES, "name": "a:b"}], [], [], "`a:b` is not a valid name; use lower-case letters"),
        ([FILES, FILES], [], [], "'files' is listed twice"),
        ([{**FILES, "name": "check"}], [], [], "`check` is the name of a job"),
        ([{**FILES, "paths": []}], [], [], "paths are missing"),
        ([{**FILES, "paths": ["/"]}], [], [], "'/' must be an absolute path"),
        ([{**FILES, "paths": ["srv"]}], [], [], "'srv' must be an absolute path"),
        ([{**FILES, "paths": ["/srv/"]}], [], [], "'/srv/' must be an absolute path"),
        ([{**FILES, "paths": ["/srv/../etc"]}], [], [], "must be an absolute path"),
        ([], [repository("a", url="s3:http://s3/b")], [], "url must have the form s3:https"),
        ([], [repository("a", url="s3:https://me:hidden@s3/b")], [], "url must have the form s3:https"),
        ([], [repository("a", key_secret="")], [], "key_secret is empty"),
        ([], [], [repository("a", key="")], "restic_prune_repositories: a: key is empty"),
        ([], [], [repository("a"), repository("a")], "restic_prune_repositories: 'a' is listed twice"),
    ],
)
def test_invalid_description_is_refused_without_showing_a_secret(
    sets: list[dict[str, Any]], repositories: list[dict[str, Any]], pruned: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=message) as refused:
        restic_jobs(sets, repositories, pruned, SCHEDULES)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("limit", ["9 parsecs", "", "12 h h", "-1h"])
def test_limit_that_systemd_would_ignore_is_refused(limit: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"restic_limits: check: '.*' is not a time span; write for example"):
        restic_jobs([FILES], [repository("a")], [], SCHEDULES, {"backup": "infinity", "check": limit})


def test_time_spans_of_systemd_are_limits() -> None:
    assert restic_jobs([], [], [], SCHEDULES, {"backup": "1d 2h", "check": "90min", "prune": 3600}) == []
