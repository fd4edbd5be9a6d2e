# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DKIM keys in PEM and their DNS records: pure functions of text."""

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
    # In check mode, the package is not installed yet on a new host.
    HAS_CRYPTOGRAPHY = False

RSA, ED25519 = "rsa", "ed25519"
# RFC 8301 forbids signatures with shorter keys. Many verifiers do not accept keys above 4096 bits.
SMALLEST, LARGEST = 2048, 4096
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
SELECTOR = re.compile(LABEL)
DOMAIN = re.compile(rf"({LABEL}\.)+{LABEL}")


class DkimError(Exception):
    """A problem and its remedy; the text does not contain a private key."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The public properties of a key: type, size, value of its TXT record, public key as mail servers store it."""

    type: str
    size: int
    txt: str
    public: str


def name_problems(domain: str, selector: str) -> list[str]:
    """Return the problems of names: they must be valid in the DNS and must not contain a path."""
    found = []
    if not DOMAIN.fullmatch(domain) or len(domain) > 253:
        found.append(f"{domain!r} is not a domain name in lower case")
    if not SELECTOR.fullmatch(selector):
        found.append(f"selector {selector!r}: it must be one label of a-z, 0-9 and hyphens, up to 63 characters")
    return found


def record(domain: str, selector: str) -> str:
    """Return the name of the DNS record of a key."""
    return f"{selector}._domainkey.{domain}"


def create(kind: str, size: int) -> str:
    """Create a private key."""
    if kind == ED25519:
        return _pem(ed25519.Ed25519PrivateKey.generate())
    return _pem(rsa.generate_private_key(65537, size))


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*encoding).decode()


def _load(pem: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    if not HAS_CRYPTOGRAPHY:
        raise DkimError("python3-cryptography is not installed on the host: install this package")
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The message of the library can contain the input, which may be secret.
        raise DkimError("this is not a private key in PEM format, or it has a passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise DkimError("the key is neither an RSA nor an Ed25519 key")
    return key


def normalize(pem: str) -> str:
    """Return a private key in the PEM form of the store; refuse an RSA key with a wrong size."""
    key = _load(pem)
    if isinstance(key, rsa.RSAPrivateKey) and not SMALLEST <= key.key_size <= LARGEST:
        raise DkimError(f"the RSA key has {key.key_size} bits: it must have {SMALLEST} to {LARGEST}")
    return _pem(key)


def facts(pem: str) -> Facts:
    """Return the public properties of a private key."""
    key = _load(pem)
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public = base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, info)).decode()
    if isinstance(key, rsa.RSAPrivateKey):
        return Facts(RSA, key.key_size, f"v=DKIM1; k=rsa; p={public}", public)
    # RFC 8463: the record of an Ed25519 key contains the 32 raw bytes of the key.
    bare = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return Facts(ED25519, 256, f"v=DKIM1; k=ed25519; p={bare}", public)
