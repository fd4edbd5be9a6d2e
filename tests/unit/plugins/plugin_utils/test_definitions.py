"""Variables are found with the file that defines them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.vise.platform.plugins.plugin_utils import definitions

YAML = "all: {hosts: {a: {one: false}, b: {other: 1}}, vars: {two: null}, children: {web: {vars: {three: 3}}}}"
INI = "[web]\na one=1\nb other=1\n[web:vars]\nthree=x\n[all:vars]\ntwo=\n[db]\nb\n[db:vars]\nfour=4\n"


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_files_of_a_group_are_a_file_or_a_folder_without_files_that_ansible_ignores(tmp_path: Path) -> None:
    for name in (
        "all.yml",
        "web/b.yaml",
        "web/a.yml",
        "web/deep/c.json",
        "web/README.md",
        "web/.hidden.yml",
        "other.yml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in definitions.find_files(tmp_path, ["all", "web", "none"])]
    assert found == ["all.yml", "web/a.yml", "web/b.yaml", "web/deep/c.json"]


def test_variables_of_roles_are_known_except_those_that_playbooks_set(tmp_path: Path) -> None:
    for name, text in (
        ("roles/nginx/meta/argument_specs.yml", "argument_specs: {main: {options: {a: {}, b: {}}}, other: {}}"),
        ("playbooks/edge.yml", "[{hosts: all, roles: [base, {role: nginx, vars: {b: 1}}]}, {import_playbook: x.yml}]"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert definitions.role_options(str(tmp_path / "roles")) == {"a": {}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts.yml", YAML),
        ("hosts", YAML),
        ("hosts.json", '{"all": {"vars": {"two": 1}}}'),
        ("hosts.ini", INI),
        ("hosts", INI),
    ],
)
@pytest.mark.parametrize("of_folder", [False, True])
def test_variables_of_inventory_files_are_found_with_their_file(
    tmp_path: Path, name: str, text: str, of_folder: bool
) -> None:
    write_files(tmp_path, {name: text})
    found = definitions.read_inventories(
        [tmp_path if of_folder else tmp_path / name], "a", ["all", "web"], DataLoader()
    )
    names = ["two"] if name == "hosts.json" else ["one", "two", "three"]
    assert found == dict.fromkeys(names, str(tmp_path / name))


def test_inventories_that_are_queried_define_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program"
    write_files(
        tmp_path,
        {
            "hcloud.yml": "{plugin: hetzner.hcloud.hcloud, network: x}",
            "program": f"#!/bin/sh\ntouch {tmp_path}/started\n",
            "broken.yml": "[",
            "hosts.yml.orig": YAML,
            ".hosts.yml": YAML,
        },
    )
    program.chmod(0o755)
    assert definitions.read_inventories([tmp_path, tmp_path / "none,"], "a", ["all"], DataLoader()) == {}
    assert not (tmp_path / "started").exists()


def test_last_file_that_ansible_reads_wins(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "inventory/hosts.yml": "all: {vars: {one: 1, of_hosts: 1}, children: {web: {hosts: {a: {}}}}}",
            "inventory/group_vars/all/x.yml": "{one: 1, two: 1, three: 1}",
            "playbooks/group_vars/all.yml": "{two: 1}",
            "inventory/group_vars/web.yml": "{three: 1, four: 1}",
            "inventory/host_vars/a.yml": "{four: 1}",
            "inventory/host_vars/b.yml": "{five: 1}",
        },
    )
    task_vars: dict[str, Any] = {
        "ansible_inventory_sources": [str(tmp_path / "inventory")],
        "playbook_dir": str(tmp_path / "playbooks"),
        "inventory_hostname": "a",
        "group_names": ["web"],
    }
    found = definitions.find_definitions(task_vars, DataLoader())
    assert {name: str(Path(file).relative_to(tmp_path)) for name, file in found.items()} == {
        "of_hosts": "inventory/hosts.yml",
        "one": "inventory/group_vars/all/x.yml",
        "two": "playbooks/group_vars/all.yml",
        "three": "inventory/group_vars/web.yml",
        "four": "inventory/host_vars/a.yml",
    }


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("vault.yml", "vault_a: x\nvault_b: {c: [y]}\nother: z\n", ["vault_a", "vault_b"]),
        ("vault.yml", "vault_a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61\n", []),
        ("vault.yml", "vault_a: {b: !vault x, c: y}\n", ["vault_a"]),
        ("vault.yml", "vault_a: '{{ lookup(x) }}'\nvault_b: ENC[AES256_GCM,data]\nvault_c: changeme\n", []),
        ("vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n61\n", []),
        ("hosts.yml", "all: {vars: {vault_a: x}, hosts: {b: {vault_c: y}}}\n", ["vault_a", "vault_c"]),
        ("hosts.ini", "[all:vars]\nvault_a=x\n[web]\nb c=1 vault_d=e\nf vault_g={{ h }}\n", ["vault_a", "vault_d"]),
        ("empty.yml", "", []),
    ],
)
def test_secrets_in_plain_text_are_found(name: str, text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert definitions.find_plaintext_secrets(tmp_path / name) == expected


def test_files_of_groups_and_hosts_are_listed_with_the_environment(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "inventories/production/hosts.yml": "",
            "inventories/staging/hosts.yml": "",
            "inventories/production/host_vars/web-1.yml": "",
            "group_vars/production/a.yml": "",
            "group_vars/all.yml": "",
            "group_vars/README.md": "",
        },
    )
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/group_vars").symlink_to("../group_vars")
    task_vars = {
        "ansible_inventory_sources": [str(tmp_path / "inventories/production")],
        "playbook_dir": str(tmp_path / "playbooks"),
    }
    found = definitions.list_files(task_vars)
    assert found.groups == {"all": f"{tmp_path}/group_vars/all.yml", "production": f"{tmp_path}/group_vars/production"}
    assert (list(found.hosts), found.environment) == (["web-1"], "production")
    assert set(found.inventories) == {"production", "staging"}
