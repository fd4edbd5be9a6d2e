"""Secrets: made once, never replaced."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from tools import make_secrets

MAKERS = {("vault_a", "vault_b"): lambda: {"vault_a": "1\n2\n", "vault_b": "3"}, ("vault_c",): lambda: {"vault_c": "4"}}


def test_what_is_missing_is_made() -> None:
    assert make_secrets.completed({}, MAKERS) == {"vault_a": "1\n2\n", "vault_b": "3", "vault_c": "4"}


def test_what_is_there_is_kept() -> None:
    present = {"vault_a": "old", "vault_b": "old", "vault_other": "old"}
    assert make_secrets.completed(present, MAKERS) == {**present, "vault_c": "4"}


def test_half_of_what_belongs_together_is_refused() -> None:
    with pytest.raises(SystemExit, match="vault_b is missing, vault_a is there"):
        make_secrets.completed({"vault_a": "old"}, MAKERS)


def test_file_is_readable_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep/vault.yml"
    make_secrets.write(path, {"vault_a": "1\n2\n"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {"vault_a": "1\n2\n"}


def test_each_password_is_made_apart_from_the_others() -> None:
    makers = {names: maker for names, maker in make_secrets.MAKERS.items() if names[0] in make_secrets.PASSWORDS}
    made = make_secrets.completed({}, makers)
    assert len(set(made.values())) == len(make_secrets.PASSWORDS)
    assert min(map(len, made.values())) >= 32


def test_credentials_of_the_sandbox_that_cannot_delete_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = {kind: {"key": f"key of {kind}", "secret": f"secret of {kind}"} for kind in ("full", "append")}
    (tmp_path / "s3.json").write_text(json.dumps(pair))
    monkeypatch.setattr(make_secrets, "SANDBOX", tmp_path)
    assert make_secrets.storage_keys() == {
        "vault_backup_key": "key of full",
        "vault_backup_secret": "secret of full",
        "vault_backup_append_key": "key of append",
        "vault_backup_append_secret": "secret of append",
    }


def test_environment_of_ones_own_gets_what_no_provider_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_secrets.main([str(tmp_path)]) == 0
    made = yaml.safe_load((tmp_path / "group_vars/all/vault.yml").read_text())
    assert made["vault_internal_ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert not {name for names in make_secrets.GIVEN for name in names} & made.keys()
    said = capsys.readouterr().out
    assert "vault_cloudflare_token" in said
    assert "ansible-vault encrypt" in said
    assert not [value for value in made.values() if value in said]


def test_encrypted_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "group_vars/all/vault.yml"
    path.parent.mkdir(parents=True)
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n1234\n")
    with pytest.raises(SystemExit, match="is encrypted; decrypt it first"):
        make_secrets.main([str(tmp_path)])
    assert path.read_text().endswith("\n1234\n")


def test_inventory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="name that of an inventory"):
        make_secrets.main([str(tmp_path / "production")])
