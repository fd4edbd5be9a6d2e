"""Runs of ansible-playbook in which a survey was kept: what ends it, and what does not.

Each case is a playbook of one run, because the callback allows new surveys when a playbook starts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.callback import survey

ROOT = Path(__file__).resolve().parents[4]
PLUGINS = "from ansible_collections.vise.platform.plugins.plugin_utils import surveys"
# Two actions that stand for preflight and for a component; they need no host.
ACTION = f"""
from ansible.plugins.action import ActionBase
{PLUGINS}

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        key = surveys.identify(self, task_vars["inventory_hostname"])
        name = self._task.args["name"]
        {{}}
"""
KEEP = """surveys.keep(key, surveys.read_clock() - self._task.args.get("age", 0), {name: {"generation": "g"}})
        return {"kept": surveys.are_allowed()}"""
TAKE = """return {"msg": f"{name}: {'valid' if surveys.take(key, name) else 'none'}"}"""

Task = dict[str, t.Any]
READING = {"changed_when": False, "check_mode": False}
COMMAND: Task = {"ansible.builtin.command": {"argv": ["true"]}}
CHANGE: Task = {"ansible.builtin.debug": {"msg": ""}, "changed_when": True}
FAILURE: Task = {"ansible.builtin.fail": {"msg": "expected"}}
# Name, tasks between the survey and its use, whether it is valid then.
CASES: list[tuple[str, list[Task], bool]] = [
    ("nothing", [], True),
    ("read", [{"ansible.builtin.stat": {"path": "/"}}, {"ansible.builtin.assert": {"that": True}}], True),
    ("skipped", [{**COMMAND, "when": False}], True),
    ("marked", [{**COMMAND, **READING}], True),
    ("marked_check", [{**COMMAND, "changed_when": False, "check_mode": True}], True),
    ("command", [COMMAND], False),
    ("half_marked", [{**COMMAND, "changed_when": False}], False),
    ("shell", [{"ansible.builtin.shell": {"cmd": "true"}, "changed_when": False}], False),
    ("raw", [{"ansible.builtin.raw": "true", "changed_when": False}], False),
    ("hidden", [{"ansible.builtin.stat": {"path": "/"}, "changed_when": False}], False),
    ("changed", [CHANGE], False),
    ("delegated", [{**CHANGE, "delegate_to": "b", "run_once": True}], False),
    ("other_host", [{**CHANGE, "when": "inventory_hostname == 'b'"}], False),
    ("ignored", [{**FAILURE, "ignore_errors": True}], False),
    ("rescued", [{"block": [FAILURE], "rescue": [{"ansible.builtin.debug": {"msg": ""}}]}], False),
    ("unreachable", [{"ansible.builtin.ping": {}, "delegate_to": "gone", "ignore_unreachable": True}], False),
    ("item", [{**CHANGE, "loop": [1], "changed_when": "item == 1"}], False),
    ("handled", [{**CHANGE, "notify": "handle"}, {"ansible.builtin.meta": "flush_handlers"}], False),
    ("old", [], False),
    ("twice", [{"use": {"name": "twice"}}], False),
]
# Name, and what differs in the task that uses the survey.
WAYS: list[tuple[str, Task]] = [
    ("user", {"become": True, "become_user": "daemon"}),
    ("login", {"remote_user": "other"}),
    ("port", {"vars": {"ansible_port": 2222}}),
    ("address", {"vars": {"ansible_host": "127.0.0.2"}}),
    ("environment", {"environment": {"HTTPS_PROXY": "http://127.0.0.1:1"}}),
]
HOSTS = {
    **{name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable} for name in ("a", "b")},
    "gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
}


def build_play(name: str, tasks: list[Task], **how: t.Any) -> dict[str, t.Any]:
    """Return a play in which a survey is kept and used."""
    how = {"hosts": "a:b", **how}
    return {
        "name": name,
        "gather_facts": False,
        "connection": "local",
        **how,
        "tasks": [{"keep": {"name": name, "age": 121 if name == "old" else 0}}, *tasks],
        "handlers": [{"name": "handle", "ansible.builtin.debug": {"msg": ""}}],
    }


def run_plays(folder: Path, plays: list[list[dict[str, t.Any]]], *arguments: str, **environment: str) -> set[str]:
    """Run each list of plays as a playbook, all in one process; return the results of all uses."""
    (folder / "action").mkdir(exist_ok=True)
    (folder / "action/keep.py").write_text(ACTION.format(KEEP))
    (folder / "action/use.py").write_text(ACTION.format(TAKE))
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": HOSTS}}))
    files = [folder / f"play{number}.json" for number in range(len(plays))]
    for path, content in zip(files, plays, strict=True):
        path.write_text(json.dumps(content))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={folder}/hosts.json", "-v", *arguments, *map(str, files)],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_ACTION_PLUGINS": str(folder / "action"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"msg: '(\w+: \w+)'", done.stdout))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The uses of all cases."""
    plays = [
        [build_play(name, [*tasks, {"use": {"name": name}, "when": "inventory_hostname == 'a'"}])]
        for name, tasks, _valid in CASES
    ]
    # Of hosts that are reached by SSH, because a local connection has no address.
    ways = [[build_play(name, [{"use": {"name": name}, **how}], hosts="gone", connection="ssh")] for name, how in WAYS]
    free = build_play("free", [{"use": {"name": "free"}}], strategy="free")
    later = [{**CHANGE, "name": "later"}], [{"use": {"name": "later"}}]
    return run_plays(
        tmp_path_factory.mktemp("plays"),
        [*plays, *ways, [free], [build_play("later", later[0]), {**build_play("more", later[1])}]],
    )


@pytest.mark.parametrize(("name", "valid"), [(name, valid) for name, _tasks, valid in CASES])
def test_survey_is_valid_until_a_task_may_have_changed_something(results: set[str], name: str, valid: bool) -> None:
    expected = {f"{name}: valid", f"{name}: none"} if name == "twice" else {f"{name}: {'valid' if valid else 'none'}"}
    assert {one for one in results if one.startswith(f"{name}:")} == expected


@pytest.mark.parametrize("name", [name for name, _how in WAYS])
def test_survey_is_used_only_by_the_connection_that_made_it(results: set[str], name: str) -> None:
    assert f"{name}: none" in results
    assert f"{name}: valid" not in results


def test_survey_ends_for_all_later_plays_and_with_hosts_that_do_not_wait(results: set[str]) -> None:
    assert {"later: none", "free: none"} <= results
    assert not {"later: valid", "free: valid"} & results


def test_change_that_check_mode_reports_ends_the_survey(tmp_path: Path) -> None:
    change = {"ansible.builtin.copy": {"content": "", "dest": str(tmp_path / "new"), "mode": "0600"}}
    plays = [
        [build_play("would", [change, {"use": {"name": "would"}}], hosts="a")],
        [build_play("same", [{"use": {"name": "same"}}], hosts="a")],
    ]
    assert run_plays(tmp_path, plays, "--check") == {"would: none", "same: valid"}
    assert not (tmp_path / "new").exists()


def test_without_the_callback_there_is_no_survey(tmp_path: Path) -> None:
    play = build_play("alone", [{"use": {"name": "alone"}}], hosts="a")
    assert run_plays(tmp_path, [[play]], ANSIBLE_CALLBACKS_ENABLED="ansible.builtin.default") == {"alone: none"}


@pytest.mark.parametrize(
    ("action", "fields", "expected"),
    [
        ("vise.platform.component", {}, False),
        ("vise.platform.cloudflare_zone", {"changed_when": False, "check_mode": True}, False),
        ("vise.platform.cloudflare_zone", {"changed_when": False}, True),
        ("ansible.builtin.apt", {"changed_when": "x is changed"}, True),
        ("ansible.builtin.apt", {"changed_when": "x is changed", "check_mode": False}, True),
        ("ansible.builtin.uri", {}, True),
        ("ansible.builtin.script", {"check_mode": False}, True),
        ("shell", {"changed_when": False, "check_mode": "{{ later }}"}, True),
        ("shell", {"changed_when": False, "check_mode": False}, False),
    ],
)
def test_task_whose_result_does_not_show_changes_is_recognized(
    action: str, fields: dict[str, t.Any], expected: bool
) -> None:
    assert survey.can_hide_changes(action, fields) is expected
