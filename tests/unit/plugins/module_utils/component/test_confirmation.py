"""A change that needs a new login: it waits, is committed or reverted, and survives kills between any two steps."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import (
    confirmation,
    host,
    plan,
    revert_timer,
    transaction,
)
from ansible_collections.vise.platform.plugins.module_utils.component.model import Command, Node, Probe, Wanted
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store

ME = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
WAITING, GONE = ["stop vise-revert-demo.service", "restart vise-revert-demo.timer"], "no change of demo waits"


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> list[str]:
    """Replace systemd; return the list of its calls."""
    calls: list[str] = []
    units = tmp_path / "units"
    monkeypatch.setattr(revert_timer, "UNITS", str(units))
    monkeypatch.setattr(host, "systemctl", lambda verb, *names: calls.append(" ".join([verb, *names])))
    write = host.write_node

    def write_as_me(path: str, node: Node) -> None:
        is_unit = path.startswith(str(units)) and node.kind == "file"
        write(path, Node("file", node.content, ME, GROUP, node.mode) if is_unit else node)

    monkeypatch.setattr(host, "write_node", write_as_me)
    return calls


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    """A component's store in a temporary directory."""
    return Store("demo", str(tmp_path / "state"))


def change(
    store: Store,
    path: pathlib.Path,
    content: str,
    *commands: Command,
    probe: str = "true",
    confirm_within: int = 60,
    answers: t.Sequence[t.Any] = (),
) -> None:
    """Change one file by a transaction."""
    wanted = Wanted(
        "demo",
        f"generation-{content}",
        nodes={str(path): Node("file", content, ME, GROUP, "0644")},
        commands=commands,
        probes=(Probe(("sh", "-c", probe), timeout=0),),
        confirm_within=confirm_within,
        answers=answers,
    )
    with store.lock():
        transaction.apply(wanted, transaction.inspect(wanted, store), store)


def remaining(store: Store) -> list[str]:
    return sorted(path.name for path in pathlib.Path(store.directory).iterdir())


def timer_files(tmp_path: pathlib.Path) -> set[str]:
    return {str(path.relative_to(tmp_path)) for path in (tmp_path / "units").rglob("*.*") if not path.is_dir()}


def test_change_waits_with_a_running_timer_that_also_starts_at_boot(
    tmp_path: pathlib.Path, store: Store, verbs: list[str]
) -> None:
    change(store, tmp_path / "a", "1")
    assert confirmation.is_pending(store)
    # First before the first file changes, then from the beginning when the change is live.
    assert verbs == ["daemon-reload", *WAITING, *WAITING]
    assert "units/timers.target.wants/vise-revert-demo.timer" in timer_files(tmp_path)
    assert (tmp_path / "units/timers.target.wants/vise-revert-demo.timer").resolve().name == "vise-revert-demo.timer"


def test_confirmed_change_stays_and_its_timer_is_removed(tmp_path: pathlib.Path, store: Store) -> None:
    change(store, tmp_path / "a", "1")
    assert confirmation.confirm(store, "generation-1") == ""
    assert store.read_manifest().paths == (str(tmp_path / "a"),)
    assert store.read_manifest().generation == "generation-1"
    assert (timer_files(tmp_path), remaining(store)) == (set(), ["lock", "manifest.json", "record.json"])
    assert confirmation.revert(store) == ""
    assert (tmp_path / "a").read_text() == "1"


def test_reverted_change_is_gone_and_cannot_be_confirmed(tmp_path: pathlib.Path, store: Store) -> None:
    change(store, tmp_path / "a", "1", confirm_within=0)
    change(store, tmp_path / "a", "2")
    assert confirmation.revert(store) == "Rolled back to the previous configuration, which is live."
    assert GONE in confirmation.confirm(store, "generation-2")
    assert (tmp_path / "a").read_text() == "1"
    assert store.read_manifest().generation == "generation-1"
    assert (timer_files(tmp_path), remaining(store)) == (set(), ["lock", "manifest.json", "record.json"])


def test_unconfirmed_changes_are_reverted_together_to_what_was_confirmed(tmp_path: pathlib.Path, store: Store) -> None:
    for content in ("1", "2", "3"):
        change(store, tmp_path / "a", content, confirm_within=0 if content == "1" else 60)
    assert "another run has changed demo" in confirmation.confirm(store, "generation-2")
    assert "Another run has changed demo" in confirmation.revert(store, "generation-2")
    confirmation.revert(store, "generation-3")
    assert (tmp_path / "a").read_text() == "1"


def test_answers_from_before_a_change_are_known_until_it_is_confirmed(tmp_path: pathlib.Path, store: Store) -> None:
    assert confirmation.read_answers(store) == []
    change(store, tmp_path / "a", "1", answers=[[443, "site", "docs.example.org", 6, "status 200"]])
    assert confirmation.read_answers(store) == [[443, "site", "docs.example.org", 6, "status 200"]]
    confirmation.confirm(store, "generation-1")
    assert confirmation.read_answers(store) == []


def test_change_that_fails_by_itself_needs_no_timer(tmp_path: pathlib.Path, store: Store) -> None:
    with pytest.raises(host.HostError, match="Rolled back"):
        change(store, tmp_path / "a", "1", probe="false")
    assert not (tmp_path / "a").exists()
    assert (timer_files(tmp_path), confirmation.is_pending(store)) == (set(), False)


def test_timer_that_cannot_start_prevents_the_change(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(verb: str, *_names: str) -> None:
        raise host.HostError(f"{verb} failed")

    monkeypatch.setattr(host, "systemctl", fail)
    with pytest.raises(host.HostError, match="daemon-reload failed\nRolled back"):
        change(store, tmp_path / "a", "1")
    assert (not (tmp_path / "a").exists(), store.read_journal()) == (True, None)


class Killed(BaseException):
    """Simulates SIGKILL: no code in the program catches it."""


def test_kill_before_the_activation_leaves_a_timer_that_reverts(
    tmp_path: pathlib.Path, store: Store, verbs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(store, tmp_path / "a", "1", confirm_within=0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(transaction, "_activate", lambda *_: (_ for _ in ()).throw(Killed()))
        change(store, tmp_path / "a", "2")
    assert verbs == ["daemon-reload", *WAITING]
    confirmation.revert(store)
    assert (tmp_path / "a").read_text() == "1"


def test_kill_after_the_commit_leaves_a_timer_that_reverts_nothing(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(store, tmp_path / "a", "1")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(revert_timer, "disarm", lambda _store: (_ for _ in ()).throw(Killed()))
        confirmation.confirm(store, "generation-1")
    assert confirmation.revert(store) == ""
    assert ((tmp_path / "a").read_text(), timer_files(tmp_path)) == ("1", set())


def test_revert_leaves_a_change_that_needs_no_confirmation_to_the_next_run(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(transaction, "_activate", lambda *_: (_ for _ in ()).throw(Killed()))
        change(store, tmp_path / "a", "1", confirm_within=0)
    assert confirmation.revert(store) == ""
    assert store.read_journal() is not None


def test_failed_rollback_keeps_the_timer_so_that_the_host_tries_again(tmp_path: pathlib.Path, store: Store) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    change(store, tmp_path / "a", "1", confirm_within=0)
    change(store, tmp_path / "a", "2", Command(("test", "-e", str(flag))))
    flag.unlink()
    with pytest.raises(host.HostError, match="demo: Rollback failed"):
        confirmation.main(["demo", store.root])
    assert timer_files(tmp_path)
    flag.touch()
    assert confirmation.main(["demo", store.root]) == 0
    assert (tmp_path / "a").read_text() == "1"


def test_program_that_the_change_installed_activates_the_state_before_it_and_is_removed_then(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, program, live = tmp_path / "rules", tmp_path / "sbin/vise-demo", tmp_path / "live"
    monkeypatch.setattr(plan, "COMMANDS", str(program.parent))
    rules.write_text("old")
    nodes = {
        str(program): Node("file", f"#!/bin/sh\ncp {rules} {live}\n", ME, GROUP, "0755"),
        str(rules): Node("file", "new", ME, GROUP, "0644"),
    }
    wanted = Wanted("demo", "g", nodes=nodes, commands=(Command((str(program),)),), confirm_within=60)
    with store.lock():
        transaction.apply(wanted, transaction.inspect(wanted, store), store)
    assert live.read_text() == "new"
    confirmation.revert(store)
    assert (live.read_text(), program.exists()) == ("old", False)


def test_program_of_the_timer_runs_without_the_collection(tmp_path: pathlib.Path, store: Store) -> None:
    change(store, tmp_path / "a", "1", confirm_within=0)
    change(store, tmp_path / "a", "2")
    program = f"{store.directory}/revert.pyz"
    done = subprocess.run(
        [sys.executable, "-I", program, "demo", store.root], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ((tmp_path / "a").read_text(), store.read_journal()) == ("1", None)
