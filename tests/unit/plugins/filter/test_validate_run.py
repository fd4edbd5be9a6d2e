"""A run with nothing to do is refused before its first play, with all reasons."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.validate_run import FilterModule

from tools import collection

validate_run = FilterModule().filters()["validate_run"]
GROUPS = {"all": ["web-1"], "edge": ["web-1"]}


def test_valid_run_has_the_pattern_of_the_play(tmp_path: Path) -> None:
    assert validate_run("all", GROUPS, ["web-1,"], str(tmp_path), limit=None, tags=["all"]) == "all"


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        validate_run("all", GROUPS, [str(tmp_path / "none")], str(tmp_path), "web-2", ["ngnix"], ["firewal"])
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == [
        "nothing was changed",
        f"- the inventory {tmp_path}/none does not exist; correct `-i`",
        "- --limit web-2",
        "- --skip-tags firewal",
        "- --tags ngnix",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--inventory=none"], "the inventory none does not exist"),
        (["--inventory=none", "--limit=web-1"], "the inventory none does not exist"),
        (["--inventory=empty.json", "--tags=nginx"], "the inventory empty.json has no host"),
        (["--inventory=hosts.json", "--tags=ngnix"], "--tags ngnix: no task has this tag; did you mean `nginx`?"),
        (["--inventory=hosts.json", "--skip-tags=shh"], "--skip-tags shh: no task has this tag; did you mean `ssh`?"),
        (["--inventory=hosts.json", "--limit=web-1,web2"], "--limit web2: no host or group of the inventory has"),
        ([], "no inventory is given; write `-i inventories/production`"),
    ],
)
def test_site_with_nothing_to_do_fails_with_the_configuration_of_a_user(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    host = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    (tmp_path / "hosts.json").write_text(json.dumps({"edge": {"hosts": {"web-1": host}}}))
    (tmp_path / "empty.json").write_text(json.dumps({"edge": {}}))
    # Not the configuration of this repository: a user who installs the collection has another one.
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {collection.ROOT}/.cache/collections\n")
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    command = ["ansible-playbook", "vise.platform.site", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert expected in done.stderr
    assert "PLAY [" not in done.stdout


@pytest.mark.parametrize("option", ["--syntax-check", "--list-tasks"])
def test_syntax_check_needs_no_inventory(option: str) -> None:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(collection.ROOT / "ansible.cfg")}
    command = ["ansible-playbook", "playbooks/preflight.yml", option]
    done = subprocess.run(command, cwd=collection.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
