"""Secrets of the development environment: made once, never replaced."""

from __future__ import annotations

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
