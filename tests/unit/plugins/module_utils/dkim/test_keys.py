"""DKIM keys and their DNS records."""

from __future__ import annotations

import base64
import subprocess

import pytest
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA = keys.create("rsa", 2048)
ED25519 = keys.create("ed25519", 2048)
PLAIN = serialization.NoEncryption()


def published(txt: str) -> bytes:
    return base64.b64decode(txt.partition("p=")[2], validate=True)


def test_rsa_record_has_the_public_key_of_openssl() -> None:
    openssl = ["openssl", "pkey", "-pubout", "-outform", "DER"]
    known = keys.facts(RSA)
    assert (known.type, known.size) == ("rsa", 2048)
    assert known.txt.startswith("v=DKIM1; k=rsa; p=MII")
    assert published(known.txt) == subprocess.run(openssl, input=RSA.encode(), capture_output=True, check=True).stdout


def test_ed25519_record_has_the_32_raw_bytes() -> None:
    known = keys.facts(ED25519)
    public = ed25519.Ed25519PublicKey.from_public_bytes(published(known.txt))
    private = serialization.load_pem_private_key(ED25519.encode(), None)
    assert known.txt.startswith("v=DKIM1; k=ed25519; p=")
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert public == private.public_key()


def test_older_pem_form_is_converted_with_the_same_key() -> None:
    key = serialization.load_pem_private_key(RSA.encode(), None)
    old = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, PLAIN).decode()
    assert old != RSA
    assert keys.normalize(old) == RSA


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, guard: bytes = b"") -> str:
    how = serialization.BestAvailableEncryption(guard) if guard else PLAIN
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),  # noqa: S505 - that it is breakable is the point
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519"),
        (pem(rsa.generate_private_key(65537, 2048), b"locked"), "or it has a passphrase"),
        ("canary", "not a private key"),
    ],
)
def test_key_that_must_not_sign_is_refused_without_quoting_it(text: str, message: str) -> None:
    with pytest.raises(keys.DkimError, match=message) as refused:
        keys.normalize(text)
    assert text.strip() not in str(refused.value)


@pytest.mark.parametrize(
    ("domain", "selector", "count"),
    [
        ("example.org", "s2026", 0),
        ("xn--bcher-kva.example", "a-1", 0),
        ("Example.org", "s", 1),
        ("org", "s", 1),
        ("example.org", "../s", 1),
        ("example.org", "a.b", 1),
        ("../example.org", "", 2),
        ("example.org", "s" * 64, 1),
    ],
)
def test_names_that_are_invalid_in_dns_or_in_the_store_are_refused(domain: str, selector: str, count: int) -> None:
    assert len(keys.name_problems(domain, selector)) == count
