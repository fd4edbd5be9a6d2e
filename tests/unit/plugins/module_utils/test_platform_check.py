"""All results are one list, and each step of the initial set-up is done, missing with a command, or to look at."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import platform_check
from ansible_collections.vise.platform.plugins.module_utils.platform_check import Item, SetUp, Step

RUN = "ansible-playbook -i x"
ROW = {"state": "running", "certificate_days": 60, "backup_seconds": None, "proof_seconds": None}


def row(name: str, **change: Any) -> dict[str, Any]:
    """Return the row of a service."""
    return {"name": name, **ROW, **change}


def steps(*rows: dict[str, Any], items: tuple[Item, ...] = (), **change: Any) -> dict[str, Step]:
    """Return the steps of a platform with one host that has these services."""
    values: dict[str, Any] = {
        "items": items,
        "hosts": ["a"],
        "unreached": [],
        "statuses": {"a": {"services": list(rows), "findings": []}},
        "has_token": True,
        "has_workflows": False,
        "run": RUN,
    }
    return {step.title: step for step in platform_check.walk_set_up(SetUp(**{**values, **change}))}


def test_new_host_lacks_each_step_with_its_command() -> None:
    found = steps(row("nginx", state="missing", certificate_days=None), row("redis", state="missing"))
    expected = {
        "Configure the firewall": "baseline",
        "Set up SSH keys and accounts": "baseline",
        "Issue the certificates": "edge",
        "Deploy nginx": "edge",
        "Deploy databases and caches": "data",
    }
    for title, stage in expected.items():
        assert found[title] == Step(title, "missing", f"a: {RUN} vise.platform.{stage}")
    assert found["Set up the backups"].state == "missing"
    assert found["Install Docker"] == Step("Install Docker", "done", "the description does not need it")


def test_complete_platform_is_done() -> None:
    items = (Item("DNS", "ok", ""), Item("Cloudflare", "ok", ""), Item("preflight", "ok", ""))
    rows = [row(name) for name in ("ssh", "firewall", "docker", "nginx", "pgbouncer", "redis", "mailcow")]
    rows.append(row("postgresql-17", backup_seconds=60, proof_seconds=60))
    found = steps(*rows, items=items, has_workflows=True)
    look = {"Deploy applications", "Set up monitoring", "Run the smoke tests", "Store the credentials"}
    assert {title for title, step in found.items() if step.state != "done"} == look


@pytest.mark.parametrize(
    ("change", "title", "state", "text"),
    [
        ({"unreached": ["b"]}, "Provision the servers", "missing", "not reached: b"),
        ({"has_token": False}, "Set up Cloudflare and the DNS", "look", "vise.platform.publish_dns --check"),
        ({"items": (Item("Cloudflare", "problem", ""),)}, "Set up Cloudflare and the DNS", "missing", "see Cloudflare"),
        ({"items": (Item("DNS", "problem", "cannot be resolved"),)}, "Register the domain", "missing", "name servers"),
        ({"items": (Item("DNS", "problem", "records are missing: x"),)}, "Register the domain", "done", ""),
        ({"items": (Item("DNS", "unknown", ""),)}, "Register the domain", "look", "name servers"),
        (
            {"items": (Item("preflight", "problem", ""),) * 2},
            "Configure variables and secrets",
            "missing",
            "2 problems",
        ),
        ({"statuses": {}}, "Deploy nginx", "look", "no host was reached"),
    ],
)
def test_state_of_a_step(change: dict[str, Any], title: str, state: str, text: str) -> None:
    found = steps(**change)[title]
    assert found.state == state
    assert text in found.text


def test_placeholder_is_no_certificate() -> None:
    finding = {"service": "nginx", "text": "a placeholder, no certificate of an authority, is presented at docs"}
    statuses = {"a": {"services": [row("nginx")], "findings": [finding]}}
    assert steps(statuses=statuses)["Issue the certificates"].state == "missing"


def test_backup_without_a_proof_is_missing() -> None:
    found = steps(row("postgresql-17", backup_seconds=60))["Set up the backups"]
    assert (found.state, "vise-backup-verify" in found.text) == ("missing", True)


def test_check_of_several_hosts_is_one_item() -> None:
    one = {"area": "ACME", "state": "problem", "text": "no answer", "remedy": "open it"}
    results: dict[str, dict[str, Any]] = {
        "a": {"checks": [one]},
        "b": {"checks": [one]},
        "c": {"unreachable": True},
        "d": {"msg": "no memory"},
    }
    assert platform_check.list_host_checks(results) == [Item("ACME", "problem", "a, b: no answer", "open it")]
    assert platform_check.list_failed_checks(results) == [
        Item("host", "unknown", "d: its checks did not run: no memory", "correct the cause")
    ]


@pytest.mark.parametrize(
    ("results", "has_token", "states"),
    [
        ([], False, ["note"]),
        ([{"item": "a.test"}], True, ["ok"]),
        ([{"item": "a.test", "failed": False, "msg": "the token lacks Zone / DNS / Edit"}], True, ["problem"]),
        ([{"item": "a.test", "warnings": ["the zone is pending"]}, {"item": "b.test"}], True, ["problem", "ok"]),
    ],
)
def test_zone_at_cloudflare(results: list[dict[str, Any]], has_token: bool, states: list[str]) -> None:
    assert [item.state for item in platform_check.list_zones(results, has_token)] == states


@pytest.mark.parametrize(
    ("result", "has_token", "state", "text"),
    [
        ({"servers": {}}, True, "ok", "all name servers"),
        ({}, True, "note", "no zone"),
        (
            {"msg": "missing answers after 0.1 s:\nA x at y: empty"},
            True,
            "note",
            "records are missing: A x at y: empty",
        ),
        ({"msg": "missing answers after 0.1 s:\n" + "A\n" * 9}, False, "problem", "A; A; A; A; and 5 more"),
        ({"msg": "a.test: the name servers cannot be resolved: NXDOMAIN"}, True, "problem", "NXDOMAIN"),
        ({"msg": "a.test: this machine has no route to any of the name servers"}, True, "unknown", "no route"),
        ({"msg": "'vault_x' is undefined", "failed": True}, True, "unknown", "vault_x"),
    ],
)
def test_name_servers(result: dict[str, Any], has_token: bool, state: str, text: str) -> None:
    (item,) = platform_check.list_names(result, has_token)
    assert item.state == state
    assert text in item.text


def test_problems_come_first_and_each_has_its_remedy() -> None:
    items = [Item("time", "ok", "fine"), Item("DNS", "unknown", "dark"), Item("ACME", "problem", "closed", "open it")]
    text = platform_check.format_text(items, [Step("Deploy nginx", "missing", "run it"), Step("Look", "look")])
    assert text.splitlines() == [
        "CHECK: 1 problems, 1 not checkable, 1 ok",
        "",
        "Problems:",
        "- ACME: closed",
        "    open it",
        "",
        "Not checkable:",
        "- DNS: dark",
        "",
        "ok:",
        "- time: fine",
        "",
        "Initial set-up:",
        "  missing  Deploy nginx  run it",
        "  look     Look",
    ]
    document = platform_check.build_document(items, [])
    assert (document["ok"], document["problems"]) == (False, 1)
