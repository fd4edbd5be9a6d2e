"""The report has all results of a check, also when some of them are missing."""

from __future__ import annotations

from typing import Any

from ansible_collections.vise.platform.plugins.filter.check_report import FilterModule

check_report = FilterModule().filters()["check_report"]
CHECK = {"area": "time", "state": "ok", "text": "the clocks agree", "remedy": ""}


def test_all_results_are_joined() -> None:
    hostvars: dict[str, Any] = {
        "a": {
            "__preflight": {"problems": [{"text": "vault_x (vault.yml): is missing; write it", "of_host": False}]},
            "check_of_host": {"checks": [CHECK]},
            "status_of_host": {"status": {"services": [], "findings": []}},
        },
        "b": {
            "__preflight": {"unreachable": True, "msg": "no route to host"},
            "check_of_host": {"unreachable": True},
            "status_of_host": {"unreachable": True},
        },
    }
    report = check_report(
        hostvars, ["a", "b"], names={"msg": "a.test: the name servers cannot be resolved"}, sources=["x"]
    )
    text = report["text"]
    assert "- preflight: a: vault_x (vault.yml): is missing; write it" in text
    assert "- preflight: b: cannot be reached: no route to host" in text
    assert "- time: a: the clocks agree" in text
    assert "- DNS: a.test: the name servers cannot be resolved" in text
    assert "missing  Provision the servers            not reached: b" in text
    assert "ansible-playbook -i x vise.platform.baseline" in text
    assert report["document"]["ok"] is False
    assert report["document"]["problems"] == 3


def test_host_without_problems_is_ok() -> None:
    hostvars = {"a": {"__preflight": {"problems": []}, "check_of_host": {"checks": [CHECK]}}}
    report = check_report(hostvars, ["a"])
    assert report["document"]["ok"] is True
    assert "- preflight: description, inventory, secrets" in report["text"]
