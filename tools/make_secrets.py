"""Generate the missing secrets of the sandbox; existing values are never replaced.

Usage: python -m tools.make_secrets

They include the credentials that the sandbox's services accept. Several inventories of the tests use them, so that the
names do not depend on one of them. The playbook make_secrets.yml generates the secrets of other inventories.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from plugins.module_utils.secret_values import (
    make_authority,
    make_password,
    make_token,
)

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT = ROOT / "inventories/development"
VAULT = "group_vars/all/vault.yml"
SANDBOX = ROOT / ".cache/sandbox"
HEAD = "---\n# Written by `make secrets`, which adds missing values and never replaces existing ones.\n"

Secrets = Mapping[str, str]


def create_internal_ca() -> dict[str, str]:
    """Return the certificate and key of a new internal CA."""
    certificate, key = make_authority()
    return {"vault_internal_ca": certificate, "vault_internal_ca_key": key}


def read_cloudflare_token() -> dict[str, str]:
    """Return the API token that the sandbox's fake of Cloudflare accepts."""
    return {"vault_cloudflare_token": (SANDBOX / "cloudflare.token").read_text().strip()}


def read_storage_keys() -> dict[str, str]:
    """Return both credentials of the sandbox's S3 servers: with and without the permission to delete."""
    accepted = json.loads((SANDBOX / "s3.json").read_text())
    pairs = {"vault_backup": accepted["full"], "vault_backup_append": accepted["append"]}
    return {f"{name}_{part}": pair[part] for name, pair in pairs.items() for part in ("key", "secret")}


def password_maker(name: str) -> Callable[[], dict[str, str]]:
    """Return a function that generates a password for programs, not for typing."""
    return lambda: {name: make_password()}


def token_maker(name: str, length: int) -> Callable[[], dict[str, str]]:
    """Return a function that generates hexadecimal digits, for programs that accept no other characters."""
    return lambda: {name: make_token(length)}


PASSWORDS = (
    "vault_database_edu",
    "vault_database_pool",
    "vault_database_replication",
    "vault_cache_edu",
    "vault_backup_database_passphrase",
    "vault_backup_files_passphrase",
    "vault_mailbox_postmaster",
    "vault_mailbox_probe",
    "vault_mail_admin",
)
# mailcow's compose file and SQL use these values unquoted. SOGo requires the length of the last one.
TOKENS = {
    "vault_mail_api_key": 40,
    "vault_mail_database": 32,
    "vault_mail_database_root": 32,
    "vault_mail_redis": 32,
    "vault_mail_sogo": 16,
}
MAKERS: dict[tuple[str, ...], Callable[[], Mapping[str, str]]] = {
    ("vault_internal_ca", "vault_internal_ca_key"): create_internal_ca,
    **{(name,): password_maker(name) for name in PASSWORDS},
    **{(name,): token_maker(name, length) for name, length in TOKENS.items()},
}

# Issued by a provider; in the sandbox, by its test doubles.
PROVIDER_SECRETS: dict[tuple[str, ...], Callable[[], Mapping[str, str]]] = {
    ("vault_cloudflare_token",): read_cloudflare_token,
    (
        "vault_backup_key",
        "vault_backup_secret",
        "vault_backup_append_key",
        "vault_backup_append_secret",
    ): read_storage_keys,
}


def add_missing(present: Secrets, makers: Mapping[tuple[str, ...], Callable[[], Secrets]]) -> dict[str, str]:
    """Return the present secrets plus generated ones; raises SystemExit when only a part of a group is present."""
    secrets = dict(present)
    for names, make in makers.items():
        missing = [name for name in names if name not in present]
        if missing and len(missing) < len(names):
            existing = ", ".join(name for name in names if name in present)
            raise SystemExit(
                f"{', '.join(missing)} is missing, but {existing} is present, and they belong together:"
                " add the missing value, or remove the present one so that both are generated"
            )
        if missing:
            secrets.update(make())
    return secrets


class Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as PEM, as YAML blocks."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, _represent_text)


def write_vault(path: Path, secrets: Secrets) -> None:
    """Write the vault file atomically; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(HEAD + yaml.dump(dict(secrets), Dumper=Dumper))
    staged.replace(path)


def read_vault(path: Path) -> dict[str, str]:
    """Return the secrets of a vault file; none if it does not exist."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def main() -> int:
    """Complete the vault file of the sandbox."""
    path = Path(os.path.relpath(DEVELOPMENT / VAULT))
    present = read_vault(path)
    secrets = add_missing(present, {**MAKERS, **PROVIDER_SECRETS})
    if secrets != present:
        write_vault(path, secrets)
        print(f"added {', '.join(sorted(secrets.keys() - present.keys()))} to {path}")
    path.chmod(0o600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
