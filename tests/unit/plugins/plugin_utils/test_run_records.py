"""Records of runs: who changed what, from which commit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ansible_collections.vise.platform.plugins.plugin_utils import run_records

LEASE = {"who": "alice", "origin": "laptop", "command": "site.yml"}


def test_changed_tasks_are_listed_once_by_host(tmp_path: Path) -> None:
    assert run_records.read_changes(tmp_path) == {}
    for host, task in (("a", "nginx : Configure"), ("b", "x"), ("a", "nginx : Configure"), ("a", "y")):
        run_records.note_change(tmp_path, host, task)
    assert run_records.read_changes(tmp_path) == {"a": ["nginx : Configure", "y"], "b": ["x"]}


def test_record_has_the_commit_of_the_description(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.test"]
    assert run_records.build(LEASE, str(tmp_path), {})["commit"] == ""
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "hosts.yml").write_text("")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert run_records.build(LEASE, str(tmp_path), {})["commit"] == head
    (tmp_path / "hosts.yml").write_text("changed")
    assert run_records.build(LEASE, str(tmp_path), {})["commit"] == f"{head}-dirty"


def test_record_is_written_where_the_run_was_started(tmp_path: Path) -> None:
    record = run_records.build(LEASE, str(tmp_path), {"a": ["x"]})
    path = run_records.write(tmp_path, record)
    assert path.parent == tmp_path / "reports/runs"
    content = json.loads(path.read_text())
    assert (content["who"], content["from"], content["playbook"]) == ("alice", "laptop", "site.yml")
    assert content["changed"] == {"a": ["x"]}
