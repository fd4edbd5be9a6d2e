"""A vault file is completed once, also when two processes complete it at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.vise.platform.plugins.plugin_utils import vault_completion

SECRETS = [("default", VaultSecret(b"my password"))]


def read(path: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(VaultLib(list(SECRETS)).decrypt(path.read_bytes()))
    return found


def test_value_that_another_process_has_written_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    first = {"vault_a": "1", "vault_b": "2"}
    assert vault_completion.write_values(path, first, SECRETS, False) == first
    assert vault_completion.write_values(path, {"vault_b": "3", "vault_c": "4"}, SECRETS, False) == {"vault_c": "4"}
    assert read(path) == {"vault_a": "1", "vault_b": "2", "vault_c": "4"}


def test_no_value_is_lost_when_several_processes_write(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    threads = [
        threading.Thread(target=vault_completion.write_values, args=(path, {f"vault_{number}": "x"}, SECRETS, False))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read(path)) == {f"vault_{number}" for number in range(6)}


def test_hosts_are_read_as_the_files_are_at_this_moment(tmp_path: Path) -> None:
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "hosts.yml").write_text(
        "all: {vars: {a: inventory, b: inventory}, children: {web: {hosts: {x: {c: host}}, vars: {b: web}}}}"
    )
    (tmp_path / "host_vars/x.yml").write_text("d: host_vars")
    for text in ("e: first", "e: second"):
        (tmp_path / "group_vars/all/topic.yml").write_text(text)
        found = vault_completion.read_hosts(tmp_path, DataLoader())
    values = {name: found["x"][name] for name in "abcde"}
    assert values == {"a": "inventory", "b": "web", "c": "host", "d": "host_vars", "e": "second"}
    assert found["x"]["groups"]["web"] == ["x"]
