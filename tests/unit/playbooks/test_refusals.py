"""Refusals of playbooks before any change, on unreachable hosts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import collection

# Connections are refused at once, so that no host could be changed.
NOWHERE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
GROUPS: dict[str, dict[str, dict[str, dict[str, str]]]] = {
    "database": {"hosts": {"db-1": {}}},
    "database_standby": {"hosts": {"db-2": {}}},
}


def inventory(path: Path, name: str, **variables: object) -> str:
    file = path / f"{name}.json"
    file.write_text(json.dumps({"all": {"vars": {**NOWHERE, **variables}, "children": GROUPS}}))
    return str(file)


def refused(playbook: str, *arguments: str) -> str:
    """Run a playbook, which must fail; return its output without line breaks."""
    command = ["ansible-playbook", f"playbooks/{playbook}.yml", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(collection.ROOT / "ansible.cfg")}
    done = subprocess.run(command, cwd=collection.ROOT, env=environment, capture_output=True, text=True, check=False)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, output
    return output


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ([{}], "db-1, db-2 may not be overwritten"),
        # The stages would run on the first only.
        ([{}, {"drill_hosts_may_be_wiped": True}], "this run has more than one inventory"),
    ],
)
def test_drill_refuses_hosts_that_are_not_for_drills(
    variables: list[dict[str, object]], reason: str, tmp_path: Path
) -> None:
    inventories = [f"--inventory={inventory(tmp_path, str(number), **one)}" for number, one in enumerate(variables)]
    reports = tmp_path / "reports"
    output = refused("drill", *inventories, "--extra-vars", json.dumps({"drill_reports": str(reports)}))
    assert reason in output
    assert "drill_hosts_may_be_wiped: true" in output
    assert not reports.exists()


@pytest.mark.parametrize(
    ("playbook", "reported"),
    [
        ("preflight", ["db-1, db-2: cannot be reached: ", "vault_database_replication (", "vault_backup_first_key ("]),
        (
            "check",
            [
                "- preflight: db-1, db-2: cannot be reached: ",
                "preflight: vault_database_replication (",
                "not reached: db-1, db-2",
            ],
        ),
        (
            "status",
            ["db-1: NOT REACHED db-2: NOT REACHED", "Needs attention (2):", "- db-2, host: cannot be reached: "],
        ),
    ],
)
def test_hosts_that_are_not_reached_are_reported(playbook: str, reported: list[str], tmp_path: Path) -> None:
    path = inventory(tmp_path, "hosts", dns_zones=[])
    output = refused(playbook, f"--inventory={path}")
    assert [text for text in reported if text not in output] == []


@pytest.mark.parametrize(
    ("groups", "missing"),
    [
        (["database", "cache", "mail"], set()),
        (["database"], {"mail", "restore the configuration", "restore the caches", "restore mail"}),
        (["cache"], {"restore the databases", "measure the loss", "mail"}),
    ],
)
def test_drill_skips_stages_of_groups_without_hosts(groups: list[str], missing: set[str], tmp_path: Path) -> None:
    [play] = yaml.safe_load((collection.ROOT / "playbooks/drill.yml").read_text())
    report = {key: play[key] for key in ("name", "hosts", "connection", "gather_facts", "roles", "vars")}
    for part in ("all", "due"):
        names = f"{{{{ {'drill' if part == 'all' else part}_stages | map(attribute='name') }}}}"
        report.setdefault("tasks", []).append(
            {"ansible.builtin.copy": {"content": names, "dest": str(tmp_path / part)}}
        )
    (tmp_path / "play.json").write_text(json.dumps([report]))
    children: dict[str, dict[str, Any]] = {group: {"hosts": {"host-1": {}}} for group in groups}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"children": {**children, "edge": {}}}}))
    command = ["ansible-playbook", "--inventory", str(tmp_path / "hosts.json"), str(tmp_path / "play.json")]
    done = subprocess.run(command, cwd=collection.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    every, due = (json.loads((tmp_path / part).read_text()) for part in ("all", "due"))
    assert missing <= set(every) - set(due)
    assert bool(missing) == (every != due)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--extra-vars=standby_host=db2"],
            "db2 is not a host of group database_standby of the inventory; did you mean db-2?",
        ),
        (["--limit=db-1"], "db-2 did not report that it can be promoted"),
    ],
)
def test_primary_is_not_fenced_for_a_standby_that_was_not_queried(
    arguments: list[str], reason: str, tmp_path: Path
) -> None:
    output = refused("promote_standby", f"--inventory={inventory(tmp_path, 'hosts')}", *arguments)
    assert reason in output
    assert "-e standby_host=" in output
    assert "Stop the old primary" not in output


def test_primary_stays_fenced_while_a_standby_cannot_be_queried(tmp_path: Path) -> None:
    output = refused("unfence_primary", f"--inventory={inventory(tmp_path, 'hosts')}")
    assert "db-2 cannot be queried, or is no longer a standby" in output
    assert "TASK [Remove the fence and start the primary]" not in output


def test_drill_inspects_a_platform_without_databases_and_caches(tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"children": {"edge": {}}}}))
    found = tmp_path / "found.json"
    options = ["--inventory", str(tmp_path / "hosts.json"), "--extra-vars", json.dumps({"drill_found": str(found)})]
    command = ["ansible-playbook", *options, "playbooks/drill_check.yml"]
    done = subprocess.run(command, cwd=collection.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(found.read_text())["checks"] == []


MAIL_VAULT = dict.fromkeys(
    [f"vault_mail_{name}" for name in ("api_key", "database", "database_root", "redis", "sogo", "admin")], "x"
)


@pytest.mark.parametrize(
    ("playbook", "options", "message"),
    [
        ("restore_mail", {}, "missing required arguments: restore_replace_live"),
        ("restore_mail", {"restore_replace_live": "db-9"}, "db-9 is not a host of the inventory"),
        ("restore_mail", {"restore_replace_live": "db-1", "restore_snapshop": "1"}, "did you mean restore_snapshot?"),
        ("upgrade_mail", {"mail_upgrade_left": "stay"}, "value of mail_upgrade_left must be one of: keep, revert"),
        ("upgrade_mail", {"mail_upgrade_leaf": "keep"}, "did you mean mail_upgrade_left?"),
        ("probe_mail", {"mail_gate_second": 5}, "did you mean mail_gate_seconds?"),
        ("probe_mail", {"mail_gate_queue_limit": "few"}, "mail_gate_queue_limit"),
        ("probe_mail", {"mail_gate_ports": 0}, "did you mean mail_gate_"),
    ],
)
def test_mail_runbook_with_a_wrong_option_is_refused_with_its_usage(
    playbook: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    hosts = json.loads(Path(inventory(tmp_path, "hosts", domain="example.org", **MAIL_VAULT)).read_text())
    hosts["all"]["children"]["mail"] = {"hosts": {"mail-1": {}}}
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    output = refused(playbook, f"--inventory={tmp_path / 'hosts.json'}", "--extra-vars", json.dumps(options))
    assert "The options are not valid; nothing was changed." in output
    assert message in output
    assert f"playbooks/{playbook}.yml" in output
