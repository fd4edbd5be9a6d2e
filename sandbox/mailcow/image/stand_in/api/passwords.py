"""Passwords: the policy, and hashes as Dovecot reads them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from typing import Any

from stand_in.api.store import Reply, Store, number

HASHED = re.compile(
    r"\{(ARGON2I|ARGON2ID|BLF-CRYPT|CLEAR|CLEARTEXT|CRYPT|DES-CRYPT|LDAP-MD5|MD5|MD5-CRYPT|PBKDF2|PLAIN|PLAIN-MD4"
    r"|PLAIN-MD5|PLAIN-TRUNC|SHA|SHA1|SHA256|SHA256-CRYPT|SHA512|SHA512-CRYPT|SMD5|SSHA|SSHA256|SSHA512)\}",
    re.IGNORECASE,
)
POLICY = {"length": "6", "chars": "0", "special_chars": "0", "lowerupper": "0", "numbers": "0"}
WANTS = {"chars": "[a-zA-Z]", "special_chars": r"[^a-zA-Z\d]", "numbers": r"\d"}


def policy(store: Store) -> dict[str, str]:
    """Return the password policy."""
    return {**POLICY, **store.redis.hgetall("PASSWD_POLICY")}


def accepted(store: Store, reply: Reply, first: Any, second: Any) -> bool:
    """Return whether a password is valid; the message has the reason."""
    if not first or not second:
        reply.danger("password_complexity")
        return False
    if first != second:
        reply.danger("password_mismatch")
        return False
    rules, text = policy(store), str(first)
    missing = [name for name, pattern in WANTS.items() if number(rules[name]) == 1 and not re.search(pattern, text)]
    mixed = re.search("[a-z]", text) and re.search("[A-Z]", text)
    if len(text) < number(rules["length"]) or missing or (number(rules["lowerupper"]) == 1 and not mixed):
        reply.danger("password_complexity")
        return False
    return True


def hashed(password: str) -> str:
    """Return the hash with the scheme of mailcow.conf; an existing hash is unchanged."""
    if HASHED.match(password):
        return password
    scheme = os.environ.get("MAILCOW_PASS_SCHEME", "BLF-CRYPT").upper()
    if scheme in ("SSHA", "SSHA256", "SSHA512"):
        salt = secrets.token_hex(8).encode()
        digest = hashlib.new({"SSHA": "sha1"}.get(scheme, scheme[1:].lower()), password.encode() + salt).digest()
        return f"{{{scheme}}}{base64.b64encode(digest + salt).decode()}"
    import bcrypt

    return f"{{BLF-CRYPT}}{bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()}"


def verified(stored: str, password: str) -> bool:
    """Return whether a stored hash belongs to a password, for the supported schemes."""
    scheme, _brace, coded = stored.removeprefix("{").partition("}")
    if scheme == "BLF-CRYPT":
        import bcrypt

        return bool(bcrypt.checkpw(password.encode(), coded.encode()))
    raw = base64.b64decode(coded) if scheme == "SSHA256" else b""
    return bool(raw) and hashlib.sha256(password.encode() + raw[32:]).digest() == raw[:32]
