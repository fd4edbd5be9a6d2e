"""The sandbox's own secrets, created at the first start and removed by `down`."""

from __future__ import annotations

import json
import secrets as randomness
import string

from . import names
from .shell import run


def create_ssh_key() -> None:
    """Create the SSH key with which Ansible logs in as root."""
    if not names.SSH_KEY.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vise-sandbox", "-f", str(names.SSH_KEY))


def create_ca() -> None:
    """Create the CA that replaces public CAs for the fake services in world."""
    if names.CA_CERT.exists():
        return
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "3650", "-subj", "/CN=vise sandbox CA", "-keyout", str(names.CA_KEY), "-out", str(names.CA_CERT)),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def create_cloudflare_token() -> None:
    """Create the API token that the fake of Cloudflare's API accepts; it has the format of a real token."""
    if not names.CLOUDFLARE_TOKEN.exists():
        names.CLOUDFLARE_TOKEN.touch(mode=0o600)
        names.CLOUDFLARE_TOKEN.write_text(randomness.token_urlsafe(30) + "\n")


# Permissions of the other tokens, named as in Cloudflare's API; `zones` limits a token to these zones.
LIMITED_TOKENS: dict[str, dict[str, list[str]]] = {
    "dns": {"permissions": ["DNS Write"]},
    "read": {"permissions": ["Zone Read", "DNS Read", "Zone Settings Read"]},
    "elsewhere": {"permissions": ["Zone Read", "DNS Write"], "zones": ["elsewhere.test"]},
}


def create_limited_cloudflare_tokens() -> None:
    """Create API tokens that lack a permission or a zone, for tests of the error messages."""
    if not names.CLOUDFLARE_TOKENS.exists():
        tokens = {name: {"token": randomness.token_urlsafe(30), **grant} for name, grant in LIMITED_TOKENS.items()}
        names.CLOUDFLARE_TOKENS.touch(mode=0o600)
        names.CLOUDFLARE_TOKENS.write_text(json.dumps(tokens, indent=2) + "\n")


def create_s3_credentials() -> None:
    """Create the credentials of both S3 servers: `full` may do everything, `append` must not delete or overwrite."""
    if names.S3.exists():
        return
    letters = string.ascii_uppercase + "234567"
    pairs = {
        name: {
            "key": "AKIA" + "".join(randomness.choice(letters) for _ in range(16)),
            "secret": randomness.token_urlsafe(30),
        }
        for name in ("full", "append")
    }
    names.S3.touch(mode=0o600)
    names.S3.write_text(json.dumps(pairs, indent=2) + "\n")


def create_all() -> None:
    """Create all secrets that images and world need; existing ones stay."""
    names.CACHE.mkdir(parents=True, exist_ok=True)
    create_ssh_key()
    create_ca()
    create_cloudflare_token()
    create_limited_cloudflare_tokens()
    create_s3_credentials()
