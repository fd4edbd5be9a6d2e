"""How far an upgrade comes, and what the next run makes of it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host, upgrade, upgrade_host
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.modules import postgresql_upgrade

WELL = upgrade.Facts(data="primary", checksums=True, running=True, installable=True, needed=0, free=2**40)


class Host:
    """A host with a cluster of 15; the steps are noted and not done."""

    def __init__(self, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.done, self.failing = root, list[str](), ""
        self.cluster = host.Cluster("17", "main", self.run, f"{root}/")
        self.path = str(root / "note.json")
        self.facts, self.loss = WELL, ""
        self.write("var/lib/postgresql/15/main/PG_VERSION")
        for name in ("compatible", "put_back", "take_over", "serve", "settle", "go_back", "drop"):
            monkeypatch.setattr(upgrade_host, name, self.step(name))
        monkeypatch.setattr(upgrade_host, "facts", lambda *_: self.facts)
        monkeypatch.setattr(upgrade_host, "health", lambda *_: [])
        monkeypatch.setattr(upgrade_host, "gained", lambda *_: {})
        monkeypatch.setattr(upgrade_host, "loss", lambda *_: self.loss)
        monkeypatch.setattr(host, "before_packages", lambda *_: None)
        monkeypatch.setattr(host, "fence", lambda cluster, _why: self.done.append(f"fence {cluster.version}"))

    def run(self, _argv: Sequence[str], _environment: Mapping[str, str]) -> tuple[int, str, str]:
        return 0, "Database system identifier: 7\nData page checksum version: 1\n", ""

    def write(self, path: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def step(self, name: str) -> Callable[..., dict[str, Any]]:
        stages = {"take_over": "switched", "settle": "serving", "go_back": "back"}

        def done(*_given: Any) -> dict[str, Any]:
            self.done.append(name)
            if name == self.failing:
                raise ClusterError(f"{name} failed")
            if name == "put_back":
                upgrade_host.forget(self.path)
            note = {**upgrade_host.noted(self.path), **({"stage": stages[name]} if name in stages else {})}
            return upgrade_host.note(self.path, note) if name in stages else note

        return done

    def call(self, state: str, check_mode: bool = False, **options: Any) -> tuple[bool, dict[str, Any]]:
        given = {"state": state, "port": 5432, "count_rows": True, "accept_loss": False, **options}
        return postgresql_upgrade.STEPS[state](self.cluster, given, self.path, check_mode)

    def stage(self) -> str:
        return str(upgrade_host.noted(self.path).get("stage", ""))

    def at(self, stage: str, **more: Any) -> None:
        upgrade_host.note(self.path, {"from": "15", "to": "17", "stage": stage, **more})


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_upgrade_goes_through_its_stages(machine: Host) -> None:
    stages = []
    for state in ("checked", "compatible", "upgraded", "proven"):
        machine.call(state)
        stages.append(machine.stage())
    assert stages == ["", "prepared", "serving", "proven"]
    assert machine.done == ["compatible", "take_over", "serve", "settle"]


def test_second_run_does_nothing(machine: Host) -> None:
    machine.at("proven")
    assert [machine.call(state)[0] for state in ("checked", "compatible", "upgraded", "proven")] == [False] * 4
    assert machine.done == []


def test_host_without_an_old_cluster_has_nothing_to_upgrade(machine: Host) -> None:
    (machine.root / "var/lib/postgresql/15/main/PG_VERSION").unlink()
    assert machine.call("checked") == (False, {})


def test_refusal_changes_nothing(machine: Host) -> None:
    machine.facts = upgrade.Facts(**{**vars(WELL), "prepared": 1})
    with pytest.raises(ClusterError, match="nothing was changed, 15 serves: 1 prepared"):
        machine.call("compatible")
    assert (machine.done, machine.stage()) == ([], "")


def test_check_mode_refuses_too_and_does_nothing(machine: Host) -> None:
    assert machine.call("compatible", check_mode=True)[0] is True
    machine.facts = upgrade.Facts(**{**vars(WELL), "prepared": 1})
    with pytest.raises(ClusterError, match="1 prepared"):
        machine.call("compatible", check_mode=True)
    assert (machine.done, machine.stage()) == ([], "")


def test_data_of_both_versions_without_a_note_are_refused(machine: Host) -> None:
    machine.write("var/lib/postgresql/17/main/PG_VERSION")
    with pytest.raises(ClusterError, match="nobody knows why"):
        machine.call("checked")


def test_run_that_was_killed_before_the_switch_is_put_back(machine: Host) -> None:
    machine.at("upgrading")
    assert machine.call("checked")[1] == {"from": "15", "to": "17"}
    assert machine.done == ["put_back"]


def test_run_that_was_killed_at_the_switch_is_finished(machine: Host) -> None:
    machine.at("switched")
    machine.call("checked")
    machine.call("upgraded")
    assert machine.done == ["serve", "settle"]


def test_upgrade_that_fails_lets_the_old_one_serve(machine: Host) -> None:
    machine.at("prepared")
    machine.failing = "take_over"
    with pytest.raises(ClusterError, match="15 serves again, with all that it had: take_over failed"):
        machine.call("upgraded")
    assert machine.done == ["take_over", "put_back"]


def test_going_back_needs_a_word_when_something_is_lost(machine: Host) -> None:
    machine.at("proven")
    machine.loss = "7 rows"
    with pytest.raises(ClusterError, match=r"nothing was changed. Going back to 15 loses this: 7 rows"):
        machine.call("rolled_back")
    assert machine.done == []
    assert machine.call("rolled_back", accept_loss=True)[1]["stage"] == "back"


@pytest.mark.parametrize(
    ("stage", "does"),
    [("going back", ["go_back"]), ("back", []), ("prepared", ["put_back"]), ("upgrading", ["put_back"])],
)
def test_going_back_is_finished_from_anywhere(machine: Host, stage: str, does: list[str]) -> None:
    machine.at(stage)
    machine.call("rolled_back")
    assert machine.done == does


def test_there_is_nothing_to_go_back_from(machine: Host) -> None:
    with pytest.raises(ClusterError, match="no upgrade to go back from"):
        machine.call("rolled_back")


def test_standby_that_was_not_yet_retired_has_nothing_to_go_back_from(machine: Host) -> None:
    machine.write("var/lib/postgresql/15/main/standby.signal")
    assert machine.call("rolled_back") == (False, {})


def test_after_going_back_no_new_upgrade_begins_over_what_was_written(machine: Host) -> None:
    machine.at("back")
    with pytest.raises(ClusterError, match="holds what was written meanwhile"):
        machine.call("checked")


@pytest.mark.parametrize(("stage", "removes"), [("proven", "15"), ("back", "17")])
def test_version_that_serves_no_more_is_removed(machine: Host, stage: str, removes: str) -> None:
    machine.at(stage)
    assert machine.call("removed")[1]["from"] == removes
    assert (machine.done, machine.stage()) == (["drop"], "")
    assert machine.call("removed") == (False, {})


def test_nothing_is_removed_while_an_upgrade_goes_on(machine: Host) -> None:
    machine.at("serving")
    with pytest.raises(ClusterError, match="the upgrade is serving"):
        machine.call("removed")


def test_standby_of_the_old_version_is_fenced_once(machine: Host) -> None:
    machine.write("var/lib/postgresql/15/main/standby.signal")
    assert machine.call("retired")[0] is True
    machine.write("etc/vise/postgresql-15-main.fenced")
    assert machine.call("retired")[0] is False
    assert machine.done == ["fence 15"]


def test_primary_is_not_retired(machine: Host) -> None:
    with pytest.raises(ClusterError, match="no standby"):
        machine.call("retired")


def test_report_has_the_rows() -> None:
    note = {"from": "15", "way": "--copy", "seconds": {}, "before": {"edu": {"table a": 3}}}
    assert postgresql_upgrade.report(note) == {"way": "--copy", "seconds": {}, "rows": 3}


def test_standbys_of_a_cluster_that_was_put_back_are_waited_for(machine: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [upgrade.Facts(**{**vars(WELL), "absent": ("second",)}), WELL]
    monkeypatch.setattr(upgrade_host, "facts", lambda *_: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    machine.at("upgrading")
    machine.call("checked")
    assert answers == []
