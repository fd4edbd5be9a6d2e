"""Stages of an upgrade, and how the next run continues after each of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host.journal import Journal
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host, upgrade, upgrade_host
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.modules import postgresql_upgrade

HEALTHY = upgrade.Facts(data="primary", checksums=True, running=True, installable=True, needed=0, free=2**40)


class Host:
    """A stub host with a cluster of 15; the steps are recorded and not executed."""

    def __init__(self, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.done, self.failing = root, list[str](), ""
        self.cluster = host.Cluster("17", "main", self.run, f"{root}/")
        self.journal = Journal(str(root / "note.json"))
        self.facts, self.loss = HEALTHY, ""
        self.installed, self.invalid = True, list[str]()
        self.write("var/lib/postgresql/15/main/PG_VERSION")
        for name in (
            "check_compatibility",
            "abort_upgrade",
            "convert_data",
            "start_new_cluster",
            "finish_upgrade",
            "roll_back",
            "remove_cluster",
        ):
            monkeypatch.setattr(upgrade_host, name, self.step(name))
        monkeypatch.setattr(upgrade_host, "collect_facts", lambda *_: self.facts)
        monkeypatch.setattr(upgrade_host, "list_invalid_databases", lambda *_: self.invalid)
        drop = self.done.extend
        monkeypatch.setattr(upgrade_host, "drop_databases", lambda *given: drop(f"drop {name}" for name in given[2]))
        monkeypatch.setattr(host, "is_installed", lambda _cluster: self.installed)
        monkeypatch.setattr(upgrade_host, "find_health_problems", lambda *_: [])
        monkeypatch.setattr(upgrade_host, "count_new_writes", lambda *_: {})
        monkeypatch.setattr(upgrade_host, "describe_loss", lambda *_: self.loss)
        monkeypatch.setattr(host, "disable_default_cluster", lambda *_: None)
        monkeypatch.setattr(host, "fence", lambda cluster, _why: self.done.append(f"fence {cluster.version}"))

    def run(self, _argv: Sequence[str], _environment: Mapping[str, str]) -> tuple[int, str, str]:
        return 0, "Database system identifier: 7\nData page checksum version: 1\n", ""

    def write(self, path: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def step(self, name: str) -> Callable[..., dict[str, Any]]:
        stages = {"convert_data": "switched", "finish_upgrade": "serving", "roll_back": "rolled_back"}

        def done(*_given: Any) -> dict[str, Any]:
            self.done.append(name)
            if name == self.failing:
                raise ClusterError(f"{name} failed")
            if name == "abort_upgrade":
                self.journal.remove()
            note = {**self.journal.read(), **({"stage": stages[name]} if name in stages else {})}
            return self.journal.write(note) if name in stages else note

        return done

    def call(self, state: str, check_mode: bool = False, **options: Any) -> tuple[bool, dict[str, Any]]:
        given = {"state": state, "port": 5432, "count_rows": True, "accept_loss": False, **options}
        return postgresql_upgrade.FUNCTIONS[state](self.cluster, given, self.journal, check_mode)

    def stage(self) -> str:
        return str(self.journal.read().get("stage", ""))

    def at(self, stage: str, **more: Any) -> None:
        self.journal.write({"from": "15", "to": "17", "stage": stage, **more})


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_upgrade_goes_through_its_stages(machine: Host) -> None:
    stages = []
    for state in ("checked", "compatible", "upgraded", "proven"):
        machine.call(state)
        stages.append(machine.stage())
    assert stages == ["", "prepared", "serving", "proven"]
    assert machine.done == ["check_compatibility", "convert_data", "start_new_cluster", "finish_upgrade"]


def test_second_run_does_nothing(machine: Host) -> None:
    machine.at("proven")
    assert [machine.call(state)[0] for state in ("checked", "compatible", "upgraded", "proven")] == [False] * 4
    assert machine.done == []


def test_host_without_an_old_cluster_has_nothing_to_upgrade(machine: Host) -> None:
    (machine.root / "var/lib/postgresql/15/main/PG_VERSION").unlink()
    assert machine.call("checked") == (False, {})


def test_refusal_changes_nothing(machine: Host) -> None:
    machine.facts = upgrade.Facts(**{**vars(HEALTHY), "prepared": 1})
    with pytest.raises(ClusterError, match="nothing was changed, 15 still runs: 1 prepared"):
        machine.call("compatible")
    assert (machine.done, machine.stage()) == ([], "")


def test_check_mode_refuses_too_and_does_nothing(machine: Host) -> None:
    machine.installed = False
    assert machine.call("compatible", check_mode=True)[0] is True
    machine.facts = upgrade.Facts(**{**vars(HEALTHY), "prepared": 1})
    with pytest.raises(ClusterError, match="1 prepared"):
        machine.call("compatible", check_mode=True)
    assert (machine.done, machine.stage()) == ([], "")


def test_data_of_both_versions_without_a_note_are_refused(machine: Host) -> None:
    machine.write("var/lib/postgresql/17/main/PG_VERSION")
    with pytest.raises(ClusterError, match="contains no upgrade: find out which"):
        machine.call("checked")


def test_run_that_was_killed_before_the_switch_is_rolled_back(machine: Host) -> None:
    machine.at("upgrading")
    assert machine.call("checked")[1] == {"from": "15", "to": "17", "warnings": []}
    assert machine.done == ["abort_upgrade"]


def test_run_that_was_killed_after_the_switch_is_completed(machine: Host) -> None:
    machine.at("switched")
    machine.call("checked")
    machine.call("upgraded")
    assert machine.done == ["start_new_cluster", "finish_upgrade"]


def test_failed_upgrade_puts_the_old_cluster_back_into_service(machine: Host) -> None:
    machine.at("prepared")
    machine.failing = "convert_data"
    with pytest.raises(ClusterError, match="rolled back, 15 runs again with all its data: convert_data failed"):
        machine.call("upgraded")
    assert machine.done == ["convert_data", "abort_upgrade"]


def test_rollback_needs_consent_when_something_is_lost(machine: Host) -> None:
    machine.at("proven")
    machine.loss = "7 rows"
    with pytest.raises(ClusterError, match=r"nothing was changed. A rollback to 15 loses this: 7 rows"):
        machine.call("rolled_back")
    assert machine.done == []
    assert machine.call("rolled_back", accept_loss=True)[1]["stage"] == "rolled_back"


@pytest.mark.parametrize(
    ("stage", "does"),
    [
        ("rolling_back", ["roll_back"]),
        ("rolled_back", []),
        ("prepared", ["abort_upgrade"]),
        ("upgrading", ["abort_upgrade"]),
    ],
)
def test_rollback_is_completed_from_each_stage(machine: Host, stage: str, does: list[str]) -> None:
    machine.at(stage)
    machine.call("rolled_back")
    assert machine.done == does


def test_rollback_without_an_upgrade_is_refused(machine: Host) -> None:
    with pytest.raises(ClusterError, match="no upgrade to roll back"):
        machine.call("rolled_back")


def test_rollback_does_nothing_on_a_standby_that_was_not_retired(machine: Host) -> None:
    machine.write("var/lib/postgresql/15/main/standby.signal")
    assert machine.call("rolled_back") == (False, {})


def test_new_upgrade_is_refused_while_data_of_a_rollback_exist(machine: Host) -> None:
    machine.at("rolled_back")
    with pytest.raises(ClusterError, match="contains the writes of that time"):
        machine.call("checked")


@pytest.mark.parametrize(("stage", "removes"), [("proven", "15"), ("rolled_back", "17")])
def test_cluster_that_is_out_of_service_is_removed(machine: Host, stage: str, removes: str) -> None:
    machine.at(stage)
    assert machine.call("removed")[1]["from"] == removes
    assert (machine.done, machine.stage()) == (["remove_cluster"], "")
    assert machine.call("removed") == (False, {})


def test_nothing_is_removed_during_an_upgrade(machine: Host) -> None:
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
    with pytest.raises(ClusterError, match="not a standby"):
        machine.call("retired")


def test_report_contains_the_number_of_rows() -> None:
    note = {"from": "15", "method": "--copy", "seconds": {}, "before": {"edu": {"table a": 3}}}
    assert postgresql_upgrade.report(note) == {"method": "--copy", "seconds": {}, "rows": 3}


def test_standbys_are_awaited_after_the_rollback_of_a_killed_run(
    machine: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [upgrade.Facts(**{**vars(HEALTHY), "absent": ("second",)}), HEALTHY]
    monkeypatch.setattr(upgrade_host, "collect_facts", lambda *_: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    machine.at("upgrading")
    machine.call("checked")
    assert answers == []


@pytest.mark.parametrize(
    ("installed", "invalid", "result", "done"),
    [
        (True, [], "passed", ["check_compatibility"]),
        (False, [], "not run, because PostgreSQL 17 is not installed yet", []),
        (True, ['"Half"'], 'not run, because it refuses the database "Half" until that is dropped', []),
    ],
)
def test_check_mode_runs_the_check_of_pg_upgrade_where_it_can(
    machine: Host, installed: bool, invalid: list[str], result: str, done: list[str]
) -> None:
    machine.installed, machine.invalid = installed, invalid
    changed, note = machine.call("compatible", check_mode=True)
    assert (changed, postgresql_upgrade.report(note)) == (True, {"check": result})
    assert (machine.done, machine.stage()) == (done, "")


def test_check_mode_fails_with_the_check_of_pg_upgrade(machine: Host) -> None:
    machine.failing = "check_compatibility"
    with pytest.raises(ClusterError, match="nothing was changed, 15 still runs: check_compatibility failed"):
        machine.call("compatible", check_mode=True)


def test_check_mode_reports_the_planned_upgrade_at_its_end(machine: Host) -> None:
    assert machine.call("proven", check_mode=True) == (True, {"from": "15", "to": "17"})
    machine.at("proven")
    assert machine.call("proven", check_mode=True)[0] is False
    (machine.root / "note.json").unlink()
    (machine.root / "var/lib/postgresql/15/main/PG_VERSION").unlink()
    assert machine.call("proven", check_mode=True) == (False, {})


def test_database_of_an_interrupted_drop_is_named_and_then_dropped(machine: Host) -> None:
    machine.invalid = ['"Half"']
    [warning] = machine.call("checked")[1]["warnings"]
    assert 'database "Half" was left by an interrupted DROP DATABASE' in warning
    assert machine.done == []
    machine.call("compatible")
    # pg_upgrade refuses it.
    assert machine.done == ['drop "Half"', "check_compatibility"]
