# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DKIM keys as PEM text: pure functions of text, and what DNS says of them."""

from __future__ import annotations

import base64
import dataclasses
import re

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    HAS_CRYPTOGRAPHY = True
except ImportError:
    # A host in check mode, before its package is there.
    HAS_CRYPTOGRAPHY = False

RSA, ED25519 = "rsa", "ed25519"
# RFC 8301: shorter keys must not sign. Longer ones than 4096 bits many verifiers do not take.
SMALLEST, LARGEST = 2048, 4096
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
SELECTOR = re.compile(LABEL)
DOMAIN = re.compile(rf"({LABEL}\.)+{LABEL}")


class DkimError(Exception):
    """What is wrong, in words that help; never with a key in it."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What may be known of a key: its kind, the value of its TXT record, its public half as mail servers store it."""

    type: str
    size: int
    txt: str
    public: str


def name_problems(domain: str, selector: str) -> list[str]:
    """Say which name DNS does not take, or would leave the store's folder."""
    found = []
    if not DOMAIN.fullmatch(domain) or len(domain) > 253:
        found.append(f"{domain!r} is not a domain in lower case")
    if not SELECTOR.fullmatch(selector):
        found.append(f"selector {selector!r}: it is one label of a-z, 0-9 and hyphens, up to 63 characters")
    return found


def record(domain: str, selector: str) -> str:
    """Return the name at which DNS holds a key."""
    return f"{selector}._domainkey.{domain}"


def make(kind: str, size: int) -> str:
    """Make a private key."""
    if kind == ED25519:
        return _pem(ed25519.Ed25519PrivateKey.generate())
    return _pem(rsa.generate_private_key(65537, size))


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*encoding).decode()


def _load(pem: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    if not HAS_CRYPTOGRAPHY:
        raise DkimError("python3-cryptography is not installed on the host")
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own text may quote what it could not read.
        raise DkimError("not a private key in PEM without a passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise DkimError("neither an RSA nor an Ed25519 key")
    return key


def normal(pem: str) -> str:
    """Return a private key as the store holds it, whatever form of PEM it came in; refuse what must not sign."""
    key = _load(pem)
    if isinstance(key, rsa.RSAPrivateKey) and not SMALLEST <= key.key_size <= LARGEST:
        raise DkimError(f"an RSA key of {key.key_size} bits: it must have {SMALLEST} to {LARGEST}")
    return _pem(key)


def facts(pem: str) -> Facts:
    """Return what may be known of a private key."""
    key = _load(pem)
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public = base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, info)).decode()
    if isinstance(key, rsa.RSAPrivateKey):
        return Facts(RSA, key.key_size, f"v=DKIM1; k=rsa; p={public}", public)
    # RFC 8463: of Ed25519 the bare 32 bytes are published.
    bare = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return Facts(ED25519, 256, f"v=DKIM1; k=ed25519; p={bare}", public)
