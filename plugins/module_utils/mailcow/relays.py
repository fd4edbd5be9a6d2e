# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Relay hosts (selected by the sender) and transports (selected by the recipient)."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

RELAY_HOST = {"host": sync.NAME, "username": sync.TEXT, "password": sync.PASSWORD, "active": sync.FLAG}
TRANSPORT = {**RELAY_HOST, "destination": sync.NAME, "host": sync.TEXT}
LOGIN = ("username", "password")
BLANK = {"username": "", "password": "", "active": 1}


def relay_attributes(options: Row) -> Row:
    """Return a relay host's options by the API's names."""
    names = {"host": "hostname"}
    return {names.get(key, key): sync.to_api(value) for key, value in options.items()}


def transport_attributes(options: Row) -> Row:
    """Return a transport's options by the API's names."""
    names = {"host": "nexthop"}
    return {names.get(key, key): sync.to_api(value) for key, value in options.items()}


def update_transport(changes: Row, current: sync.Current) -> Row:
    """Return the API's attributes of a change, always with username and password: the API sets both together."""
    login = {key: current.values[key] for key in ("username", "password")}
    return transport_attributes({**login, **changes})


def normalize_transport(entry: Row) -> Row:
    """Return an entry as mailcow stores it: an IP address is in brackets (not in a relay host)."""
    destination = entry["destination"].strip()
    entry = {**entry, "destination": sync.normalize_address(destination, lower=False)}
    try:
        ipaddress.ip_address(entry["host"] or "")
    except ValueError:
        return entry
    return {**entry, "host": f"[{entry['host']}]"}


def read_login(row: Row) -> Row:
    """Return the values that relay hosts and transports share, as Postfix reads them.

    mailcow escapes the colons of a new login, and Postfix would use the escapes. A change does not escape them.
    """
    texts = {key: row.get(key) or "" for key in LOGIN}
    return {**texts, "active": sync.to_flag(row.get("active"))}


def read_relay_hosts(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's relay hosts by server."""
    return {
        row["hostname"]: sync.Current(row["id"], {"host": row["hostname"], **read_login(row)})
        for row in rows["relayhost"]
    }


def read_transports(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's transports by destination."""
    return {
        row["destination"]: sync.Current(
            row["id"], {"destination": row["destination"], "host": row["nexthop"], **read_login(row)}
        )
        for row in rows["transport"]
    }


def find_login_problems(name: str, entry: Row) -> list[str]:
    """Return the reasons for which mailcow would not store a login as described."""
    return sync.find_text_problems(name, entry, dict.fromkeys(LOGIN, 255), ("host", *LOGIN))


def relay_problems(wanted: t.Sequence[Row], _current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would not store the relay hosts as described."""
    present = [entry for entry in wanted if entry["state"] == "present"]
    return [text for entry in present for text in find_login_problems(f"relayhost {entry['host']}", entry)]


def transport_problems(wanted: t.Sequence[Row], _current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the transports."""
    problems = []
    logins: dict[str, set[tuple[str, str]]] = {}
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        problems += find_login_problems(f"transport {entry['destination']}", entry)
        if entry["password"] and not entry["username"]:
            problems.append(f"transport {entry['destination']}: password needs username")
        if not entry["host"]:
            problems.append(f"transport {entry['destination']}: host is missing")
        else:
            logins.setdefault(entry["host"], set()).add((entry["username"] or "", entry["password"] or ""))
    return problems + [
        f"transports with host {host} must have the same username and password"
        for host, each in logins.items()
        if len(each) > 1
    ]


RELAY_HOSTS = sync.Kind(
    "relayhost",
    "host",
    lambda options: {**BLANK, **relay_attributes(options)},
    lambda changes, _current: relay_attributes(changes),
    secret=("password",),
    option="relay_hosts",
    read=read_relay_hosts,
    problems=relay_problems,
)
TRANSPORTS = sync.Kind(
    "transport",
    "destination",
    lambda options: {**BLANK, "is_mx_based": 0, **transport_attributes(options)},
    update_transport,
    secret=("password",),
    option="transports",
    normalize=normalize_transport,
    read=read_transports,
    problems=transport_problems,
)
