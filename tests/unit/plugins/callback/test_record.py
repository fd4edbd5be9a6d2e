"""Runs of ansible-playbook: which leave a record, and what it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
MARK = "# ansible.builtin.import_playbook: vise.platform.site\n"
CHANGE = {"name": "Change it", "ansible.builtin.debug": {"msg": "{{ secret }}"}, "changed_when": True}
FAILURE = {"name": "Break it", "ansible.builtin.fail": {"msg": "no"}}


def run(folder: Path, tasks: list[dict[str, Any]], *options: str, mark: str = MARK) -> list[dict[str, Any]]:
    """Run tasks on a host; return the records."""
    play = {"hosts": "all", "gather_facts": False, "vars": {"secret": "canary-4b1d"}, "tasks": tasks}
    play["serial"] = "{{ batch | default(0) }}"
    (folder / "play.yml").write_text(mark + yaml.safe_dump([play]))
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        *(options if "-i" in options else ["-i", "a,", *options]),
        "-c",
        "local",
        "play.yml",
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SUDO_USER": "alice"}
    subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
    return [json.loads(path.read_text()) for path in (folder / "reports/runs").glob("*")]


@pytest.mark.parametrize("tasks", [[CHANGE], [CHANGE, FAILURE]])
def test_run_that_changed_something_leaves_a_record_without_values(tmp_path: Path, tasks: list[dict[str, Any]]) -> None:
    (record,) = run(tmp_path, tasks)
    assert (record["who"], record["playbook"], record["changed"]) == ("alice", "play.yml", {"a": ["Change it"]})
    assert "canary" not in json.dumps(record)


@pytest.mark.parametrize(
    ("tasks", "options", "mark"),
    [([FAILURE], [], MARK), ([CHANGE], ["--check"], MARK), ([CHANGE], [], ""), ([CHANGE], ["-i", "localhost,"], MARK)],
)
def test_other_runs_leave_none(tmp_path: Path, tasks: list[dict[str, Any]], options: list[str], mark: str) -> None:
    assert run(tmp_path, tasks, *options, mark=mark) == []


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """Return an interpreter of the host that notes which module it got and succeeds."""
    path = tmp_path / "python"
    names = r"vise\.platform\.run_[a-z]*"
    path.write_text(f"#!/bin/sh\ngrep -ao '{names}' | head -n 1 >>{tmp_path}/executed\necho '{{\"changed\": false}}'\n")
    path.chmod(0o700)
    return path


LEASE = {"name": "Take it", "vise.platform.run_lease": None}
END = {"name": "End it", "vise.platform.run_record": None}


@pytest.mark.parametrize(
    ("tasks", "options", "executed"),
    [
        ([LEASE], [], ["run_lease", "run_record"]),
        ([LEASE, FAILURE], [], ["run_lease", "run_record"]),
        ([LEASE, FAILURE], ["--start-at-task", "Take it"], ["run_lease", "run_record"]),
        ([{**LEASE, "tags": "x"}, FAILURE], ["--tags", "x"], ["run_lease", "run_record"]),
        ([LEASE, END, FAILURE], [], ["run_lease", "run_record"]),
        ([LEASE, FAILURE], ["--check"], []),
        ([FAILURE], [], []),
    ],
)
def test_lease_ends_with_its_run(
    tmp_path: Path, interpreter: Path, tasks: list[dict[str, Any]], options: list[str], executed: list[str]
) -> None:
    run(tmp_path, tasks, "-e", f"ansible_python_interpreter={interpreter}", *options)
    found = tmp_path / "executed"
    assert (
        [line.rpartition(".")[2] for line in found.read_text().split()] == executed if executed else not found.exists()
    )


@pytest.mark.parametrize(("batch", "count"), [(0, 3), (1, 2)])
def test_leases_of_all_hosts_end_when_one_host_fails(tmp_path: Path, interpreter: Path, batch: int, count: int) -> None:
    failure = {**FAILURE, "when": "inventory_hostname == 'b'"}
    (tmp_path / "hosts").write_text("a\nb\nc\n")
    options = ["-i", "hosts", "-e", f"ansible_python_interpreter={interpreter}", "-e", f"batch={batch}"]
    run(tmp_path, [LEASE, failure], *options)
    assert (tmp_path / "executed").read_text().split().count("vise.platform.run_record") == count
