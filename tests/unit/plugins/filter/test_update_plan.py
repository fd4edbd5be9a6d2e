"""The plan of updates of all hosts, and what is refused before the first one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.filter.update_plan import FilterModule, update_plan

OPENSSL = {"name": "openssl", "from": "1", "to": "2", "security": True, "foreign": ""}
GRAFANA = {"name": "grafana", "from": "12.0", "to": "12.1", "security": False, "foreign": "grafana stable"}
NEW = {"name": "linux-image-6.12", "from": "", "to": "6.12", "security": False, "foreign": ""}
NOTHING: dict[str, Any] = {"held": [], "kept": [], "unfinished": [], "lock_holder": 0, "kernel": False, "reboot": []}
DOWN = {"service": "nginx", "text": "nginx.service is failed", "remedy": "journalctl -u nginx", "note": False}


def host(*updates: dict[str, Any], findings: Any = (), mailcow: str = "", **plan: Any) -> dict[str, Any]:
    found = {**NOTHING, "updates": list(updates), "list_hours": 1, "problems": [], **plan}
    status = {"status": {"findings": list(findings)}} if findings is not None else {"msg": "no answer"}
    return {"updates_of_host": {"plan": found}, "status_of_host": status, "mailcow_of_host": {"stdout": mailcow}}


def test_each_package_is_listed_with_versions_security_and_its_archive() -> None:
    assert update_plan({"a": host(OPENSSL, GRAFANA, NEW), "b": host()}, ["a", "b"])["lines"] == [
        "a: 3 updates of packages, 1 for security",
        "a:   openssl 1 -> 2 (security)",
        "a:   grafana 12.0 -> 12.1 (from grafana stable)",
        "a:   linux-image-6.12 new, 6.12",
        "b: no updates of packages, none for security",
    ]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"held": ["redis"]}, "on hold, stays: redis; to update it, run `apt-mark unhold`"),
        ({"kept": ["php8.4"]}, "kept back by apt, stays: php8.4; it needs the removal of others"),
        ({"unfinished": ["nginx"]}, "dpkg was interrupted; the update completes nginx first"),
        ({"lock_holder": 7}, "process 7 uses dpkg now; the update waits"),
        ({"kernel": True}, "a new kernel, which needs a reboot: -e update_reboot=true"),
        ({"reboot": ["kernel 2 is installed"]}, "a reboot is required already: kernel 2 is installed"),
        ({"problems": ["/ is full"]}, "cannot be updated: / is full"),
        ({"list_hours": 30}, "; its lists are 30 hours old"),
    ],
)
def test_obstacle_is_named_before_anything_changes(plan: dict[str, Any], text: str) -> None:
    assert text in " ".join(update_plan({"a": host(**plan)}, ["a"])["lines"])


@pytest.mark.parametrize(
    ("chosen", "updated"), [([], []), (["b"], ["b"]), (["all"], ["a", "b"]), (["b", "a"], ["a", "b"])]
)
def test_only_chosen_hosts_are_updated(chosen: list[str], updated: list[str]) -> None:
    found = update_plan({"a": host(OPENSSL), "b": host()}, ["a", "b"], chosen)
    assert (found["updated"], found["problems"]) == (updated, [])


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (host(problems=["/ has 1 MB free"]), "a: / has 1 MB free"),
        (host(findings=[DOWN]), "a: nginx: nginx.service is failed; journalctl -u nginx"),
        (host(findings=None), "a: host: no answer; run status.yml on this host"),
    ],
)
def test_host_with_an_obstacle_is_refused_only_when_it_is_chosen(one: dict[str, Any], problem: str) -> None:
    assert update_plan({"a": one}, ["a"], ["all"])["problems"] == [problem]
    assert update_plan({"a": one, "b": host()}, ["a", "b"], ["b"])["problems"] == []


def test_note_does_not_prevent_an_update_and_a_finding_can_be_accepted() -> None:
    assert update_plan({"a": host(findings=[{**DOWN, "note": True}])}, ["a"], ["a"])["problems"] == []
    assert update_plan({"a": host(findings=[DOWN])}, ["a"], ["a"], accept_findings=True)["problems"] == []


def test_unknown_host_is_refused_with_the_known_ones() -> None:
    assert update_plan({"a": host()}, ["a"], ["b"])["problems"] == ["b is not a host of this run; its hosts are a"]


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            '{"release": "2026-05", "upgrade": {}}',
            "a: mailcow runs 2026-05, and the description has 2026-07a: run upgrade_",
        ),
        ('{"release": "2026-07a"}', "a: mailcow runs 2026-07a, as the description wants"),
        ("", "a: no updates"),
    ],
)
def test_release_of_mailcow_is_compared_with_the_description(output: str, line: str) -> None:
    assert update_plan({"a": host(mailcow=output)}, ["a"], mail_release="2026-07a")["lines"][-1].startswith(line)


def test_filter_is_known() -> None:
    assert list(FilterModule().filters()) == ["update_plan"]
