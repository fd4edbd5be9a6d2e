"""Make the secrets that somebody can draw by lot: missing values alone; what is there is never replaced.

Usage: python -m tools.make_secrets [INVENTORY]      inventories/development when none is named

In the development environment that is all of them, as the sandbox's services know theirs. Elsewhere the keys that a
provider gives are left out.
"""

from __future__ import annotations

import json
import os
import secrets as randomness
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from plugins.module_utils.tls.x509 import make_ca

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT = ROOT / "inventories/development"
VAULT = "group_vars/all/vault.yml"
SANDBOX = ROOT / ".cache/sandbox"
HEAD = "---\n# Made by `make secrets`. Values that stand here are kept.\n"
ENCRYPTED = "$ANSIBLE_VAULT;"

Secrets = Mapping[str, str]


def internal_ca() -> dict[str, str]:
    """Return a new certificate authority; its two parts belong together."""
    certificate, key = make_ca("vise internal CA")
    return {"vault_internal_ca": certificate, "vault_internal_ca_key": key}


def cloudflare_token() -> dict[str, str]:
    """Return the token that the sandbox's double of Cloudflare accepts."""
    return {"vault_cloudflare_token": (SANDBOX / "cloudflare.token").read_text().strip()}


def storage_keys() -> dict[str, str]:
    """Return the credentials that the sandbox's S3 servers accept: those that can delete, and those that cannot."""
    known = json.loads((SANDBOX / "s3.json").read_text())
    kinds = {"vault_backup": known["full"], "vault_backup_append": known["append"]}
    return {f"{name}_{part}": pair[part] for name, pair in kinds.items() for part in ("key", "secret")}


def password(name: str) -> Callable[[], dict[str, str]]:
    """Return a maker of a password that nobody has to type."""
    return lambda: {name: randomness.token_urlsafe(24)}


def token(name: str, length: int) -> Callable[[], dict[str, str]]:
    """Return a maker of letters and digits, for what takes nothing else."""
    return lambda: {name: randomness.token_hex(length)[:length]}


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
# mailcow's compose file and SQL take these as they are; the last has a length that SOGo prescribes.
TOKENS = {
    "vault_mail_api_key": 40,
    "vault_mail_database": 32,
    "vault_mail_database_root": 32,
    "vault_mail_redis": 32,
    "vault_mail_sogo": 16,
}
MAKERS: dict[tuple[str, ...], Callable[[], Mapping[str, str]]] = {
    ("vault_internal_ca", "vault_internal_ca_key"): internal_ca,
    **{(name,): password(name) for name in PASSWORDS},
    **{(name,): token(name, length) for name, length in TOKENS.items()},
}

# What a provider gives; the sandbox's doubles accept these.
GIVEN: dict[tuple[str, ...], Callable[[], Mapping[str, str]]] = {
    ("vault_cloudflare_token",): cloudflare_token,
    ("vault_backup_key", "vault_backup_secret", "vault_backup_append_key", "vault_backup_append_secret"): storage_keys,
}


def completed(present: Secrets, makers: Mapping[tuple[str, ...], Callable[[], Secrets]]) -> dict[str, str]:
    """Return the present secrets and those that were missing; half of what belongs together is an error."""
    found = dict(present)
    for names, make in makers.items():
        missing = [name for name in names if name not in present]
        if missing and len(missing) < len(names):
            kept = ", ".join(name for name in names if name in present)
            raise SystemExit(f"{', '.join(missing)} is missing, {kept} is there; mend it by hand")
        if missing:
            found.update(make())
    return found


class Dumper(yaml.SafeDumper):
    """YAML in which PEM stays readable."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, _text)


def write(path: Path, secrets: Secrets) -> None:
    """Put the file in place at once, readable to its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(HEAD + yaml.dump(dict(secrets), Dumper=Dumper))
    staged.replace(path)


def present_in(path: Path) -> dict[str, str]:
    """Return the secrets of a vault file; one that is encrypted is somebody's own to change."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.startswith(ENCRYPTED):
        raise SystemExit(
            f"{path} is encrypted; decrypt it first (ansible-vault decrypt {path}), or write what is missing "
            f"yourself (ansible-vault edit {path})"
        )
    return yaml.safe_load(text) or {}


def main(arguments: list[str]) -> int:
    """Bring the vault file of an inventory."""
    inventory = Path(arguments[0]).resolve() if arguments else DEVELOPMENT
    if not inventory.is_dir():
        raise SystemExit(f"{inventory} is no directory; name that of an inventory, such as inventories/production")
    path = Path(os.path.relpath(inventory / VAULT))
    present = present_in(path)
    in_sandbox = inventory == DEVELOPMENT
    secrets = completed(present, {**MAKERS, **(GIVEN if in_sandbox else {})})
    if secrets != present:
        write(path, secrets)
        print(f"wrote {', '.join(sorted(secrets.keys() - present.keys()))} into {path}")
    path.chmod(0o600)
    if not in_sandbox:
        given = ", ".join(name for names in GIVEN for name in names if name not in secrets)
        add = f"add what providers give where your hosts need it ({given}), and " if given else ""
        print(f"Next: {add}encrypt it before you commit it: ansible-vault encrypt {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
