"""The identity of a run: a dead run of this controller is known as one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible import constants, context
from ansible_collections.vise.platform.plugins.plugin_utils import run_lease

ACTION = SimpleNamespace(_templar=SimpleNamespace(template=lambda value: value))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / f"ansible-local-{os.getpid()}abcdefgh"
    path.mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(path))
    # A run in which these tests run
    monkeypatch.delenv(run_lease.OUTER, raising=False)
    return path


def test_run_is_identified_by_its_directory_user_and_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr(context, "CLIARGS", {"args": ("/x/playbooks/preflight.yml", "vise.platform.edge")})
    found = run_lease.identify(ACTION, {"end_lease": "ansible-local-9"})
    assert (found["run"], found["who"], found["ends"]) == (folder.name, "alice", "ansible-local-9")
    assert found["command"] == "preflight.yml vise.platform.edge"
    assert run_lease.identify(ACTION, {})["ends"] == ""


def test_only_a_run_of_this_controller_that_exists_no_more_has_ended(folder: Path) -> None:
    own = {"run": folder.name, "machine": run_lease.identify_machine()}
    assert not run_lease.has_ended(own)
    child = subprocess.Popen(["true"])
    child.wait()
    gone = f"ansible-local-{child.pid}abcdefgh"
    (folder.parent / gone).mkdir()
    assert run_lease.has_ended({**own, "run": gone})
    assert not run_lease.has_ended({"run": gone, "machine": "another"})
    assert not run_lease.has_ended({**own, "run": "unknown"})
    # Its directory is removed at the end of a run, and its number may belong to another process by now.
    assert run_lease.has_ended({**own, "run": f"ansible-local-{os.getpid()}zzzzzzzz"})


def test_hosts_with_a_lease_are_known(folder: Path) -> None:
    assert folder.is_dir()
    run_lease.mark_used("web-1/../x")
    assert run_lease.is_used("web-1/../x")
    assert not run_lease.is_used("web-2")


def test_run_that_a_task_starts_belongs_to_its_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_lease.OUTER, "")
    assert run_lease.find_run() == folder.name
    monkeypatch.setenv(run_lease.OUTER, "/home/alice/.ansible/tmp/ansible-local-7abcdefgh")
    run_lease.announce()
    assert run_lease.find_run() == "ansible-local-7abcdefgh"
    assert run_lease.identify(ACTION, {})["directory"] == "/home/alice/.ansible/tmp/ansible-local-7abcdefgh"


def test_run_of_another_user_of_this_controller_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of each user has the directories of its runs, and only this user can read it."""
    name = f"ansible-local-{os.getpid()}hgfedcba"
    other = tmp_path / "bob" / name
    other.mkdir(parents=True)
    lease = {"run": name, "machine": run_lease.identify_machine(), "directory": str(other)}
    assert folder.is_dir()
    assert not run_lease.has_ended(lease)
    other.rmdir()
    assert run_lease.has_ended(lease)

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    assert not run_lease.has_ended(lease)
