"""The summary names addresses, changes, failures, warnings and the next command."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.model import topology
from ansible_collections.vise.platform.plugins.plugin_utils import run_summary
from ansible_collections.vise.platform.plugins.plugin_utils.run_summary import Failure, Run, Service

INVENTORY = "-i inventories/production"
PLAN = topology.Topology(
    {
        "docs": {"domain": "docs.test", "group": "docs"},
        "lost": {"domain": "lost.test", "group": "docs", "entrance": "none"},
    },
    {},
    {"edge": ["web-1"], "docs": ["web-1"], "database": ["db-1"], "cache": ["db-1"], "mail": ["mail-1"]},
    {"web-1": {}, "db-1": {"internal_addresses": ["fd00::5"]}, "mail-1": {}},
)


def lines(run: Run, services: list[Service] | None = None) -> list[str]:
    """Return the lines of a summary."""
    return run_summary.format_summary(run, services or []).splitlines()


def test_run_without_change_names_what_runs_and_the_status() -> None:
    run = Run(INVENTORY, seconds=65.2, hosts=["a", "b"])
    assert lines(run, [Service("docs", "https://docs.test/", "status 200 at 192.0.2.1")]) == [
        "SUMMARY -i inventories/production: 2 hosts, 0 changes, 1 min 5 s",
        "",
        "Runs:",
        "  docs  https://docs.test/  status 200 at 192.0.2.1",
        "",
        "Changed:",
        "  nothing",
        "",
        "Next:",
        "  ansible-playbook -i inventories/production vise.platform.status  (backups, proofs, certificates, updates)",
    ]


def test_changes_are_counted_by_host_and_role() -> None:
    run = Run(INVENTORY, hosts=["a", "b"])
    for host, part in (("a", "nginx"), ("a", "nginx"), ("b", "backup_verify")):
        run.record_change(host, part)
    text = lines(run)
    assert "2 hosts, 3 changes" in text[0]
    assert text[text.index("Changed:") + 1 :][:2] == ["  a  nginx (2)", "  b  backup_verify"]
    assert "systemctl start vise-backup-verify, on b" in text[-2]


def test_failed_run_names_host_task_and_how_to_go_on() -> None:
    run = Run(INVENTORY, hosts=["a", "b", "c"])
    run.failures = dict.fromkeys(("a", "b"), Failure("Mail", "mailcow : Start mailcow", "port 25 is in use"))
    text = lines(run, [Service("docs", "https://docs.test/")])
    assert "2 FAILED" in text[0]
    assert text[2:6] == [
        "Failed:",
        "  a, b: Mail, task `mailcow : Start mailcow`",
        "    port 25 is in use",
        "  without a failure: c; stages after the failed one may not have run there",
    ]
    assert "Runs:" not in text
    assert "  ansible-playbook -i inventories/production vise.platform.site" in text
    assert text[-1].endswith("vise.platform.check")


def test_check_mode_plans_and_names_the_real_run() -> None:
    run = Run(INVENTORY, check_mode=True, hosts=["a"])
    run.record_change("a", "nginx")
    text = lines(run, [Service("docs", "https://docs.test/")])
    assert text[0].startswith("SUMMARY (check mode) -i inventories/production: 1 host, 1 change planned")
    assert "Would change:" in text
    assert "Runs:" not in text
    assert text[-1] == "  ansible-playbook -i inventories/production vise.platform.site"


def test_each_warning_is_shown_once_with_its_hosts() -> None:
    run = Run(hosts=["a", "b"])
    for host in ("a", "b", "a"):
        run.record_warning(host, "the first\n backup still runs")
    assert "  - a, b: the first backup still runs" in lines(run)


def test_many_warnings_are_counted() -> None:
    run = Run(hosts=["a"])
    for number in range(12):
        run.record_warning("a", f"warning {number}")
    assert "  - 4 more, in the output above" in lines(run)


def test_services_follow_from_the_description() -> None:
    run = Run()
    run.record_probe({"url": "https://docs.test/", "address": "192.0.2.1", "status": 200, "problem": ""})
    run.record_probe({"url": "https://docs.test/", "address": "2001:db8::1", "skipped": True, "problem": "x"})
    assert run_summary.list_services(PLAN, ["shop"], ["shop"], "mail.test", run) == [
        Service("docs", "https://docs.test/", "status 200 at 192.0.2.1; no route at 2001:db8::1"),
        Service("database shop", "[fd00::5]:6432", "pooled; direct [fd00::5]:5432; on db-1"),
        Service("cache shop", "[fd00::5]:6379", "TLS; on db-1"),
        Service("mail", "mail.test", "IMAP 993, submission 465; on mail-1"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("site.yml", "", True),
        ("baseline.yml", "", False),
        ("mine.yml", "- name: Own\n  ansible.builtin.import_playbook: vise.platform.site\n", True),
        ("mine.yml", "- hosts: all\n", False),
    ],
)
def test_only_a_run_of_the_whole_platform_has_a_summary(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    assert run_summary.is_converge(str(tmp_path / name), text, tmp_path) == expected
