# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM verifiers (RFC 5803, RFC 7677) as PostgreSQL stores them, so that the server never receives a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

ITERATIONS = 4096  # PostgreSQL's default; a client does the same work at each login


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return the verifier of a password in printable ASCII, which SASLprep does not change."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def matches(stored: str, password: str) -> bool:
    """Return whether a stored verifier belongs to the password."""
    try:
        method, parameters, _keys = stored.split("$")
        iterations, salt = parameters.split(":")
        if method != "SCRAM-SHA-256":
            return False
        again = verifier(password, base64.b64decode(salt, validate=True), int(iterations))
    except ValueError:
        return False
    return hmac.compare_digest(stored, again)
