"""The report has each host of the play, also one without a result, and commands with the inventory."""

from __future__ import annotations

from typing import Any

from ansible_collections.vise.platform.plugins.filter.status_report import FilterModule

status_report = FilterModule().filters()["status_report"]
FINDING = {"service": "nginx", "text": "nginx is failed", "remedy": "run vise.platform.edge", "note": False}
STATUS: dict[str, Any] = {"host": {"system": "debian 13.1"}, "services": [], "findings": [FINDING]}


def test_hosts_with_and_without_a_result_are_reported() -> None:
    hostvars = {
        "a": {"found": {"status": STATUS}},
        "b": {"found": {"unreachable": True, "msg": "Permission denied (publickey)."}},
        "c": {"found": {"module_stderr": "Traceback: no memory"}},
        "other": {"found": {"status": STATUS}},
    }
    report = status_report(hostvars, ["a", "b", "c"], "found", ["inventories/production"])
    assert list(report["document"]["hosts"]) == ["a", "b", "c"]
    assert "run: ansible-playbook -i inventories/production vise.platform.edge --limit a" in report["text"]
    assert "- b, host: ansible_user: sshd refuses the login (Permission denied (publickey).)" in report["text"]
    assert "- c, host: the status cannot be read: Traceback: no memory" in report["text"]


def test_list_of_hosts_as_an_inventory_is_kept() -> None:
    report = status_report({"a": {"found": {"status": STATUS}}}, ["a"], "found", ["a,"])
    assert "ansible-playbook -i a, vise" in report["text"]
