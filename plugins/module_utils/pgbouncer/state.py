# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a PgBouncer, as its console and its configuration file report it; pure functions."""

from __future__ import annotations

import csv
import dataclasses
import re
import typing as t

# Columns with the state of the moment, which the files do not decide.
RUNTIME_COLUMNS = ("current_connections", "current_client_connections", "paused", "disabled", "load_balance_hosts")
# An isolated instance overrides these settings; for them the text of the file is compared.
OVERRIDDEN = ("listen_addr", "unix_socket_dir")
# The console's answers follow each other; this line stands between them.
SEPARATOR = "-- next --"
QUERY = f"\n\\echo {SEPARATOR}\n".join(("SHOW CONFIG;", "SHOW DATABASES;", "SHOW USERS;")) + "\n"

Table = list[list[str]]


@dataclasses.dataclass(frozen=True)
class State:
    """Settings, databases and users with settings."""

    settings: t.Mapping[str, str]
    databases: Table
    users: Table


def parse_answer(answer: str, named: t.Collection[str]) -> State:
    """Return the state from the console's answer to QUERY.

    Args:
        answer: three tables as CSV.
        named: the users of the configuration; PgBouncer adds each user that has logged in.
    """
    settings, databases, users = (list(csv.reader(part.splitlines())) for part in answer.split(f"{SEPARATOR}\n"))
    return State(
        {row[0]: row[1] for row in settings[1:]},
        remove_runtime_columns(databases),
        [row for row in remove_runtime_columns(users) if row[0] in named],
    )


def remove_runtime_columns(table: Table) -> Table:
    """Return a table's rows in order, without the columns that change at run time."""
    kept = [index for index, name in enumerate(table[0]) if name not in RUNTIME_COLUMNS]
    return sorted([row[index] for index in kept] for row in table[1:])


def read_section(text: str, name: str) -> dict[str, str]:
    """Return the keys of a section of a configuration, with their values as the text has them."""
    match = re.search(rf"^\[{name}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = match[1].splitlines() if match else []
    pairs = [line.partition("=") for line in lines if line.strip() and not line.startswith(";")]
    return {key.strip(): value.strip() for key, _equals, value in pairs}


def describe_live(isolated: State, text: str, path: str) -> State:
    """Return the state of the live instance that has the same configuration as an isolated one.

    Args:
        isolated: the state of the isolated instance.
        text: the configuration.
        path: the file with the configuration.
    """
    literal = read_section(text, "pgbouncer")
    settings = {**isolated.settings, **{key: literal[key] for key in OVERRIDDEN}, "conffile": path}
    return dataclasses.replace(isolated, settings=settings)


def find_differences(wanted: State, live: State) -> list[str]:
    """Return the names of the settings and tables that differ."""
    names = sorted(key for key, value in wanted.settings.items() if live.settings.get(key) != value)
    tables = {
        "databases": wanted.databases != live.databases,
        "users": wanted.users != live.users,
    }
    return names + [name for name, differs in tables.items() if differs]
