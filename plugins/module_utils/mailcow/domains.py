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
    "relay_all_recipients": sync.FLAG,
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
    if options.get("relay") is False:
        # Either of these two flags would set backupmx again
        values = {"relay_all_recipients": 0, "relay_unknown_only": 0, **values}
    if "relayhost" in values:
        host = values["relayhost"]
        # The API needs the number of the relay host; one that the same plan adds does not have it yet
        values["relayhost"] = sync.Reference("relayhost", "hostname", host) if host else 0
    return values


def create(options: Row) -> Row:
    """Return the API's attributes of a new domain: it has no DKIM key, and SOGo restarts to read the new domain."""
    return {"domain": options["name"], "active": 1, "key_size": 0, "restart_sogo": 1, **attributes(options)}


def update(changes: Row, _current: sync.Current) -> Row:
    """Return the API's attributes of a change. mailcow ignores the number 0 of aliases, but not this text."""
    values = attributes(changes)
    return {**values, "aliases": "00"} if changes.get("aliases") == 0 else values


def normalize(entry: Row) -> Row:
    """Return an entry with its name as mailcow stores it; an empty description is the name."""
    name = sync.to_ascii(entry["name"].strip())
    return {**entry, "name": name, "description": name if entry["description"] == "" else entry["description"]}


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
        "relay_all_recipients": sync.to_flag(row.get("relay_all_recipients")),
        "relay_host": relay_hosts.get(number, f"number {number}"),
    }


def find_problems(wanted: t.Sequence[Row], current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the domains."""
    problems = []
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        name = f"domain {entry['name']}"
        problems += sync.find_text_problems(name, entry, {"description": 255})
        sizes = ("default_quota", "max_quota", "quota")
        problems += [f"{name}: {key} must be 1 or more" for key in sizes if entry[key] is not None and entry[key] < 1]
        if entry["relay_all_recipients"] and entry["relay"] is False:
            problems.append(f"{name}: relay_all_recipients needs relay: true")
        values = current[entry["name"]].values if entry["name"] in current else {}
        levels = [(key, {**values, **sync.given_options(entry)}.get(key)) for key in sizes]
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
    update,
    option="domains",
    normalize=normalize,
    read=read,
    problems=find_problems,
    needs=needs,
)
