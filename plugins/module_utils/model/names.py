# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the description and of roles: text of one pattern for each kind. Pure.

A name appears in SQL, access rules, units, paths and keys. Its pattern therefore permits no character that one of these
has to escape.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

# The part of a variable that is wrong: keys and indices
Path = tuple[t.Any, ...]
# The kind of a name, or the kinds of the keys of a mapping; each entry of a list has the same one.
Option: t.TypeAlias = "str | Mapping[str, str]"


class Kind(t.NamedTuple):
    """What names of one kind may be."""

    pattern: str
    form: str
    # Names that have a meaning elsewhere: pattern and reason
    refused: tuple[tuple[str, str], ...] = ()


class Problem(t.NamedTuple):
    """Why a value is not a name of its kind, and what to write."""

    fault: str
    advice: str

    def line(self) -> str:
        """Return the problem as one text."""
        return f"{self.fault}; {self.advice}"


POSTGRESQL = Kind(
    # With the suffix of a group it fits PostgreSQL's limit of 63.
    "[a-z_][a-z0-9_]{0,50}",
    "use lower-case letters, digits and underscores, at most 51, no digit first",
    (
        ("pg_.*|postgres|public|none|template[01]|current_user|session_user", "is reserved by PostgreSQL"),
        (".*_read_(only|write)", "is the name of a group that the role creates"),
    ),
)
# PgBouncer and PostgreSQL limit names to 63 bytes.
POOL = Kind("[A-Za-z_][A-Za-z0-9_-]{0,62}", "use letters, digits, _ and -, at most 63, no digit first")
SITE = Kind("[a-z0-9][a-z0-9_-]{0,62}", "use lower-case letters, digits, - and _, at most 63")
SET = Kind("[a-z0-9][a-z0-9-]{0,62}", "use lower-case letters, digits and hyphens, at most 63")
CACHE = Kind(
    "[A-Za-z0-9_.-]{1,63}",
    "use letters, digits, _ . and -, at most 63",
    (("default|admin", "is a user of the role"),),
)
KINDS: Mapping[str, Kind] = {
    "cache": CACHE,
    "certificate": Kind(
        "[a-z0-9][a-z0-9._-]{0,99}",
        "use lower-case letters, digits, dots, hyphens and underscores",
        (("internal", "is reserved for the internal CA"),),
    ),
    "database": POSTGRESQL._replace(
        refused=(
            *POSTGRESQL.refused,
            ("all|sameuser|samerole|samegroup", "is a keyword of access rules"),
            ("replication|pgbouncer", "is a user of the platform"),
        )
    ),
    "extension": Kind("[A-Za-z0-9_-]{1,63}", "use letters, digits, _ and -"),
    "encoding": Kind("[A-Za-z0-9_-]{1,30}", "write an encoding such as UTF8"),
    "locale": Kind("[A-Za-z0-9_.@-]{1,63}", "write a locale such as C or de_DE.UTF-8"),
    # A label of metrics, and a part of paths
    "label": Kind("[A-Za-z0-9][A-Za-z0-9._-]*", "use letters, digits, dots, hyphens and underscores"),
    "person": Kind("[a-z][a-z0-9-]{0,30}", "use lower-case letters, digits and hyphens, at most 31, a letter first"),
    "pool": POOL._replace(refused=(("postgres|pgbouncer", "is a database of the pool itself"),)),
    "pool_user": POOL,
    "postgresql": POSTGRESQL,
    "rate_limit": Kind("[A-Za-z0-9_-]{1,99}", "use letters, digits, - and _"),
    "repository": SET,
    "set": SET._replace(refused=(("check|prune", "is the name of a job"),)),
    "site": SITE,
    "slot": Kind("[a-z0-9_]{1,63}", "use lower-case letters, digits and underscores, at most 63"),
    # With the suffixes that are derived from a site
    "virtual_host": Kind(
        "[a-z0-9][a-z0-9_-]{0,99}([.](aliases|internal))?", "use up to 100 lower-case letters, digits, - and _"
    ),
    # A name whose form others check, and the key of any other mapping
    "text": Kind("(?s:.*)", "write text"),
}
# The names that variables of roles contain. A gate compares them with the specifications of the roles.
OPTIONS: Mapping[str, Option] = {
    "admin_users_people": {"name": "person"},
    "backup_verify_restic_repositories": {"name": "label"},
    "backup_verify_restic_sets": {"name": "label"},
    "certificates_wanted": {"name": "certificate"},
    "nginx_rate_limits": {"name": "rate_limit"},
    "nginx_sites": {"name": "virtual_host"},
    "pgbouncer_auth_user": "pool_user",
    "pgbouncer_databases": {"name": "pool"},
    "pgbouncer_users": {"name": "pool_user"},
    "postgresql_databases": dict.fromkeys(("name", "owner", "read_write", "read_only"), "postgresql")
    | {"extensions": "extension", "locale": "locale", "encoding": "encoding", "template": "pool_user"},
    "postgresql_extensions": "extension",
    "postgresql_slots": "slot",
    "postgresql_standby": {"user": "postgresql", "slot": "slot"},
    "postgresql_users": {"name": "postgresql"},
    "redis_users": {"name": "cache"},
    "restic_prune_repositories": {"name": "repository"},
    "restic_repositories": {"name": "repository"},
    "restic_sets": {"name": "set"},
    "static_site_sites": {"name": "site"},
}
# How YAML has read a text without quotes. Ansible's own types are subclasses; true and false are numbers, too.
READ_AS: tuple[tuple[t.Any, str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (datetime.date, "a date"),
    (type(None), "empty"),
)


def write_key(value: t.Any) -> str:
    """Return a name as a message shows it; a value that is not text as YAML has read it."""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str).strip('"')


def find_problem(kind: str, value: t.Any) -> Problem | None:
    """Return why a value is not a name of this kind; None if it is one."""
    rule = KINDS[kind]
    if not isinstance(value, str):
        return describe_other_value(rule, value)
    if not re.fullmatch(rule.pattern, value):
        return Problem(f"`{shorten_text(value)}` is not a valid name", rule.form)
    reason = next((reason for pattern, reason in rule.refused if re.fullmatch(pattern, value)), "")
    return Problem(f"`{value}` {reason}", "choose another name") if reason else None


def shorten_text(value: str) -> str:
    """Return a text that is no name in one line, and without its end if it is long."""
    text = json.dumps(value, ensure_ascii=False)[1:-1]
    return text if len(text) <= 80 else f"{text[:80]}..."


def describe_other_value(rule: Kind, value: t.Any) -> Problem:
    """Return the problem of a value that is not text, and how to make text of it."""
    read_as = next((word for kind, word in READ_AS if isinstance(value, kind)), "")
    if not read_as:
        return Problem(f"a {'mapping' if isinstance(value, Mapping) else 'list'} is not a name", rule.form)
    text = ("on" if value else "off") if isinstance(value, bool) else write_key(value)
    advice = f'as in `"{text}"`' if re.fullmatch(rule.pattern, text) else f"and {rule.form}"
    return Problem(f"the name is not text: YAML reads it as {read_as}", f"quote it, {advice}")


def find_option_problems(variable: str, value: t.Any) -> Iterator[tuple[Path, Problem]]:
    """Yield the names in a variable of a role that are not valid, each with its place below the variable."""
    option = OPTIONS.get(variable, {})
    entries = list(enumerate(value)) if is_list(value) else [(None, value)]
    for index, entry in entries:
        place = () if index is None else (index,)
        if isinstance(option, str):
            yield from find_part_problems(option, entry, place)
        elif isinstance(entry, Mapping):
            for key, kind in option.items():
                # Only a name must have a value: the others are optional.
                if (key == "name" and key in entry) or (entry.get(key) is not None and entry[key] != ""):
                    yield from find_part_problems(kind, entry[key], (*place, key))


def find_part_problems(kind: str, value: t.Any, place: Path) -> Iterator[tuple[Path, Problem]]:
    """Yield the problems of a name, or of each name of a list."""
    for index, name in enumerate(value) if is_list(value) else [(None, value)]:
        problem = find_problem(kind, name)
        if problem:
            yield ((*place, index) if index is not None else place), problem


def is_list(value: t.Any) -> bool:
    """Return whether a value is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def join_path(path: Path) -> str:
    """Return a path as users read it: sites.docs.aliases[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def list_option_problems(variable: str, value: t.Any) -> list[str]:
    """Return the names in a variable of a role that are not valid, one text for each."""
    return [
        f"{join_path((variable, *place))}: {problem.line()}" for place, problem in find_option_problems(variable, value)
    ]
