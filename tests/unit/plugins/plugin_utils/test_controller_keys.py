"""The keys that ssh offers are those of its configuration, of the inventory and of the agent."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import controller_keys


class Connection:
    """The options of a connection by ssh."""

    def __init__(self, transport: str = "ssh", **options: Any) -> None:
        self.transport = transport
        self.options = {"host": "192.0.2.1", **options}

    def has_option(self, name: str) -> bool:
        return name in self.options

    def get_option(self, name: str) -> Any:
        return self.options.get(name)


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def make_key(path: Path, passphrase: str = "") -> str:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "a comment", "-f", str(path)]
    subprocess.run(command, check=True)
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def test_key_of_the_inventory_is_offered(tmp_path: Path) -> None:
    key = make_key(tmp_path / "id")
    assert controller_keys.find_controller_keys(Connection(private_key_file=str(tmp_path / "id"))) == frozenset([key])


@pytest.mark.parametrize(("passphrase", "expected"), [("", 1), ("a passphrase", 0)])
def test_public_key_is_derived_if_it_has_no_file(passphrase: str, expected: int, tmp_path: Path) -> None:
    make_key(tmp_path / "id", passphrase)
    (tmp_path / "id.pub").unlink()
    found = controller_keys.find_controller_keys(Connection(private_key_file=str(tmp_path / "id")))
    assert found is not None
    assert len(found) == expected


def test_key_of_the_configuration_of_ssh_is_offered(tmp_path: Path) -> None:
    key = make_key(tmp_path / "id")
    (tmp_path / "config").write_text(f"Host 192.0.2.*\n  IdentityFile {tmp_path}/id\n")
    assert controller_keys.find_controller_keys(Connection(ssh_common_args=f"-F {tmp_path}/config")) == frozenset([key])


def test_keys_of_the_agent_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path))
    monkeypatch.setattr(controller_keys, "read_client_options", lambda _connection: {"user": ["root"]})
    monkeypatch.setattr(controller_keys, "run", lambda _command, **_more: (0, "ssh-rsa AAAA of the agent\n"))
    assert controller_keys.find_controller_keys(Connection()) == frozenset(["ssh-rsa AAAA"])


@pytest.mark.parametrize("code", [-1, 2])
def test_agent_that_cannot_be_queried_may_offer_any_key(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_keys, "run", lambda _command, **_more: (code, ""))
    assert controller_keys.read_agent(str(tmp_path)) is None


@pytest.mark.parametrize(
    "connection",
    [
        Connection("local"),
        Connection("paramiko"),
        Connection(private_key="a key"),
        Connection(ssh_common_args="-o NoSuchOption=1"),
    ],
)
def test_keys_of_other_connections_are_unknown(connection: Connection) -> None:
    assert controller_keys.find_controller_keys(connection) is None
