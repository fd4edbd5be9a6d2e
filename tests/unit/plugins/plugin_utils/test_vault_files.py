"""Secrets are added to a vault file in place: encrypted as it was, and nothing else changes."""

from __future__ import annotations

import stat
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.vise.platform.plugins.plugin_utils import vault_files
from ansible_collections.vise.platform.plugins.plugin_utils.vault_files import VaultFileError

ONE, TWO = VaultSecret(b"the first password"), VaultSecret(b"the second password")
SECRETS = [("default", ONE)]
OLD = "---\n# Mine\nvault_b: old\nvault_a: 'x'  # quoted\n"


def add(path: Path, values: dict[str, str], secrets: vault_files.Secrets, plaintext: bool = False) -> str:
    vault_files.add_secrets(vault_files.read_file(path, secrets), values, secrets, plaintext)
    return path.read_text()


def decrypt(text: str, secrets: vault_files.Secrets = SECRETS) -> str:
    return VaultLib(list(secrets)).decrypt(text).decode()  # type: ignore[no-any-return,unused-ignore]


def encrypt(path: Path, text: str, secret: VaultSecret = ONE, identity: str | None = None) -> None:
    path.write_bytes(VaultLib(None).encrypt(text, secret, vault_id=identity))


def test_new_file_is_encrypted_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep/vault.yml"
    text = add(path, {"vault_a": "1\n2\n", "vault_b": "3"}, SECRETS)
    assert text.startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert yaml.safe_load(decrypt(text)) == {"vault_a": "1\n2\n", "vault_b": "3"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["vault.yml"]


def test_encrypted_file_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    encrypt(path, OLD)
    path.chmod(0o644)
    assert decrypt(add(path, {"vault_c": "new"}, SECRETS)) == f"{OLD}vault_c: new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_keeps_the_password_and_the_identity_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    encrypt(path, "vault_a: x", TWO, "prod")
    text = add(path, {"vault_b": "y"}, [("dev", ONE), ("prod", TWO)])
    assert text.startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert decrypt(text, [("prod", TWO)]) == "vault_a: x\nvault_b: y\n"
    assert DEFAULT_VAULT_ID_MATCH is False


def test_file_with_encrypted_values_gets_encrypted_values(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    value = VaultLib(None).encrypt("x", ONE).decode().replace("\n", "\n  ")
    path.write_text(f"# Mine\nvault_a: !vault |\n  {value.strip()}\n")
    before = path.read_text()
    text = add(path, {"vault_b": "1\n2\n"}, SECRETS)
    assert text.startswith(f"{before}vault_b: !vault |\n  $ANSIBLE_VAULT;")
    assert decrypt(text.partition("vault_b: !vault |\n")[2].replace("  ", "")) == "1\n2\n"


def test_file_in_plain_text_is_encrypted_unless_that_is_permitted(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    path.write_text(OLD)
    assert add(path, {"vault_c": "new"}, [], plaintext=True) == f"{OLD}vault_c: new\n"
    assert add(path, {"vault_d": "new"}, SECRETS, plaintext=True).endswith("\nvault_d: new\n")
    assert decrypt(add(path, {"vault_e": "new"}, SECRETS)).endswith("\nvault_d: new\nvault_e: new\n")


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "vault.yml").write_text("vault_a: x\n")
    link = tmp_path / "link.yml"
    link.symlink_to("vault.yml")
    add(link, {"vault_b": "y"}, [], plaintext=True)
    assert link.is_symlink()
    assert "vault_b" in (tmp_path / "vault.yml").read_text()


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("vault_a: x\n", [], "must be encrypted, and no password is given; set ANSIBLE_VAULT_PASSWORD_FILE"),
        ("vault_a: ENC[x]\nsops:\n  mac: x\n", SECRETS, "is encrypted by SOPS; add vault_b with `sops "),
        ("{vault_a: x}\n", SECRETS, "the YAML is not valid|unusual form"),
        ("- a\n", SECRETS, "the YAML is not valid|unusual form"),
        ("vault_a: x\n...\n", SECRETS, "the YAML is not valid|unusual form"),
        ("vault_b: x\n", SECRETS, "unusual form"),
        ("vault_a:\n\tb\n", SECRETS, "line 2: the YAML is not valid"),
    ],
)
def test_file_of_another_form_is_refused_and_not_changed(
    text: str, secrets: vault_files.Secrets, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "vault.yml"
    path.write_text(text)
    if "vault_b" in text:
        # As after an edit between reading and writing
        file = vault_files.VaultFile(path, text)
        with pytest.raises(VaultFileError, match=expected):
            vault_files.check_text(file, f"{text}vault_c: y\nvault_d: z\n", {"vault_c": "y"})
        return
    with pytest.raises(VaultFileError, match=expected):
        add(path, {"vault_b": "a new secret"}, secrets)
    assert path.read_text() == text


def test_wrong_and_missing_passwords_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    encrypt(path, OLD)
    with pytest.raises(VaultFileError, match="is encrypted, and no password is given; set ANSIBLE_VAULT_PASSWORD_FILE"):
        vault_files.read_file(path, [])
    with pytest.raises(VaultFileError, match="cannot be decrypted: no password that is given fits"):
        vault_files.read_file(path, [("default", TWO)])


RENAMES = {"vault_b": "vault_c", "vault_a": "vault_b"}
BLOCKS = "---\n# Mine\nvault_b: |\n  one\n\n  two\n# Of a\nvault_a: 'x'  # quoted\nvault_aa: y\n"


@pytest.mark.parametrize(
    ("renames", "expected"),
    [
        (RENAMES, "---\n# Mine\nvault_c: |\n  one\n\n  two\n# Of a\nvault_b: 'x'  # quoted\nvault_aa: y\n"),
        ({"vault_b": None}, "---\n# Mine\n# Of a\nvault_a: 'x'  # quoted\nvault_aa: y\n"),
        ({"vault_aa": None}, BLOCKS.removesuffix("vault_aa: y\n")),
    ],
)
def test_secrets_are_renamed_or_removed_and_everything_else_stays(
    tmp_path: Path, renames: dict[str, str | None], expected: str
) -> None:
    path = tmp_path / "vault.yml"
    encrypt(path, BLOCKS, TWO, "prod")
    secrets = [("dev", ONE), ("prod", TWO)]
    vault_files.rename_secrets(vault_files.read_file(path, secrets), renames, secrets)
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert decrypt(path.read_text(), secrets) == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_renamed_secret_keeps_its_encrypted_value(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    path.write_text(f"vault_a: !vault |\n{indent(VaultLib(None).encrypt('x', ONE).decode(), '  ')}plain: 1\n")
    vault_files.rename_secrets(vault_files.read_file(path, SECRETS), {"vault_a": "vault_b"}, SECRETS)
    text = path.read_text()
    assert text.startswith("vault_b: !vault |\n  $ANSIBLE_VAULT")
    assert text.endswith("plain: 1\n")
    vault_files.rename_secrets(vault_files.read_file(path, SECRETS), {"vault_b": None}, SECRETS)
    assert path.read_text() == "plain: 1\n"


@pytest.mark.parametrize(
    "text",
    [
        '"vault_a": x\n',
        "{vault_a: x}\n",
        "other: x\n",
        "vault_a: x\nvault_b: y\n",
        "a: &x 1\nvault_a: x\nvault_b: *x\n",
    ],
)
def test_renaming_in_an_unusual_file_is_refused_and_changes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vault.yml"
    encrypt(path, text)
    before = path.read_bytes()
    with pytest.raises(VaultFileError, match="edit vault_a by"):
        vault_files.rename_secrets(vault_files.read_file(path, SECRETS), {"vault_a": "vault_b"}, SECRETS)
    assert path.read_bytes() == before


def test_renaming_needs_the_password(tmp_path: Path) -> None:
    path = tmp_path / "vault.yml"
    path.write_text("vault_a: x\n")
    with pytest.raises(VaultFileError, match="must be encrypted"):
        vault_files.rename_secrets(vault_files.read_file(path, []), {"vault_a": "vault_b"}, [])
    vault_files.rename_secrets(vault_files.read_file(path, []), {"vault_a": "vault_b"}, [], plaintext=True)
    assert path.read_text() == "vault_b: x\n"
