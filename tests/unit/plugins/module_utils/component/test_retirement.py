"""The removal of a function that a host has left, on a directory tree with a stub of systemctl, dpkg and apt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host, packages, retirement, revert_timer
from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest, UnitState
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store
from ansible_collections.vise.platform.plugins.module_utils.host import programs

ACTIVE, STOPPED = UnitState("loaded", "active", "enabled"), UnitState("loaded", "inactive", "disabled")


@dataclasses.dataclass
class Machine:
    """A host: its units, the packages that ship them, and what apt would remove."""

    root: Path
    states: dict[str, UnitState] = dataclasses.field(default_factory=dict)
    owners: dict[str, str] = dataclasses.field(default_factory=dict)
    removed: list[str] = dataclasses.field(default_factory=list)
    manual: list[str] = dataclasses.field(default_factory=list)
    calls: list[str] = dataclasses.field(default_factory=list)

    def run(self, argv: Sequence[str], **_options: object) -> programs.Result:
        """Stand in for programs.run."""
        self.calls.append(" ".join(argv))
        if argv[0] == "dpkg-query":
            wanted = [pattern.removeprefix("*/systemd/system/") for pattern in argv[2:]]
            return programs.Result(0, "".join(f"{self.owners[u]}: /usr/{u}\n" for u in wanted if u in self.owners))
        if argv[:2] == ["apt-get", "remove"]:
            return programs.Result(0, "".join(f"Remv {name} [1]\n" for name in self.removed))
        if argv[0] == "apt-mark":
            return programs.Result(0, "\n".join(self.manual))
        if argv[:2] == ["systemctl", "stop"]:
            self.states[argv[2]] = STOPPED
        return programs.Result(0, "")

    def add(self, name: str, units: Sequence[str] = (), specs: Sequence[str] = ()) -> Store:
        """Add a component with one file."""
        store = Store(name, str(self.root / "components"))
        Path(store.directory).mkdir(parents=True)
        path = self.root / f"etc/{name}/{name}.conf"
        path.parent.mkdir(parents=True)
        path.write_text(name)
        store.write_manifest(Manifest("g1", (str(path),)))
        store.write_record({"units": [{"name": unit} for unit in units], "packages": list(specs), "nodes": {}})
        return store

    def plan(self, *components: str) -> list[str]:
        """Return the texts of the steps."""
        return [
            step.text for step in retirement.plan(components, str(self.root / "kept"), str(self.root / "components"))
        ]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(programs, "run", made.run)
    monkeypatch.setattr(host, "read_unit_states", lambda names: {n: made.states.get(n, STOPPED) for n in names})
    monkeypatch.setattr(packages, "read_packages", list)
    monkeypatch.setattr(packages, "find_installed", lambda names, _packages: sorted(names))
    monkeypatch.setattr(revert_timer, "read_record", lambda _store: None)
    monkeypatch.setattr(retirement, "KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(retirement, "ROOT", str(tmp_path / "components"))
    data = {"redis": retirement.Part(data=(str(tmp_path / "data"),))}
    monkeypatch.setattr(retirement, "PARTS", {**{name: retirement.Part() for name in retirement.PARTS}, **data})
    return made


def execute(machine: Machine, *components: str) -> None:
    """Do all steps."""
    for step in retirement.plan(components, str(machine.root / "kept"), str(machine.root / "components")):
        step.do()


def test_component_that_no_function_needs_is_found_with_the_function_that_it_belonged_to(machine: Machine) -> None:
    for name in ("base", "nginx", "redis", "postgresql-17", "postgresql-15", "docker"):
        machine.add(name)
    root = str(machine.root / "components")
    assert retirement.find_left(["nginx", "docker"], root) == {
        "cache": ["redis"],
        "database": ["postgresql-15", "postgresql-17"],
    }
    assert retirement.find_left(["nginx", "redis", "postgresql"], root) == {"edu": ["docker"]}
    machine.add("mailcow")
    assert retirement.find_left(["nginx", "redis", "postgresql"], root) == {"mail": ["mailcow", "docker"]}


def test_host_without_components_has_left_no_function(tmp_path: Path) -> None:
    assert retirement.find_left([], str(tmp_path / "none")) == {}


def test_function_ends_with_its_data_kept_and_its_files_removed(machine: Machine) -> None:
    store = machine.add("redis", ["redis-server.service"], ["redis-server"])
    machine.states["redis-server.service"] = ACTIVE
    machine.owners, machine.removed = {"redis-server.service": "redis-server"}, ["redis-server"]
    (machine.root / "data").mkdir()
    (machine.root / "data/dump.rdb").write_text("keys")
    execute(machine, "redis")
    assert "systemctl stop redis-server.service" in machine.calls
    assert "systemctl disable --quiet redis-server.service" in machine.calls
    assert [call for call in machine.calls if call.startswith("apt-get remove --yes")]
    # systemd forgets the units whose files were removed.
    assert machine.calls[-1] == "systemctl daemon-reload"
    kept = machine.root / "kept" / str(machine.root / "data").lstrip("/") / "dump.rdb"
    assert kept.read_text() == "keys"
    assert not (machine.root / "etc/redis").exists()
    assert not Path(store.directory).exists()
    assert machine.plan() == []


def test_killed_run_is_completed(machine: Machine) -> None:
    store = machine.add("redis", ["redis-server.service"])
    machine.states["redis-server.service"] = ACTIVE
    steps = retirement.plan(["redis"], str(machine.root / "kept"), str(machine.root / "components"))
    for step in steps[:-1]:
        step.do()
    assert machine.plan("redis") == ["end the component redis"]
    assert Path(store.directory).exists()


def test_directory_with_files_of_others_stays(machine: Machine) -> None:
    machine.add("redis")
    (machine.root / "etc/redis/own.conf").write_text("of an administrator")
    execute(machine, "redis")
    assert [path.name for path in (machine.root / "etc/redis").iterdir()] == ["own.conf"]


def test_package_that_others_need_stays(machine: Machine) -> None:
    machine.add("redis", ["redis-server.service"], ["redis-server"])
    machine.owners = {"redis-server.service": "redis-server"}
    machine.removed, machine.manual = ["redis-server", "shop"], ["shop"]
    assert not any(text.startswith("remove the packages") for text in machine.plan("redis"))
    machine.manual = []
    assert "remove the packages redis-server shop" in machine.plan("redis")
    machine.add("queue", specs=["redis-server=5:8.0.2-3"])
    assert not any(text.startswith("remove the packages") for text in machine.plan("redis"))


def test_package_of_a_template_of_units_is_found(machine: Machine) -> None:
    machine.add("postgresql-17", ["postgresql@17-main.service"], ["postgresql-17"])
    machine.owners, machine.removed = {"postgresql@.service": "postgresql-common"}, ["postgresql-17"]
    assert "remove the packages postgresql-17" in machine.plan("postgresql-17")


def test_timers_stop_before_their_services(machine: Machine) -> None:
    store = machine.add("certificates", ["vise-certificates.timer", "certbot.timer"])
    store.write_manifest(Manifest("g1", ("/etc/systemd/system/vise-certificates.service",)))
    assert retirement.list_units(store) == ["certbot.timer", "vise-certificates.timer", "vise-certificates.service"]


def test_mailcow_ends_with_its_containers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = machine.root / "settings.json"
    settings.write_text(f'{{"directory": "{machine.root}"}}')
    (machine.root / "docker-compose.yml").write_text("")
    monkeypatch.setattr(retirement, "MAILCOW", str(settings))
    machine.add("mailcow")
    assert machine.plan("mailcow")[0] == "stop and remove the containers of mailcow"
    execute(machine, "mailcow")
    assert "docker compose down" in machine.calls


def test_unit_that_runs_again_is_found(machine: Machine) -> None:
    machine.states = {"a.service": ACTIVE, "b.service": STOPPED}
    assert retirement.find_running(["a.service", "b.service"]) == ["a.service"]
