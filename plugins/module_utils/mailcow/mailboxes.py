# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mailboxes."""

from __future__ import annotations

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

PROTOCOLS = ("imap", "pop3", "smtp", "sieve", "eas", "dav")
MAILBOX = {
    "address": sync.NAME,
    "name": sync.TEXT,
    "password": sync.PASSWORD,
    "quota": sync.NUMBER,
    "active": sync.FLAG,
    "protocols": {**sync.STRINGS, "choices": list(PROTOCOLS)},
    "webmail": sync.FLAG,
    # Not a secret, although its name has "password"
    "force_password_change": {**sync.FLAG, "no_log": False},
}
NAMES = {"webmail": "sogo_access", "force_password_change": "force_pw_update"}


def attributes(options: Row) -> Row:
    """Return options by the API's names; each protocol is one attribute."""
    values = {NAMES.get(k, k): sync.to_api(v) for k, v in options.items() if k not in ("address", "protocols")}
    if "password" in values:
        values["password2"] = values["password"]
    if "protocols" in options:
        values.update({f"{name}_access": int(name in options["protocols"]) for name in PROTOCOLS})
    return values


def create(options: Row) -> Row:
    """Return the API's attributes of a new mailbox."""
    local, domain = options["address"].split("@")
    # mailcow's template would force each user to choose a new password before the first mail
    # Without a quota, mailcow's template would make the mailbox unlimited
    quota = sync.Reference("domain", "domain_name", domain, "def_quota_for_mbox")
    defaults = {"local_part": local, "domain": domain, "name": local, "active": 1, "force_pw_update": 0, "quota": quota}
    return {**defaults, **attributes(options)}


def normalize(entry: Row) -> Row:
    """Return an entry as mailcow stores it: the address, the name, and the protocols in the order of PROTOCOLS."""
    protocols = entry["protocols"] and [name for name in PROTOCOLS if name in entry["protocols"]]
    address, name = sync.normalize_address(entry["address"]), entry["name"]
    if name is not None:
        # mailcow removes these two, and ignores an empty name
        name = name.rstrip(">").lstrip("<") or address.partition("@")[0]
    return {**entry, "address": address, "name": name, "protocols": protocols}


def read(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's mailboxes by address."""
    return {row["username"]: sync.Current(row["username"], read_row(row)) for row in rows["mailbox"]}


def read_row(row: Row) -> Row:
    """Return a mailbox's values by the option names."""
    more = row.get("attributes") or {}
    return {
        "address": row["username"],
        "name": row.get("name") or "",
        "quota": sync.to_megabytes(row.get("quota")),
        "active": sync.to_flag(row.get("active")),
        "protocols": [name for name in PROTOCOLS if sync.to_flag(more.get(f"{name}_access"))],
        "webmail": sync.to_flag(more.get("sogo_access")),
        "force_password_change": sync.to_flag(more.get("force_pw_update")),
    }


def find_problems(wanted: t.Sequence[Row], current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the mailboxes."""
    problems = []
    for entry in wanted:
        address = entry["address"]
        problems += sync.find_text_problems(f"mailbox {address}", entry, {"name": 255})
        if not all(address.partition("@")) or address.count("@") != 1:
            problems.append(f"mailbox {address}: the address must be name@domain")
        elif entry["state"] == "present" and address not in current and not entry["password"]:
            problems.append(f"mailbox {address} is new and needs a password")
    return problems


def needs(entry: Row) -> list[tuple[str, str]]:
    """Return the domain that a mailbox is in."""
    return [("domain", entry["address"].rpartition("@")[2])] if entry["state"] == "present" else []


KIND = sync.Kind(
    "mailbox",
    "address",
    create,
    lambda changes, _current: attributes(changes),
    write_only=("password",),
    option="mailboxes",
    normalize=normalize,
    read=read,
    problems=find_problems,
    needs=needs,
)
