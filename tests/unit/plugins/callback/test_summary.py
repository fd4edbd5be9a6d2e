"""Runs of ansible-playbook with the summary at the end: which results it has, and when it is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
HOSTS = """
all:
  hosts: {a: {ansible_connection: local}, b: {ansible_connection: local}}
  children: {edge: {hosts: {a: {}}}, docs: {hosts: {a: {}}}, database: {hosts: {b: {}}}}
  vars:
    sites: {docs: {domain: docs.test, group: docs}}
    databases: {shop: {clients: docs, password: "{{ vault_missing }}"}}
"""
Task = dict[str, Any]
OK: Task = {"name": "Read", "ansible.builtin.debug": {"msg": "nothing"}}
CHANGE: Task = {"name": "Change it", "ansible.builtin.debug": {"msg": ""}, "changed_when": "inventory_hostname == 'b'"}
FAILURE: Task = {
    "name": "Break it",
    "ansible.builtin.fail": {"msg": "first line\nsecond"},
    "when": "inventory_hostname == 'b'",
}
RESCUED: Task = {"block": [FAILURE], "rescue": [OK]}
WARNED = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({})
module.warn("look here")
module.exit_json()
"""
# It stands for a user's playbook that imports the whole platform.
MARK = "# ansible.builtin.import_playbook: vise.platform.site\n"


def run(folder: Path, tasks: list[Task], *options: str, mark: str = MARK) -> tuple[int, str]:
    """Run tasks on two hosts; return exit status and output."""
    play = {
        "name": "Stage",
        "hosts": "all",
        "gather_facts": False,
        "roles": [{"role": "vise.platform.description"}],
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(mark + yaml.safe_dump([play]))
    (folder / "hosts.yml").write_text(HOSTS)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", *options, "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return result.returncode, result.stdout + result.stderr


def summary(output: str) -> str:
    """Return the summary in the output of a run; it is the last part."""
    return output.partition("SUMMARY")[2]


def test_summary_has_changes_and_addresses_and_evaluates_no_secret(tmp_path: Path) -> None:
    code, output = run(tmp_path, [OK, CHANGE])
    text = summary(output)
    assert code == 0
    assert " -i hosts.yml: 2 hosts, 1 change, " in text
    assert "  docs           https://docs.test/  not tested in this run\n" in text
    assert "  database shop  b:6432" in text
    assert "Changed:\n  b  Change it\n" in text
    assert "ansible-playbook -i hosts.yml vise.platform.status" in text


def test_failed_run_has_a_summary_with_host_and_task(tmp_path: Path) -> None:
    code, output = run(tmp_path, [FAILURE])
    assert code == 2
    assert "Failed:\n  b: Stage, task `Break it`\n    first line (1 more lines above)\n" in summary(output)


def test_refusal_is_reported_with_its_first_problem(tmp_path: Path) -> None:
    text = "2 problems; nothing was changed\n- b: cannot be reached\n- other"
    refusal = {"name": "Refuse", "ansible.builtin.fail": {"msg": text}, "when": "inventory_hostname == 'b'"}
    _code, output = run(tmp_path, [refusal])
    assert "    2 problems; nothing was changed: b: cannot be reached (1 more lines above)\n" in summary(output)


def test_failed_item_of_a_loop_is_reported_by_its_own_message(tmp_path: Path) -> None:
    loop = {
        "name": "Break one",
        "ansible.builtin.fail": {"msg": "item {{ item }} is wrong"},
        "when": "item == 2 and inventory_hostname == 'b'",
        "loop": [1, 2, 3],
    }
    code, output = run(tmp_path, [loop])
    assert code == 2
    assert "Failed:\n  b: Stage, task `Break one`\n    item 2 is wrong\n" in summary(output)


def test_failure_that_was_rescued_is_no_failure(tmp_path: Path) -> None:
    code, output = run(tmp_path, [RESCUED, {**FAILURE, "ignore_errors": True}])
    assert code == 0
    assert "Failed:" not in summary(output)


@pytest.mark.parametrize("mark", ["", "# vise.platform.baseline\n"])
def test_other_playbooks_have_no_summary(tmp_path: Path, mark: str) -> None:
    _code, output = run(tmp_path, [OK], mark=mark)
    assert "SUMMARY" not in output
    assert "PLAY RECAP" in output


def test_check_mode_is_named(tmp_path: Path) -> None:
    _code, output = run(tmp_path, [CHANGE], "--check")
    assert "(check mode)" in summary(output)
    assert "Would change:\n  b  Change it" in summary(output)


def test_warning_of_a_module_needs_attention(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/warned.py").write_text(WARNED)
    _code, output = run(tmp_path, [{"name": "Warn", "warned": {}}])
    assert "Needs attention:\n  - a, b: look here\n" in summary(output)
