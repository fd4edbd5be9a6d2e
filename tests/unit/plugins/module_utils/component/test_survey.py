"""A survey on a directory tree: it finds what is right, and everything that is not."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import pwd
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host, survey, transaction
from ansible_collections.vise.platform.plugins.module_utils.component import packages as component_packages
from ansible_collections.vise.platform.plugins.module_utils.component.model import Node, Probe, Unit, UnitState, Wanted
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.modules import component

ME = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
RUNNING = UnitState("loaded", "active", "enabled")
CANARY = "canary-7f3a"


class Host(t.NamedTuple):
    """A host with one component, which a run has applied."""

    folder: Path
    store: Store
    wanted: Wanted

    def differences(self, code: str = "c1") -> list[str] | None:
        """Return what a survey finds; None when it has not surveyed the component."""
        found = survey.survey(code, self.store.root).get("demo")
        return None if found is None else t.cast("list[str]", found["differences"])

    def apply(self, **changes: t.Any) -> None:
        """Apply the component with other properties."""
        component.converge(dataclasses.replace(self.wanted, **changes), self.store, False)


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> dict[str, UnitState]:
    """The states of the host's units."""
    states = {"demo.service": RUNNING}
    monkeypatch.setattr(host, "read_unit_states", lambda names: {name: states[name] for name in names})
    return states


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The installed packages."""
    installed = {"tree"}
    monkeypatch.setattr(
        component_packages,
        "read_packages",
        lambda: [component_packages.Package(name, "amd64", "1", "installed", {}) for name in {*installed, "dpkg"}],
    )
    return installed


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A component with one part of each kind."""
    monkeypatch.setattr(host, "systemctl", lambda *_: None)
    (tmp_path / "live").write_text("g1")
    store = Store("demo", str(tmp_path / "components"))
    wanted = Wanted(
        "demo",
        "g1",
        packages=("tree",),
        absent_packages=("telnet",),
        groups=({"name": GROUP, "gid": None, "system": False},),
        users=({"name": ME, "shell": pwd.getpwnam(ME).pw_shell},),
        nodes={
            str(tmp_path / "parts"): Node("directory", owner=ME, group=GROUP, mode="0755"),
            str(tmp_path / "secret"): Node("file", CANARY, ME, GROUP, "0600", secret=True),
            str(tmp_path / "bytes"): Node("file", "\udcff\n", ME, GROUP, "0644"),
            str(tmp_path / "link"): Node("link", "secret"),
            str(tmp_path / "gone"): Node(),
        },
        purge=(f"{tmp_path}/parts/*",),
        units=(Unit("demo.service", restart_on=("*.service",)),),
        probes=(Probe(("cat", str(tmp_path / "live")), expect="{generation}"),),
        code="c1",
    )
    with store.lock():
        component.converge(wanted, store, False)
    return Host(tmp_path, store, wanted)


def test_component_as_the_last_run_left_it_is_right(demo: Host) -> None:
    assert survey.survey("c1", demo.store.root) == {"demo": {"generation": "g1", "differences": []}}


def test_record_is_the_wanted_state_without_any_content(demo: Host) -> None:
    path = Path(demo.store.directory) / "record.json"
    assert CANARY not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    record = Wanted.from_record(json.loads(path.read_text()))
    hashed = {path: node.hashed() for path, node in demo.wanted.nodes.items()}
    assert record == dataclasses.replace(demo.wanted, nodes=hashed)


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        (lambda folder: (folder / "secret").write_text("other"), "write {}/secret"),
        (lambda folder: (folder / "bytes").write_bytes(b"\xfe\n"), "write {}/bytes"),
        (lambda folder: (folder / "secret").chmod(0o644), "chmod/chown {}/secret"),
        (lambda folder: (folder / "parts").chmod(0o777), "chmod/chown {}/parts"),
        (lambda folder: (folder / "link").unlink(), "create {}/link"),
        (lambda folder: (folder / "gone").write_text(""), "remove {}/gone"),
        (lambda folder: (folder / "parts/foreign").write_text(""), "remove {}/parts/foreign"),
    ],
)
def test_path_that_differs_is_found(demo: Host, drift: t.Callable[[Path], object], expected: str) -> None:
    drift(demo.folder)
    found = demo.differences()
    assert found is not None and found[0] == expected.format(demo.folder)


def test_package_that_is_missing_or_must_not_be_there_is_found(demo: Host, packages: set[str]) -> None:
    packages.clear()
    packages.add("telnet")
    assert demo.differences() == ["install tree", "uninstall telnet"]


def test_account_that_differs_is_found(demo: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "read_groups", dict)
    monkeypatch.setattr(host, "read_users", lambda: {ME: {"name": ME, "shell": "/other"}})
    assert demo.differences() == [f"group {GROUP}", f"user {ME}"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (UnitState("loaded", "inactive", "enabled"), "start demo.service"),
        (UnitState("loaded", "active", "disabled"), "enable demo.service"),
        (UnitState("loaded", "active", "enabled", needs_reload=True), "daemon-reload"),
    ],
)
def test_unit_that_differs_is_found(demo: Host, units: dict[str, UnitState], state: UnitState, expected: str) -> None:
    units["demo.service"] = state
    assert demo.differences() == [expected]


def test_configuration_that_is_not_live_is_found(demo: Host) -> None:
    (demo.folder / "live").write_text("g0")
    assert any("does not print 'g1'" in one for one in demo.differences() or [])


def test_probe_that_takes_too_long_is_a_difference(demo: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "LONGEST_PROBE", 1)
    with demo.store.lock():
        record = dataclasses.replace(demo.wanted, probes=(Probe(("sleep", "60"), timeout=90),))
        transaction.record(record, demo.store)
    assert any("timed out after 1 s" in one for one in demo.differences() or [])


def test_unfinished_change_is_a_difference(demo: Host) -> None:
    demo.store.write_journal(Journal({}, {}, demo.store.read_manifest()))
    assert demo.differences() == ["a killed run is unfinished"]


def test_component_that_another_process_changes_is_not_right(demo: Host) -> None:
    with demo.store.lock():
        found = demo.differences()
    assert found is not None and "another process holds the lock" in found[0]


def test_users_that_a_failed_run_left_behind_are_a_difference(demo: Host) -> None:
    transaction.begin(dataclasses.replace(demo.wanted, users=({"name": "new"},)), demo.store)
    assert demo.differences() == ["the manifest has other paths, users or another generation"]


def test_what_other_code_has_recorded_is_not_surveyed(demo: Host) -> None:
    assert demo.differences(code="c2") is None
    assert demo.differences(code="") is None


def test_check_mode_writes_no_record(demo: Host) -> None:
    before = demo.store.read_record()
    component.converge(dataclasses.replace(demo.wanted, code="c2"), demo.store, True)
    assert demo.store.read_record() == before


def test_run_without_a_difference_replaces_the_record_of_older_code(demo: Host) -> None:
    demo.apply(code="c2")
    assert demo.differences(code="c2") == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"code": "c1"}', '{"code": "c1", "name": "broken"}'])
def test_unreadable_record_hides_no_other_component(demo: Host, text: str) -> None:
    folder = demo.folder / "components/broken"
    folder.mkdir()
    (folder / "record.json").write_text(text)
    (demo.folder / "components/file").write_text("")
    assert list(survey.survey("c1", demo.store.root)) == ["demo"]


def test_host_without_components_has_nothing_to_survey(tmp_path: Path) -> None:
    assert survey.survey("c1", str(tmp_path / "missing")) == {}


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        (host, "read_unit_states", host.HostError("systemctl show failed")),
        (component_packages, "read_packages", programs.ProgramError("dpkg-query failed")),
        (host, "read_users", OSError("no users")),
    ],
)
def test_host_that_cannot_be_read_leaves_the_error_to_the_components(
    demo: Host, monkeypatch: pytest.MonkeyPatch, module: t.Any, name: str, error: Exception
) -> None:
    def fail(*_names: object) -> t.NoReturn:
        raise error

    monkeypatch.setattr(module, name, fail)
    assert survey.survey("c1", demo.store.root) == {}


def test_part_that_cannot_be_read_makes_only_its_component_differ(demo: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_packages: t.Sequence[str], _known: object) -> t.NoReturn:
        raise programs.ProgramError("apt-cache failed")

    monkeypatch.setattr(component_packages, "find_missing", fail)
    assert demo.differences() == ["apt-cache failed"]
