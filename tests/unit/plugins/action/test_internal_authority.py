"""The stages in a vault file of an inventory: edited in place, refused in the wrong order, and no key is printed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.vise.platform.plugins.module_utils.tls import x509

from tests.unit.plugins import installed

SECRET = VaultSecret(b"my password")
CA, KEY = x509.make_ca("ours")
FIRST = {"vault_internal_ca": CA, "vault_internal_ca_key": KEY}
TASKS: list[dict[str, Any]] = [
    {"vise.platform.internal_authority": {"stage": "{{ stage }}"}, "register": "done", "run_once": True},
    {
        "ansible.builtin.debug": {
            "msg": "file={{ done.file }} trusted={{ done.trusted|length }} before={{ done.before | sort | join(',') }}"
        }
    },
]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"a": {}, "b": {}}}}))
    (tmp_path / "password").write_text("my password\n")
    play = {"hosts": "all", "gather_facts": False, "roles": ["vise.platform.description"], "tasks": TASKS}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    installed.install(tmp_path / "collections")
    write(folder, "# Mine\nother: x\n" + yaml.safe_dump(FIRST))
    return folder


def write(inventory: Path, text: str) -> None:
    (inventory / "group_vars/all/vault.yml").write_bytes(VaultLib(None).encrypt(text, SECRET))


def decrypt(inventory: Path) -> str:
    content = (inventory / "group_vars/all/vault.yml").read_bytes()
    assert content.startswith(b"$ANSIBLE_VAULT;")
    return VaultLib([("default", SECRET)]).decrypt(content).decode()  # type: ignore[no-any-return,unused-ignore]


def run(inventory: Path, stage: str, *options: str, verbose: bool = False) -> tuple[int, str]:
    given = {"ANSIBLE_VAULT_PASSWORD_FILE": str(inventory.parent / "password")}
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "play.yml", "-e", f"stage={stage}", *options, *["-vvv"] * verbose],
        cwd=inventory.parent,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(inventory.parent / "collections"), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_stages_replace_the_authority_in_the_encrypted_file(inventory: Path) -> None:
    before = decrypt(inventory)
    status, output = run(inventory, "trust", "--check")
    assert (status, decrypt(inventory)) == (0, before), output
    status, output = run(inventory, "trust", verbose=True)
    assert status == 0, output
    assert "file=inventory/group_vars/all/vault.yml trusted=1 before=current" in output
    text = decrypt(inventory)
    assert text.startswith(before)
    trusted = yaml.safe_load(text)
    new, new_key = trusted["vault_internal_ca_next"], trusted["vault_internal_ca_next_key"]
    assert x509.find_ca_problem(new, new_key) == ""
    # Of two authorities with the same name, some TLS libraries try only the first one.
    assert x509.load_certificate(new).subject != x509.load_certificate(CA).subject
    # Run again, as after a kill: nothing more is generated.
    assert run(inventory, "trust")[0] == 0
    assert decrypt(inventory) == text
    assert run(inventory, "issue", verbose=True)[0] == 0
    issued = yaml.safe_load(decrypt(inventory))
    previous = {"vault_internal_ca_previous": CA, "vault_internal_ca_previous_key": KEY}
    assert issued == {"other": "x", "vault_internal_ca": new, "vault_internal_ca_key": new_key, **previous}
    status, output = run(inventory, "retire", verbose=True)
    assert "before=current,previous" in output
    assert yaml.safe_load(decrypt(inventory)) == {
        "other": "x",
        "vault_internal_ca": new,
        "vault_internal_ca_key": new_key,
    }
    assert not [key for key in (KEY, new_key) if key.splitlines()[1] in output]


@pytest.mark.parametrize(
    ("stage", "text"),
    [("issue", "first: -e rotate_authority=trust"), ("back", "there is none to return to")],
)
def test_stage_in_the_wrong_order_changes_nothing(inventory: Path, stage: str, text: str) -> None:
    before = decrypt(inventory)
    status, output = run(inventory, stage)
    assert status == 2
    assert f"{text}; nothing was changed" in output
    assert decrypt(inventory) == before


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            {"vault.yml": {"vault_internal_ca": CA}},
            "vault_internal_ca_key is missing, but vault_internal_ca is present",
        ),
        ({"vault.yml": {}}, "vault_internal_ca is missing: run make_secrets.yml"),
        (
            {"vault.yml": {"vault_internal_ca": CA}, "x.yml": {"vault_internal_ca_key": KEY}},
            "must be located in one file",
        ),
        (
            {"vault.yml": FIRST, "x.yml": {"internal_ca": "of others"}},
            "internal_ca: the description overrides the default",
        ),
        (
            {
                "vault.yml": {**FIRST, "vault_internal_ca_next": CA, "vault_internal_ca_next_key": KEY},
                "x.yml": {"internal_ca_trusted": []},
            },
            "internal_ca_trusted: the description overrides the default",
        ),
    ],
)
def test_other_descriptions_are_refused_with_the_remedy(inventory: Path, files: dict[str, Any], text: str) -> None:
    for name, content in files.items():
        (inventory / "group_vars/all" / name).write_bytes(VaultLib(None).encrypt(yaml.safe_dump(content), SECRET))
    status, output = run(inventory, "trust")
    assert status == 2
    assert text in output
    assert KEY.splitlines()[1] not in output
