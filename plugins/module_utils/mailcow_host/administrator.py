# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first administrator of the web interface. Its default password in mailcow is public."""

from __future__ import annotations

import ctypes
import typing as t
from pathlib import Path

from . import stack
from .settings import Problem, Settings

PASSWORD = Path("/etc/vise/mailcow/administrator")
SCHEME = "{BLF-CRYPT}"
ADMIN = "username = 'admin' AND superadmin = 1"
SET = "set the administrator's password"


def load_libcrypt() -> ctypes.CDLL:
    """Return the system's libcrypt: Python has no bcrypt."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = library.crypt_gensalt.restype = ctypes.c_char_p
    return library


def hash_password(password: str) -> str:
    """Return a new hash with the scheme of mailcow.conf."""
    library = load_libcrypt()
    digest: bytes | None = library.crypt(password.encode(), library.crypt_gensalt(b"$2y$", 10, None, 0))
    if not digest or not digest.startswith(b"$2y$"):
        raise Problem("libcrypt cannot create a bcrypt hash")
    return SCHEME + digest.decode()


def matches(stored: str, password: str) -> bool:
    """Return whether a stored hash belongs to the password. mailcow's default hash has another scheme: it does not."""
    bare = stored.removeprefix(SCHEME).encode()
    return stored.startswith(SCHEME) and t.cast("bytes | None", load_libcrypt().crypt(password.encode(), bare)) == bare


def password_differs(config: Settings) -> bool:
    """Return whether the administrator exists and its password differs from the described password."""
    stored = stack.run_sql(config, f"SELECT password FROM admin WHERE {ADMIN}").strip()  # noqa: S608 (a constant)
    return bool(stored) and not matches(stored, PASSWORD.read_text().strip())


def plan(config: Settings) -> list[str]:
    """Return the necessary actions, if MariaDB runs."""
    return [SET] if stack.container_id(config, "mysql-mailcow") and password_differs(config) else []


def set_password(config: Settings) -> list[str]:
    """Set the password if it differs, and return the actions. mailcow's API can set it, but not compare it."""
    if not password_differs(config):
        return []
    new = hash_password(PASSWORD.read_text().strip())
    stack.run_sql(config, f"UPDATE admin SET password = '{new}' WHERE {ADMIN}")  # noqa: S608 (a hash has no quote)
    return [SET]
