"""The first administrator of the web pages, who comes with a password that everybody knows."""

from __future__ import annotations

import ctypes
import typing as t
from pathlib import Path

from mailcow import stack
from mailcow.host import Problem, Settings

PASSWORD = Path("/etc/vise/mailcow/administrator")
SCHEME = "{BLF-CRYPT}"
WHO = "username = 'admin' AND superadmin = 1"
SET = "set the administrator's password"


def crypt() -> ctypes.CDLL:
    """Return the system's libcrypt; Python itself knows no bcrypt."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = library.crypt_gensalt.restype = ctypes.c_char_p
    return library


def hashed(password: str) -> str:
    """Return a new hash, by the scheme that mailcow prefers."""
    library = crypt()
    found: bytes | None = library.crypt(password.encode(), library.crypt_gensalt(b"$2y$", 10, None, 0))
    if not found or not found.startswith(b"$2y$"):
        raise Problem("libcrypt makes no bcrypt hash")
    return SCHEME + found.decode()


def is_hash_of(stored: str, password: str) -> bool:
    """Tell whether a stored hash is the password's; one of another scheme, as mailcow ships it, is not."""
    bare = stored.removeprefix(SCHEME).encode()
    return stored.startswith(SCHEME) and t.cast("bytes | None", crypt().crypt(password.encode(), bare)) == bare


def differs(of: Settings) -> bool:
    """Tell whether there is such an administrator, with another password than the described one."""
    stored = stack.sql(of, f"SELECT password FROM admin WHERE {WHO}".encode()).strip()  # noqa: S608 (words are ours)
    return bool(stored) and not is_hash_of(stored, PASSWORD.read_text().strip())


def plan(of: Settings) -> list[str]:
    """Return what has to be done, as far as MariaDB is there to be asked."""
    return [SET] if stack.container(of, "mysql-mailcow") and differs(of) else []


def keep(of: Settings) -> list[str]:
    """Set the password where it differs, and return what was done. Mailcow's API could set it, but never tell it."""
    if not differs(of):
        return []
    new = hashed(PASSWORD.read_text().strip())
    stack.sql(of, f"UPDATE admin SET password = '{new}' WHERE {WHO}".encode())  # noqa: S608 (a hash has no quote)
    return [SET]
