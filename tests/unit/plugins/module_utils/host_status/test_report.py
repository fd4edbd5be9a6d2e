"""The report shows all hosts, also those that were not reached, and completes the commands."""

from __future__ import annotations

from typing import Any

from ansible_collections.vise.platform.plugins.module_utils.host_status import report

ROW = {
    "name": "nginx",
    "state": "running",
    "version": "1.26.3",
    "certificate_days": 61,
    "backup_seconds": None,
    "proof_seconds": 172800,
    "replication": "",
}
STATUS: dict[str, Any] = {
    "host": {"system": "debian 13.1", "uptime_seconds": 90000, "disks": {"/": 41}, "reboot": [], "updates": None},
    "services": [ROW],
    "findings": [],
}
FINDING = {"service": "nginx", "text": "nginx.service is failed", "remedy": "run vise.platform.edge", "note": False}
RUN = "ansible-playbook -i inventories/production"


def test_host_without_findings_is_a_table() -> None:
    document = report.build_document({"web-1": {"status": STATUS}}, {}, RUN)
    assert document["ok"]
    assert report.format_text(document).splitlines() == [
        "web-1: debian 13.1 · up 25 h · no reboot required · / 41 % used",
        "  service  state    version  certificate  backup  proven   replication",
        "  nginx    running  1.26.3   61 d         -       2 d ago  -",
        "",
        "Nothing needs attention.",
    ]


def test_host_that_is_not_reached_is_a_row_and_needs_attention() -> None:
    results: dict[str, Any] = {"web-1": {"status": STATUS}, "db-1": {"unreachable": True}}
    document = report.build_document(results, {"db-1": "cannot be reached: timed out"}, RUN)
    text = report.format_text(document)
    assert not document["ok"]
    assert "web-1: debian" in text
    assert "db-1: NOT REACHED" in text
    assert "- db-1, host: cannot be reached: timed out" in text


def test_command_of_a_finding_is_complete() -> None:
    document = report.build_document({"web-1": {"status": STATUS | {"findings": [FINDING]}}}, {}, RUN)
    assert document["attention"] == [
        {
            "host": "web-1",
            "service": "nginx",
            "text": "nginx.service is failed",
            "remedy": f"run: {RUN} vise.platform.edge --limit web-1",
        }
    ]


def test_note_does_not_need_attention_and_is_shown() -> None:
    document = report.build_document({"web-1": {"status": STATUS | {"findings": [FINDING | {"note": True}]}}}, {}, RUN)
    assert document["ok"]
    text = report.format_text(document)
    assert "Nothing needs attention.\n\nNotes:\n- web-1, nginx: nginx.service is failed" in text


def test_runbook_has_no_limit() -> None:
    remedy = report.complete_command("run vise.platform.restore_database again", "db-1", RUN)
    assert remedy == f"run: {RUN} vise.platform.restore_database again"
