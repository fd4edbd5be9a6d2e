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
