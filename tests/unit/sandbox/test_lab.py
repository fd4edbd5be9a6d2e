"""The pure parts of the sandbox's tool."""

from __future__ import annotations

from pathlib import Path

import yaml
from lab import definition, image, scenarios, services

SOURCE = '''"""Something outside.

packages: one two
names: a.vln.test b.example
address: 7
ports: 443
ready: curl -fsS https://a.vln.test/ | grep -q x
ready: true
"""
'''


def test_head_of_a_service_is_read() -> None:
    service = services.read("thing", SOURCE)
    assert service.summary == "Something outside."
    assert service.packages == ("one", "two")
    assert service.names == ("a.vln.test", "b.example")
    assert (service.address, service.ports) == ("7", ("443",))
    assert service.ready == ("curl -fsS https://a.vln.test/ | grep -q x", "true")


def test_service_without_an_address_has_that_of_world() -> None:
    assert services.read("thing", '"""Something."""\n').address == "2"


def test_every_service_says_when_it_is_ready_and_shares_no_address_and_port() -> None:
    every = services.every()
    assert all(service.ready for service in every)
    taken = [(service.address, port) for service in every for port in service.ports]
    assert len(taken) == len(set(taken))


def test_definition_of_a_host_is_read_as_yaml_reads_it() -> None:
    text = definition.FILE.read_text()
    wanted = {key: value for key, value in yaml.safe_load(text).items() if isinstance(value, list)}
    assert definition.lists(text) == wanted


def test_every_flag_has_its_list_in_the_definition() -> None:
    assert set(definition.FLAGS) <= set(definition.lists(definition.FILE.read_text()))


def test_fingerprint_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = image.fingerprint(image.tree(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    second = image.fingerprint(image.tree(tmp_path))
    (tmp_path / "b").write_text("2")
    assert len({first, second, image.fingerprint(image.tree(tmp_path))}) == 3


def test_hosts_of_a_scenario_are_read_from_the_inventory_that_molecule_writes() -> None:
    connection = {"ansible_connection": "ssh", "ansible_user": "root"}
    shared = {"docs-1": connection, "edge-1": {"ansible_connection": "ssh"}}
    inventory = yaml.safe_dump({"all": {"hosts": shared, "vars": {"a": 1}}, "ungrouped": {"hosts": shared}})
    assert scenarios.hosts(inventory) == {"docs-1", "edge-1"}
