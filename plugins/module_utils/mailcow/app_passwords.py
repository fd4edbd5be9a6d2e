# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Passwords with which programs log in to mailboxes."""

from __future__ import annotations

import html
import re
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

PROTOCOLS = ("imap", "smtp", "pop3", "sieve", "dav", "eas")
NAME_BYTES = 255
APP_PASSWORD = {
    "mailbox": sync.NAME,
    "name": sync.NAME,
    "password": sync.PASSWORD,
    "protocols": {**sync.STRINGS, "choices": list(PROTOCOLS)},
    "active": sync.FLAG,
}


def attributes(options: Row) -> Row:
    """Return options by the API's names."""
    values: Row = {"active": sync.to_api(options["active"])} if "active" in options else {}
    if "password" in options:
        values.update(app_passwd=options["password"], app_passwd2=options["password"])
    if "protocols" in options:
        values["protocols"] = [f"{name}_access" for name in options["protocols"]]
    return values


def create(options: Row) -> Row:
    """Return the API's attributes of a new app password."""
    return {"username": options["mailbox"], "app_name": options["name"], "active": 1, **attributes(options)}


def update(changes: Row, current: sync.Current) -> Row:
    """Return the API's attributes of a change, always with mailbox and name.

    Without the mailbox, mailcow would move the password to the API's own user. Without the name, mailcow would escape
    the stored name again.
    """
    return {"username": current.values["mailbox"], "app_name": current.values["name"], **attributes(changes)}


def unescape(name: str) -> str:
    """Return a name without HTML escapes; mailcow escapes a name when it stores, shows and sometimes edits it."""
    return re.sub(r"&(?:amp;)*(amp|lt|gt|quot|#0*39);", lambda match: html.unescape(f"&{match[1]};"), name).strip()


def normalize(entry: Row) -> Row:
    """Return an entry with its key, its name without escapes, and its protocols in the order of PROTOCOLS."""
    name, mailbox = unescape(entry["name"]), sync.normalize_address(entry["mailbox"])
    protocols = entry["protocols"] and [name for name in PROTOCOLS if name in entry["protocols"]]
    return {**entry, "mailbox": mailbox, "name": name, "key": f"{mailbox} {name}", "protocols": protocols}


def read(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's app passwords by mailbox and name."""
    values = [(row["id"], read_row(row)) for row in rows["app-passwd"]]
    return {value["key"]: sync.Current(number, value) for number, value in values}


def read_row(row: Row) -> Row:
    """Return an app password's values by the option names."""
    name = unescape(row["name"])
    return {
        "key": f"{row['mailbox']} {name}",
        "mailbox": row["mailbox"],
        "name": name,
        "protocols": [one for one in PROTOCOLS if sync.to_flag(row.get(f"{one}_access"))],
        "active": sync.to_flag(row.get("active")),
    }


def find_problems(wanted: t.Sequence[Row], current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the app passwords."""
    new = [e["key"] for e in wanted if e["state"] == "present" and e["key"] not in current and not e["password"]]
    # mailcow stores the name with its HTML escapes
    long = [entry["key"] for entry in wanted if len(html.escape(entry["name"]).encode()) > NAME_BYTES]
    return [f"app-passwd {name} is new and needs a password" for name in new] + [
        f"app-passwd {name}: name is longer than {NAME_BYTES} bytes" for name in long
    ]


KIND = sync.Kind(
    "app-passwd",
    "key",
    create,
    update,
    write_only=("password",),
    option="app_passwords",
    normalize=normalize,
    read=read,
    problems=find_problems,
    needs=lambda entry: [("mailbox", entry["mailbox"])],
)
