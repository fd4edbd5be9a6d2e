# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail domains and their limits."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

DOMAIN = {
    "name": sync.NAME,
    "description": sync.TEXT,
    "mailboxes": sync.NUMBER,
    "aliases": sync.NUMBER,
    "default_quota": sync.NUMBER,
    "max_quota": sync.NUMBER,
    "quota": sync.NUMBER,
    "active": sync.FLAG,
    "global_address_list": sync.FLAG,
    "relay": sync.FLAG,
    "relay_host": sync.TEXT,
}
NAMES = {
    "default_quota": "defquota",
    "max_quota": "maxquota",
    "global_address_list": "gal",
    "relay": "backupmx",
    "relay_host": "relayhost",
}


def attributes(options: Row) -> Row:
    """Return options by the API's names."""
    values = {NAMES.get(key, key): sync.to_api(value) for key, value in options.items() if key != "name"}
    if "relayhost" in values:
        host = values["relayhost"]
        # The API needs the number of the relay host; one that the same plan adds does not have it yet
        values["relayhost"] = sync.Reference("relayhost", "hostname", host) if host else 0
    return values


def create(options: Row) -> Row:
    """Return the API's attributes of a new domain: it has no DKIM key, and SOGo restarts to read the new domain."""
    return {"domain": options["name"], "active": 1, "key_size": 0, "restart_sogo": 1, **attributes(options)}


def read(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's domains by name."""
    # If relay hosts have the same name, mailcow_objects manages the last one
    hosts = {row["hostname"]: sync.to_number(row["id"]) for row in rows["relayhost"]}
    names = {0: "", **{number: name for name, number in hosts.items()}}
    return {row["domain_name"]: sync.Current(row["domain_name"], read_row(row, names)) for row in rows["domain"]}


def read_row(row: Row, relay_hosts: t.Mapping[int, str]) -> Row:
    """Return a domain's values by the option names."""
    number = sync.to_number(row.get("relayhost"))
    return {
        "name": row["domain_name"],
        "description": row.get("description") or "",
        "mailboxes": sync.to_number(row.get("max_num_mboxes_for_domain")),
        "aliases": sync.to_number(row.get("max_num_aliases_for_domain")),
        "default_quota": sync.to_megabytes(row.get("def_quota_for_mbox")),
        "max_quota": sync.to_megabytes(row.get("max_quota_for_mbox")),
        "quota": sync.to_megabytes(row.get("max_quota_for_domain")),
        "active": sync.to_flag(row.get("active")),
        "global_address_list": sync.to_flag(row.get("gal")),
        "relay": sync.to_flag(row.get("backupmx")),
        "relay_host": relay_hosts.get(number, f"number {number}"),
    }


def find_problems(wanted: t.Sequence[Row], current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the domains."""
    problems = []
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        values = current[entry["name"]].values if entry["name"] in current else {}
        levels = [
            (key, {**values, **sync.given_options(entry)}.get(key)) for key in ("default_quota", "max_quota", "quota")
        ]
        known = [(key, value) for key, value in levels if value]
        for (lower, small), (upper, large) in itertools.pairwise(known):
            if small > large:
                problems.append(f"domain {entry['name']}: {lower} ({small}) is larger than {upper} ({large})")
    return problems


def needs(entry: Row) -> list[tuple[str, str]]:
    """Return the relay host that a domain uses."""
    return [("relay host", entry["relay_host"])] if entry["relay_host"] and entry["state"] == "present" else []


KIND = sync.Kind(
    "domain",
    "name",
    create,
    lambda changes, _current: attributes(changes),
    option="domains",
    read=read,
    problems=find_problems,
    needs=needs,
)
