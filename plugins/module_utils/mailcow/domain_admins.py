# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Administrators of domains."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

ADMIN = {"username": sync.NAME, "domains": sync.STRINGS, "password": sync.PASSWORD, "active": sync.FLAG}


def attributes(options: Row) -> Row:
    """Return options by the API's names."""
    values = {key: sync.to_api(value) for key, value in options.items()}
    if "password" in values:
        values["password2"] = values["password"]
    return values


def update(changes: Row, current: sync.Current) -> Row:
    """Return the API's attributes of a change, always with the two flags that mailcow otherwise clears."""
    more = current.row.get("attributes") or {}
    flags = {key: sync.to_number(more.get(key)) for key in ("force_tfa", "force_pw_update")}
    return {**flags, **attributes(changes)}


def normalize(entry: Row) -> Row:
    """Return an entry with its domains as mailcow stores them, in order."""
    return {**entry, "domains": entry["domains"] and sorted({sync.to_ascii(name) for name in entry["domains"]})}


def read(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's domain administrators by username."""
    return {row["username"]: sync.Current(row["username"], read_row(row), row) for row in rows["domain-admin"]}


def read_row(row: Row) -> Row:
    """Return an administrator's values by the option names."""
    return {
        "username": row["username"],
        "domains": sorted(row.get("selected_domains") or []),
        "active": sync.to_flag(row.get("active")),
    }


def find_problems(wanted: t.Sequence[Row], current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the administrators."""
    problems = []
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        name = entry["username"]
        if not re.fullmatch(r"[a-z0-9._-]+", name):
            problems.append(f"domain-admin {name}: a username can contain only lower-case letters, digits, _, . and -")
        if entry["domains"] == [] or (entry["domains"] is None and name not in current):
            problems.append(f"domain-admin {name}: domains are missing")
        if name not in current and not entry["password"]:
            problems.append(f"domain-admin {name} is new and needs a password")
    return problems


def needs(entry: Row) -> list[tuple[str, str]]:
    """Return the domains that an administrator administers."""
    return [("domain", name) for name in entry["domains"] or []] if entry["state"] == "present" else []


KIND = sync.Kind(
    "domain-admin",
    "username",
    lambda options: {"active": 1, **attributes(options)},
    update,
    write_only=("password",),
    option="domain_admins",
    normalize=normalize,
    read=read,
    problems=find_problems,
    needs=needs,
)
