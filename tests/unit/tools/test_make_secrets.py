"""Secrets are generated once and never replaced."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from tools import make_secrets

MAKERS = {("vault_a", "vault_b"): lambda: {"vault_a": "1\n2\n", "vault_b": "3"}, ("vault_c",): lambda: {"vault_c": "4"}}


def test_missing_secrets_are_generated() -> None:
    assert make_secrets.add_missing({}, MAKERS) == {"vault_a": "1\n2\n", "vault_b": "3", "vault_c": "4"}


def test_present_secrets_are_not_replaced() -> None:
    present = {"vault_a": "old", "vault_b": "old", "vault_other": "old"}
    assert make_secrets.add_missing(present, MAKERS) == {**present, "vault_c": "4"}


def test_incomplete_group_of_secrets_is_refused() -> None:
    with pytest.raises(SystemExit, match="vault_b is missing, but vault_a is present"):
        make_secrets.add_missing({"vault_a": "old"}, MAKERS)


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep/vault.yml"
    make_secrets.write_vault(path, {"vault_a": "1\n2\n"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {"vault_a": "1\n2\n"}


def test_all_passwords_differ() -> None:
    makers = {names: maker for names, maker in make_secrets.MAKERS.items() if names[0] in make_secrets.PASSWORDS}
    secrets = make_secrets.add_missing({}, makers)
    assert len(set(secrets.values())) == len(make_secrets.PASSWORDS)
    assert min(map(len, secrets.values())) >= 32


def test_both_credentials_of_the_storage_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = {kind: {"key": f"key of {kind}", "secret": f"secret of {kind}"} for kind in ("full", "append")}
    (tmp_path / "s3.json").write_text(json.dumps(pair))
    monkeypatch.setattr(make_secrets, "SANDBOX", tmp_path)
    assert make_secrets.read_storage_keys() == {
        "vault_backup_key": "key of full",
        "vault_backup_secret": "secret of full",
        "vault_backup_append_key": "key of append",
        "vault_backup_append_secret": "secret of append",
    }


def test_secrets_of_the_sandbox_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = {kind: {"key": kind, "secret": kind} for kind in ("full", "append")}
    (tmp_path / "s3.json").write_text(json.dumps(pair))
    (tmp_path / "cloudflare.token").write_text("token\n")
    monkeypatch.setattr(make_secrets, "SANDBOX", tmp_path)
    monkeypatch.setattr(make_secrets, "DEVELOPMENT", tmp_path)
    assert make_secrets.main() == 0
    text = (tmp_path / "group_vars/all/vault.yml").read_text()
    secrets = yaml.safe_load(text)
    names = {name for group in (*make_secrets.MAKERS, *make_secrets.PROVIDER_SECRETS) for name in group}
    assert set(secrets) == names
    assert make_secrets.main() == 0
    assert (tmp_path / "group_vars/all/vault.yml").read_text() == text
