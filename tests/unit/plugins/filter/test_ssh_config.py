"""OpenSSH itself reads the configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.ssh_config import FilterModule, ssh_config

GROUPS = {"all": ["web-1", "db-1"], "ungrouped": [], "database": ["db-1"], "edge": ["web-1", "db-1"], "web-1": ["db-1"]}


def read_host(folder: Path, hostvars: dict[str, dict[str, Any]], host: str) -> dict[str, str]:
    """Return what ssh uses for a host."""
    path = folder / "ssh_config"
    path.write_text(ssh_config(hostvars, GROUPS))
    done = subprocess.run(["ssh", "-F", path, "-G", host], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("name", ["db-1", "database"])
def test_host_is_reached_by_its_name_and_by_its_group(name: str, tmp_path: Path) -> None:
    common = "-o StrictHostKeyChecking=no -oServerAliveInterval=5 -J bastion.example.test -o 'LogLevel ERROR'"
    variables = {
        "ansible_host": "2001:db8::5",
        "ansible_port": 2222,
        "ansible_user": "debian",
        "ansible_ssh_private_key_file": f"{tmp_path}/my key",
        "ansible_ssh_common_args": common,
    }
    found = read_host(tmp_path, {"web-1": {}, "db-1": variables}, name)
    expected = {
        "hostname": "2001:db8::5",
        "port": "2222",
        "user": "debian",
        "identityfile": f"{tmp_path}/my key",
        "serveraliveinterval": "5",
        "proxyjump": "bastion.example.test",
        "loglevel": "ERROR",
    }
    assert {key: found[key] for key in expected} == expected
    assert found["stricthostkeychecking"] in ("no", "false")


def test_group_with_the_name_of_a_host_is_no_alias(tmp_path: Path) -> None:
    hostvars = {"web-1": {"ansible_host": "192.0.2.1"}, "db-1": {"ansible_host": "192.0.2.2"}}
    assert read_host(tmp_path, hostvars, "web-1")["hostname"] == "192.0.2.1"
    assert read_host(tmp_path, hostvars, "edge")["hostname"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o 'ProxyCommand", r"db-1: ansible_ssh_common_args is not a command line: .*quotation"),
        ("-v", r"db-1: `-v` in .* write it as `-o Keyword=value`"),
        ("-o", r"db-1: `-o` in"),
    ],
)
def test_argument_without_a_keyword_is_refused(arguments: str, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        ssh_config({"web-1": {}, "db-1": {"ansible_ssh_common_args": arguments}}, GROUPS)


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"ssh_config": ssh_config}
