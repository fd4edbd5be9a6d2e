"""The playbook generates what is missing, edits an encrypted file in place and shows no value."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.unit.plugins import installed

SECRET = VaultSecret(b"my password")
DESCRIPTION: dict[str, Any] = {
    "domain": "example.org",
    "databases": {"shop": {"clients": "shop", "password": "{{ shop_password }}"}},
    "shop_password": "{{ vault_database_shop }}",
    "cloudflare_token": "{{ vault_cloudflare_token }}",
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    groups: dict[str, Any] = {name: {"hosts": {"a": {}}} for name in ("database", "shop")}
    folder = tmp_path / "inventory"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}))
    (folder / "group_vars/all/topic.yml").write_text(json.dumps(DESCRIPTION))
    (tmp_path / "password").write_text("my password\n")
    installed.install(tmp_path / "collections")
    return folder


def run(inventory: Path, *options: str, password: bool = True) -> tuple[int, str]:
    given = {"ANSIBLE_VAULT_PASSWORD_FILE": str(inventory.parent / "password")} if password else {}
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "vise.platform.make_secrets", *options],
        cwd=inventory.parent,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(inventory.parent / "collections"), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def decrypt(inventory: Path) -> str:
    content = (inventory / "group_vars/all/vault.yml").read_bytes()
    assert content.startswith(b"$ANSIBLE_VAULT;")
    return VaultLib([("default", SECRET)]).decrypt(content).decode()  # type: ignore[no-any-return,unused-ignore]


def test_missing_secrets_are_generated_and_those_of_providers_are_listed(inventory: Path) -> None:
    status, output = run(inventory)
    assert status == 0, output
    secrets = yaml.safe_load(decrypt(inventory))
    names = ["vault_database_pool", "vault_database_shop", "vault_internal_ca", "vault_internal_ca_key"]
    assert sorted(secrets) == names
    assert f"generated in inventory/group_vars/all/vault.yml: {', '.join(names)}" in output
    assert "- vault_cloudflare_token: create an API token at Cloudflare" in output
    assert not [value for value in secrets.values() if value[:30] in output]
    before = (inventory / "group_vars/all/vault.yml").read_bytes()
    status, output = run(inventory)
    assert "changed=0" in output
    assert (inventory / "group_vars/all/vault.yml").read_bytes() == before


def test_encrypted_file_is_edited_in_place(inventory: Path) -> None:
    text = "# Mine\nvault_database_shop: 'of a colleague'\nvault_cloudflare_token: issued\n"
    (inventory / "group_vars/all/vault.yml").write_bytes(VaultLib(None).encrypt(text, SECRET))
    status, output = run(inventory)
    assert status == 0, output
    assert decrypt(inventory).startswith(f"{text}vault_")
    assert "Next:" not in output


def test_check_mode_names_the_secrets_and_writes_nothing(inventory: Path) -> None:
    status, output = run(inventory, "--check")
    assert status == 0, output
    assert "vault_database_shop" in output
    assert not (inventory / "group_vars/all/vault.yml").exists()


def test_plain_text_is_refused_unless_the_inventory_permits_it(inventory: Path) -> None:
    status, output = run(inventory, password=False)
    assert status == 2
    assert "must be encrypted, and no password is given; set ANSIBLE_VAULT_PASSWORD_FILE" in output
    assert not (inventory / "group_vars/all/vault.yml").exists()
    status, output = run(inventory, "-e", "preflight_plaintext_secrets=true", password=False)
    assert status == 0, output
    assert "vault_database_shop" in yaml.safe_load((inventory / "group_vars/all/vault.yml").read_text())


def test_half_of_the_authority_is_refused(inventory: Path) -> None:
    (inventory / "group_vars/all/vault.yml").write_bytes(VaultLib(None).encrypt("vault_internal_ca: x\n", SECRET))
    status, output = run(inventory)
    assert status == 2
    assert "vault_internal_ca_key is missing, but the value of internal_ca is present" in output
    assert "no secret was written" in output
