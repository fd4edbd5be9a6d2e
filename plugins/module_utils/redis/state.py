# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a Redis: its settings and users; pure functions."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shlex
import typing as t

# An isolated instance overrides these settings; for them the text of the file is compared.
OVERRIDDEN = ("aclfile", "dir", "logfile", "pidfile", "tls-port", "unixsocket", "unixsocketperm")
# Settings of the unit's command line, and deprecated names of settings that are reported under their new names too.
IGNORED = re.compile("^(daemonize|supervised|tls-replication|lua-time-limit)$|slave|ziplist|_cpulist")
NEEDS_RESTART = re.compile("immutable config|protected config")


@dataclasses.dataclass(frozen=True)
class State:
    """All settings and users, in the notation of Redis."""

    settings: t.Mapping[str, str]
    users: t.Sequence[str]


def read_literal_settings(text: str) -> dict[str, str]:
    """Return the settings as the text of a configuration has them; the last line of a setting counts."""
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return {words[0].lower(): " ".join(words[1:]) for words in lines if words}


def describe_live(isolated: State, text: str) -> State:
    """Return the state of the live instance that has the same configuration as an isolated one."""
    literal = read_literal_settings(text)
    return State({**isolated.settings, **{key: literal.get(key, "") for key in OVERRIDDEN}}, isolated.users)


def find_differences(wanted: t.Mapping[str, str], live: t.Mapping[str, str]) -> dict[str, str]:
    """Return the wanted settings whose live value differs."""
    return {key: value for key, value in wanted.items() if not IGNORED.search(key) and live.get(key) != value}


def compute_limit(memory: str, total: int) -> str:
    """Return the memory limit in the notation of Redis; a percentage refers to the host's memory."""
    return str(total * int(memory[:-1]) // 100) if memory.endswith("%") else memory


def describe_admin(secret: str) -> str:
    """Return the administrator in the notation of Redis, with the hash of the password."""
    return f"user admin on #{hashlib.sha256(secret.encode()).hexdigest()} ~* &* +@all"


def find_errors(log: str) -> str:
    """Return the lines of a log that show why Redis stopped, without the hashes of passwords."""
    lines = [line for line in log.splitlines() if " * " not in line and "overcommit" not in line]
    return re.sub(r"\b[0-9a-f]{64}\b", "<hash>", "\n".join(lines[-8:]))
