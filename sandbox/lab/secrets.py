"""The sandbox's own secrets, made at the first start and kept until `down`."""

from __future__ import annotations

import json
import secrets as randomness
import string

from . import names
from .shell import run


def ssh_key() -> None:
    """The key by which Ansible logs in as root."""
    if not names.SSH_KEY.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vise-sandbox", "-f", str(names.SSH_KEY))


def authority() -> None:
    """The CA that plays the public authorities for the doubles in world."""
    if names.CA_CERT.exists():
        return
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "3650", "-subj", "/CN=vise sandbox CA", "-keyout", str(names.CA_KEY), "-out", str(names.CA_CERT)),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def cloudflare_token() -> None:
    """What the double of Cloudflare's API accepts, in the shape of a real token."""
    if not names.CLOUDFLARE_TOKEN.exists():
        names.CLOUDFLARE_TOKEN.touch(mode=0o600)
        names.CLOUDFLARE_TOKEN.write_text(randomness.token_urlsafe(30) + "\n")


# What tokens beside the first may do, by the names of Cloudflare's API; `zones` where they see just some.
LIMITED_TOKENS: dict[str, dict[str, list[str]]] = {
    "dns": {"permissions": ["DNS Write"]},
    "read": {"permissions": ["Zone Read", "DNS Read", "Zone Settings Read"]},
    "elsewhere": {"permissions": ["Zone Read", "DNS Write"], "zones": ["elsewhere.test"]},
}


def limited_cloudflare_tokens() -> None:
    """Tokens that lack something, for tests of what is said then."""
    if not names.CLOUDFLARE_TOKENS.exists():
        found = {name: {"token": randomness.token_urlsafe(30), **grant} for name, grant in LIMITED_TOKENS.items()}
        names.CLOUDFLARE_TOKENS.touch(mode=0o600)
        names.CLOUDFLARE_TOKENS.write_text(json.dumps(found, indent=2) + "\n")


def s3_credentials() -> None:
    """What both S3 servers accept: `full` may do everything, `append` neither remove nor overwrite."""
    if names.S3.exists():
        return
    letters = string.ascii_uppercase + "234567"
    pairs = {
        who: {
            "key": "AKIA" + "".join(randomness.choice(letters) for _ in range(16)),
            "secret": randomness.token_urlsafe(30),
        }
        for who in ("full", "append")
    }
    names.S3.touch(mode=0o600)
    names.S3.write_text(json.dumps(pairs, indent=2) + "\n")


def make() -> None:
    """Everything that images and world are built with."""
    names.CACHE.mkdir(parents=True, exist_ok=True)
    ssh_key()
    authority()
    cloudflare_token()
    limited_cloudflare_tokens()
    s3_credentials()
