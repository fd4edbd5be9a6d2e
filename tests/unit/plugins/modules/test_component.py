"""One run of the module on a directory tree: no change, create, update, remove, check mode, diff, refusal, rollback."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import itertools
import os
import pathlib
import pwd
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host, packages, transaction
from ansible_collections.vise.platform.plugins.module_utils.component.model import Command, Node, Probe, Wanted
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store
from ansible_collections.vise.platform.plugins.modules import component

ME = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    """A component's store in a temporary directory."""
    return Store("demo", str(tmp_path / "state"))


def wanted(folder: pathlib.Path, *, probe: str = "true", **contents: str) -> Wanted:
    nodes = {str(folder / name): Node("file", text, ME, GROUP, "0644") for name, text in contents.items()}
    return Wanted("demo", "g", nodes=nodes, probes=(Probe(("sh", "-c", probe), timeout=0),))


def run(state: Wanted, store: Store, check_mode: bool = False) -> dict[str, t.Any]:
    with contextlib.nullcontext() if check_mode else store.lock():
        steps, incomplete, _copies = component.converge(state, store, check_mode)
    return component.build_result(steps, incomplete, True)


def test_create_then_no_change_then_update_then_remove(tmp_path: pathlib.Path, store: Store) -> None:
    assert run(wanted(tmp_path, a="1", b="1"), store)["actions"] == [f"create {tmp_path}/a", f"create {tmp_path}/b"]
    assert run(wanted(tmp_path, a="1", b="1"), store) == {"changed": False, "actions": [], "diff": []}
    assert run(wanted(tmp_path, a="2", b="1"), store)["actions"] == [f"write {tmp_path}/a"]
    assert run(wanted(tmp_path, a="2"), store)["actions"] == [f"remove {tmp_path}/b"]
    assert store.read_manifest().paths == (f"{tmp_path}/a",)
    assert store.read_journal() is None


def test_check_mode_reports_the_same_steps_and_changes_nothing(tmp_path: pathlib.Path, store: Store) -> None:
    planned = run(wanted(tmp_path, a="1"), store, check_mode=True)
    assert list(tmp_path.iterdir()) == []
    assert run(wanted(tmp_path, a="1"), store) == planned
    assert planned["diff"][0]["after"].endswith("1")


def test_nothing_changes_until_the_controller_has_probed_the_host(tmp_path: pathlib.Path, store: Store) -> None:
    state = dataclasses.replace(wanted(tmp_path, a="1"), answers=None)
    assert run(state, store)["changed"]
    assert not (tmp_path / "a").exists()
    probed = dataclasses.replace(state, answers=[])
    assert run(probed, store)["actions"] == [f"create {tmp_path}/a"]
    # Without a difference, nothing needs the answers.
    assert not component.needs_answers(state, transaction.inspect(state, store))
    assert run(state, store)["actions"] == []


def test_check_mode_needs_no_answers(tmp_path: pathlib.Path, store: Store) -> None:
    state = dataclasses.replace(wanted(tmp_path, a="1"), answers=None)
    assert component.converge(state, store, check_mode=True)[1] is False


@pytest.mark.parametrize(
    ("confirm", "expected"),
    [
        (None, ()),
        ({"timeout": 1, "open_ports": [], "sites": [], "answers": None}, ()),
        ({"timeout": 1, "open_ports": [80], "sites": [], "answers": None}, None),
        ({"timeout": 1, "open_ports": [], "sites": [{}], "answers": [[80]]}, [[80]]),
    ],
)
def test_answers_are_needed_for_ports_and_sites(confirm: dict[str, t.Any] | None, expected: t.Any) -> None:
    names = ("packages", "absent_packages", "groups", "users", "links", "absent", "purge", "check", "commands", "units")
    params: dict[str, t.Any] = dict.fromkeys((*names, "probe", "files", "directories", "foreign"), ())
    state = Wanted.from_params({**params, "name": "demo", "generation": "g", "code": "c", "confirm": confirm})
    assert state.answers == expected
    # The record of a survey does not depend on what answered once.
    assert state.to_record()["answers"] == ()


def test_files_of_others_in_a_place_of_the_component_are_named_in_each_run(
    tmp_path: pathlib.Path, store: Store
) -> None:
    state = dataclasses.replace(wanted(tmp_path, a="1"), foreign=((f"{tmp_path}/*", "it has no effect"),))
    (tmp_path / "package").symlink_to("/usr/share/doc")
    run(state, store)
    assert transaction.inspect(state, store).reported == [f"{tmp_path}/state: it has no effect"]
    (tmp_path / "mine").write_text("")
    expected = [f"{tmp_path}/mine: it has no effect", f"{tmp_path}/state: it has no effect"]
    assert transaction.inspect(state, store).reported == expected
    assert run(state, store)["changed"] is False
    # The record of a survey finds them too, so that the component is executed and reports them.
    assert transaction.inspect(Wanted.from_record(store.read_record()), store).reported == expected


def test_change_that_is_not_proven_live_is_rolled_back(tmp_path: pathlib.Path, store: Store) -> None:
    run(wanted(tmp_path, a="1"), store)
    with pytest.raises(host.HostError, match=r"not live.*\nRolled back to the previous configuration, which is live"):
        run(wanted(tmp_path, probe=f"! grep 2 {tmp_path}/a", a="2", b="new"), store)
    assert (tmp_path / "a").read_text() == "1"
    assert not (tmp_path / "b").exists()
    assert store.read_journal() is None


def test_check_that_fails_after_a_failed_probe_prevents_a_useless_activation(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(("touch", str(tmp_path / "activated")))
    state = dataclasses.replace(wanted(tmp_path, probe=f"! test -e {tmp_path}/foreign", a="1"), commands=(command,))
    run(state, store)
    (tmp_path / "activated").unlink()
    (tmp_path / "foreign").write_text("decides")
    monkeypatch.setattr(host, "check_in_private_namespace", lambda *_: "foreign:1 decides")
    with pytest.raises(host.HostError, match="demo: refused, nothing was changed: foreign:1 decides"):
        run(state, store)
    assert not (tmp_path / "activated").exists()


@pytest.mark.parametrize(
    ("failing_writes", "b", "outcome"),
    [
        (1, "old", "Rolled back to the previous configuration"),
        (9, "new", "Rollback failed, some previous files are not restored"),
    ],
)
def test_change_that_the_disk_rejects_is_rolled_back(
    tmp_path: pathlib.Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    failing_writes: int,
    b: str,
    outcome: str,
) -> None:
    run(wanted(tmp_path, b="old", c="old"), store)
    write, attempts = host.write_node, itertools.count(1)

    def write_to_full_disk(path: str, node: Node) -> None:
        if (path.endswith("c") or (b == "new" and node.content == "old")) and next(attempts) <= failing_writes:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, node)

    match = rf"No space left.*{tmp_path}/c'\n.*{outcome}"
    with monkeypatch.context() as patch, pytest.raises(host.HostError, match=match):
        patch.setattr(host, "write_node", write_to_full_disk)
        run(wanted(tmp_path, b="new", c="new"), store)
    assert ((tmp_path / "b").read_text(), (tmp_path / "c").read_text()) == (b, "old")
    run(wanted(tmp_path, b="old", c="old"), store)
    assert ((tmp_path / "b").read_text(), store.read_journal()) == ("old", None)


def test_failed_probe_without_a_difference_is_an_error(tmp_path: pathlib.Path, store: Store) -> None:
    run(wanted(tmp_path, a="1"), store)
    with pytest.raises(host.HostError, match=r"demo: no file differs, but probe `sh -c false` failed \(exit 1\)"):
        run(wanted(tmp_path, probe="false", a="1"), store)


def test_refused_change_is_not_started(tmp_path: pathlib.Path, store: Store) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(host.HostError, match=f"refused, nothing was changed: {tmp_path}/a is a directory"):
        run(wanted(tmp_path, a="1", b="1"), store)
    assert not (tmp_path / "b").exists()


class Killed(BaseException):
    """Simulates SIGKILL: no code in the program catches it."""


def test_next_run_finishes_a_killed_one_and_rolls_back_to_the_oldest_state(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(wanted(tmp_path, a="1"), store)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(transaction, "_activate", lambda *_: (_ for _ in ()).throw(Killed()))
        run(wanted(tmp_path, a="2"), store)
    assert store.read_journal() is not None
    with pytest.raises(host.HostError, match="Rolled back"):
        run(wanted(tmp_path, probe=f"! grep 3 {tmp_path}/a", a="3"), store)
    assert (tmp_path / "a").read_text() == "1"


def test_missing_packages_come_before_any_other_change(
    tmp_path: pathlib.Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "read_packages", list)
    monkeypatch.setattr(packages, "find_unfinished", lambda _known: ["less"])
    calls: list[str] = []
    monkeypatch.setattr(packages, "complete_unfinished", lambda: calls.append("complete"))
    monkeypatch.setattr(packages, "resolve", lambda missing, _removable: [*calls, *missing])
    state = Wanted("demo", "g", packages=("nginx",), nodes={str(tmp_path / "a"): Node("file", "1", ME, GROUP, "0644")})
    assert run(state, store)["prerequisites"]["packages"] == ["complete", "nginx"]
    assert not (tmp_path / "a").exists()
    expected = ["complete the interrupted installation of less", "install nginx", f"create {tmp_path}/a"]
    assert run(state, store, check_mode=True)["actions"] == expected
    assert calls == ["complete"]


def test_packages_that_apt_cannot_install_are_refused_before_anything_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_missing: t.Sequence[str], _removable: t.Iterable[str]) -> list[str]:
        raise host.HostError("apt cannot install nginxx")

    monkeypatch.setattr(packages, "read_packages", list)
    monkeypatch.setattr(packages, "find_unfinished", lambda _known: [])
    monkeypatch.setattr(packages, "resolve", refuse)
    with pytest.raises(host.HostError, match="demo: refused, nothing was changed: apt cannot install nginxx"):
        run(Wanted("demo", "g", packages=("nginxx",)), store)
    assert not store.read_manifest().generation


def test_path_of_another_component_is_refused_and_stays(tmp_path: pathlib.Path, store: Store) -> None:
    run(wanted(tmp_path, a="1"), store)
    other = Store("other", store.root)
    for check_mode in (True, False):
        with pytest.raises(host.HostError, match=f"{tmp_path}/a belongs to the component demo"):
            component.converge(dataclasses.replace(wanted(tmp_path, a="2"), name="other"), other, check_mode)
    assert (tmp_path / "a").read_text() == "1"
    assert not other.read_manifest().paths


def test_rollback_does_not_run_a_program_that_the_change_installed(tmp_path: pathlib.Path, store: Store) -> None:
    program, log = tmp_path / "program", tmp_path / "log"
    script = f"#!/bin/sh\necho run >>{log}\n"
    nodes = {str(program): Node("file", script, ME, GROUP, "0755")}
    state = Wanted(
        "demo", "g", nodes=nodes, commands=(Command((str(program),)),), probes=(Probe(("false",), timeout=0),)
    )
    with pytest.raises(
        host.HostError, match=r"but what `.*program` did may remain, because its program is removed too"
    ):
        run(state, store)
    assert not program.exists()
    assert log.read_text() == "run\n"


def test_shared_directories_above_a_path_are_part_of_the_component() -> None:
    params: dict[str, t.Any] = dict.fromkeys(
        (
            "packages",
            "absent_packages",
            "groups",
            "users",
            "links",
            "absent",
            "purge",
            "foreign",
            "check",
            "commands",
            "units",
            "probe",
            "confirm",
        ),
        (),
    )
    file = {
        "dest": "/etc/vise/demo/a.json",
        "content": "",
        "owner": "root",
        "group": "root",
        "mode": "0600",
        "secret": False,
    }
    similar = {"path": "/var/lib/vise-other/demo", "owner": "root", "group": "root", "mode": "0700"}
    private = {"path": "/var/lib/vise/demo", "owner": "root", "group": "root", "mode": "0700"}
    names = {"name": "demo", "generation": "g", "code": "c"}
    given = {**params, **names, "files": [file], "directories": [private, similar]}
    nodes = Wanted.from_params(given).nodes
    modes = {path: node.mode for path, node in nodes.items() if node.kind == "directory"}
    assert modes == {
        "/etc/vise": "0755",
        "/etc/vise/demo": "0755",
        "/var/lib/vise": "0755",
        "/var/lib/vise/demo": "0700",
        "/var/lib/vise-other/demo": "0700",
    }
