"""Verifiers, compared with the example exchange in RFC 7677."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import scram

NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
EXCHANGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s={SALT},i=4096,c=biws,r={NONCE}".encode()
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
KEPT = scram.verifier("pencil", base64.b64decode(SALT))


def test_verifier_accepts_the_exchange_of_the_rfc() -> None:
    stored, server = (base64.b64decode(part) for part in KEPT.split("$")[2].split(":"))
    client = bytes(a ^ b for a, b in zip(PROOF, hmac.digest(stored, EXCHANGE, "sha256"), strict=True))
    assert hashlib.sha256(client).digest() == stored
    assert hmac.digest(server, EXCHANGE, "sha256") == SIGNATURE


def test_each_verifier_has_its_own_salt() -> None:
    assert scram.verifier("pencil") != scram.verifier("pencil")


@pytest.mark.parametrize(
    ("kept", "password", "same"),
    [
        (KEPT, "pencil", True),
        (KEPT, "Pencil", False),
        (scram.verifier("pencil", iterations=1000), "pencil", True),
        ("", "pencil", False),
        ("md5" + "0" * 32, "pencil", False),
        (KEPT.replace("SCRAM-SHA-256", "SCRAM-SHA-512"), "pencil", False),
        (KEPT.replace(":", "", 1), "pencil", False),
    ],
)
def test_verifier_is_compared_with_the_password(kept: str, password: str, same: bool) -> None:
    assert scram.matches(kept, password) is same
