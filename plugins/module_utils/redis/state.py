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
# Lines that Redis reads only at its start, without a setting that CONFIG shows: what is live cannot be compared.
UNSEEN = {
    "rename-command": "use `commands` of redis_users, such as -@dangerous, which rules each user",
    "loadmodule": "modules are not supported",
    "user": "use redis_users",
    "include": "write the settings themselves",
}
HIDDEN = "nothing verifies its effect"
# What an operator does about damaged data, by a pattern for Redis' last words.
ADVICE = {
    "redis-check-aof|reading the append only file|Unexpected end of file reading the append": (
        "The append-only file is damaged, as after a power cut. Run `vise-redis repair` on the host: it keeps a copy "
        "of the data, cuts off the damaged end and starts Redis."
    ),
    "RDB|DB file|checksum|CRC": (
        "The data is damaged. Replace it with a dump from a backup: playbooks/restore_redis.yml keeps the damaged data."
    ),
}
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


def find_unseen(text: str, shown: t.Container[str], run: str) -> list[str]:
    """Return one message for each setting in a configuration whose live value Redis does not show.

    Args:
        text: the configuration.
        shown: the names of the settings that Redis shows.
        run: the directory of the files that the role includes.
    """
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    own = [words for words in lines if words and not (words[0] == "include" and words[1].startswith(f"{run}/"))]
    names = dict.fromkeys(words[0].lower() for words in own)
    return [
        f"redis_settings: {name}: CONFIG GET does not show whether it is live. Remove it: {UNSEEN.get(name, HIDDEN)}"
        for name in names
        if name not in shown
    ]


def explain_failure(log: str) -> str:
    """Return the last errors in a log of Redis, and what to do about damaged data; empty when there are none."""
    errors = find_errors(log)
    advice = next((text for mark, text in ADVICE.items() if re.search(mark, errors)), "")
    return f"{errors}\n{advice}".strip()


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
