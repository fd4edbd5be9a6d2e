"""The pure functions of the sandbox's tool."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml
from lab import definition, image, names, scenarios, secrets, services, world
from lab.shell import SandboxError

SOURCE = '''"""Something outside.

packages: one two
names: a.vln.test b.example
address: 7
ports: 443
faults: slow 500
ready: curl -fsS https://a.vln.test/ | grep -q x
ready: true
"""
'''


def test_docstring_of_a_service_is_parsed() -> None:
    service = services.parse("thing", SOURCE)
    assert service.summary == "Something outside."
    assert service.packages == ("one", "two")
    assert service.names == ("a.vln.test", "b.example")
    assert (service.address, service.ports, service.faults) == ("7", ("443",), ("slow", "500"))
    assert service.ready == ("curl -fsS https://a.vln.test/ | grep -q x", "true")


def test_service_without_an_address_has_the_address_of_world() -> None:
    assert services.parse("thing", '"""Something."""\n').address == "2"


def test_every_service_has_ready_commands_and_its_own_sockets() -> None:
    every = services.load_all()
    assert all(service.ready for service in every)
    sockets = [(service.address, port) for service in every for port in service.ports]
    assert len(sockets) == len(set(sockets))


def test_host_definition_is_parsed_like_yaml() -> None:
    text = definition.FILE.read_text()
    wanted = {key: value for key, value in yaml.safe_load(text).items() if isinstance(value, list)}
    assert definition.parse_lists(text) == wanted


def test_every_flag_has_a_list_in_the_definition() -> None:
    assert set(definition.FLAGS) <= set(definition.parse_lists(definition.FILE.read_text()))


def test_fingerprint_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = image.fingerprint(image.read_tree(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    second = image.fingerprint(image.read_tree(tmp_path))
    (tmp_path / "b").write_text("2")
    assert len({first, second, image.fingerprint(image.read_tree(tmp_path))}) == 3


def test_hosts_of_a_scenario_are_parsed_from_the_inventory_of_molecule() -> None:
    connection = {"ansible_connection": "ssh", "ansible_user": "root"}
    shared = {"docs-1": connection, "edge-1": {"ansible_connection": "ssh"}}
    inventory = yaml.safe_dump({"all": {"hosts": shared, "vars": {"a": 1}}, "ungrouped": {"hosts": shared}})
    assert scenarios.parse_hosts(inventory) == {"docs-1", "edge-1"}


def test_state_of_missing_hosts_is_removed_for_every_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(scenarios, "succeeds", lambda *argv: argv[-1] == "there")
    for name, host, key in (
        ("lost", "gone", "/elsewhere/.cache/sandbox/id_ed25519"),
        ("kept", "there", "/elsewhere/.cache/sandbox/id_ed25519"),
        ("others", "gone", "/elsewhere/id_ed25519"),
    ):
        folder = tmp_path / f".ansible/tmp/molecule.{name}"
        (folder / "inventory").mkdir(parents=True)
        inventory = f"all:\n  hosts:\n    {host}: &id001\n      ansible_connection: ssh\n      key: {key}\n"
        (folder / "inventory/ansible_inventory.yml").write_text(inventory)
        (folder / "state.yml").write_text("created: true\n")
    scenarios.forget_missing_hosts()
    assert {path.name for path in (tmp_path / ".ansible/tmp").iterdir()} == {"molecule.kept", "molecule.others"}


def test_outage_rejects_both_families_or_only_the_given_client() -> None:
    service = services.parse("thing", SOURCE)
    everyone = world.build_reject_rules("t", service, "")
    assert "ip daddr 172.30.0.7 tcp dport { 443 } reject" in everyone
    assert "ip6 daddr fd30::7 tcp dport { 443 } reject" in everyone
    one = world.build_reject_rules("t", service, "fd30::3")
    assert "ip6 daddr fd30::7 ip6 saddr fd30::3 tcp dport { 443 } reject" in one
    assert "ip daddr" not in one


@pytest.mark.parametrize(
    ("service", "mode", "clients", "problem"),
    [
        ("s3_z", "none", [], "world has no service s3_z"),
        ("s3_a", "flood", [], "its faults are none, outage, slow, 403, 500"),
        ("acme", "slow", [], "its faults are none, outage"),
        ("s3_a", "slow", ["molecule-1"], "does not appear to be"),
        ("s3_a", "slow@2", [], "has no fault slow@2"),
        ("cloudflare", "500@0", [], "has no fault 500@0"),
        ("cloudflare", "outage@2", [], "has no fault outage@2"),
    ],
)
def test_unknown_fault_is_refused_before_any_change(
    service: str, mode: str, clients: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(world, "run")
    with pytest.raises(SandboxError, match=problem):
        world.set_fault(service, mode, clients)


def test_fault_at_a_counted_request_is_written_for_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(world, "run", lambda *_argv, text: written.append(text))
    world.set_fault("cloudflare", "429@2", [])
    assert written == ["429@2"]


def test_limited_tokens_are_private_and_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "CLOUDFLARE_TOKENS", tmp_path / "cloudflare.json")
    secrets.create_limited_cloudflare_tokens()
    first = names.CLOUDFLARE_TOKENS.read_text()
    secrets.create_limited_cloudflare_tokens()
    assert names.CLOUDFLARE_TOKENS.read_text() == first
    assert stat.S_IMODE(names.CLOUDFLARE_TOKENS.stat().st_mode) == 0o600
    assert {entry["permissions"][0] for entry in json.loads(first).values()} == {"DNS Write", "Zone Read"}


def test_s3_credentials_are_private_and_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "S3", tmp_path / "s3.json")
    secrets.create_s3_credentials()
    first = names.S3.read_text()
    secrets.create_s3_credentials()
    assert names.S3.read_text() == first
    assert stat.S_IMODE(names.S3.stat().st_mode) == 0o600
    pairs = json.loads(first)
    assert set(pairs) == {"full", "append"}
    assert len({pair["key"] for pair in pairs.values()} | {pair["secret"] for pair in pairs.values()}) == 4
