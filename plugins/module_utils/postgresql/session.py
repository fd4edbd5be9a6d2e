# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of maintenance sessions: those of the server, of a database or of a user must not end or redirect them."""

from __future__ import annotations

import os

from ..host import files

# The owner of a database can create functions and operators in it, and maintenance runs as superuser. With this search
# path, names refer only to PostgreSQL's own objects.
TRUSTED_NAMES = "search_path=pg_catalog,pg_temp"
SETTINGS = (
    "statement_timeout=0",
    "lock_timeout=0",
    "idle_session_timeout=0",
    "idle_in_transaction_session_timeout=0",
    # A commit does not wait for a synchronous standby that is down, rebuilt or not upgraded yet.
    "synchronous_commit=local",
    TRUSTED_NAMES,
)
# The first version that knows the setting: a server rejects the connection for a name that it does not know.
NEWER = {"transaction_timeout=0": 17}
# The same as a query, for clients that do not know the version before they connect. It reads no table, so that a limit
# of milliseconds does not end it.
REMOVE_NEWER_LIMITS = (
    "SELECT set_config('transaction_timeout', '0', false) WHERE current_setting('server_version_num')::int >= 170000"
)


def build_options(version: str, *more: str) -> str:
    """Return the options of a session on a server of a major version; they override all settings of the server.

    An empty version is unknown: then the options have only settings that each supported version knows.
    """
    newer = (setting for setting, since in NEWER.items() if int(version or 0) >= since)
    return " ".join(f"-c {setting}" for setting in (*SETTINGS, *newer, *more))


def build_environment(version: str, *more: str) -> dict[str, str]:
    """Return the variables with which psql, pgBackRest and each other client of libpq uses these options."""
    return {"PGOPTIONS": build_options(version, *more)}


def read_version(data: str) -> str:
    """Return the major version of a data directory; empty when it contains no cluster or cannot be read."""
    try:
        return files.read_text(os.path.join(data, "PG_VERSION")).strip()
    except OSError:
        return ""
