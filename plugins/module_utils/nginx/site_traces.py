# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has of a site that is moved: virtual hosts, files, requests of visitors, and the record of the move.

The record contains the lifetime of the former DNS records, and when the last of them expires in resolvers.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import typing as t

from ..host import files

VIRTUAL_HOSTS = "/etc/nginx/sites-enabled"
SITES = "/srv/sites"
RECORDS = "/var/lib/vise/moves"
# logrotate may just have begun a new file.
LOGS = ("/var/log/nginx/access.log.1", "/var/log/nginx/access.log")
READ = 32 << 20  # bytes at the end of each log
# Requests of the platform itself
PROBE = "vise-probe"
CHALLENGE = "/.well-known/acme-challenge/"
SHOWN = 5

Record = dict[str, int]


def list_virtual_hosts(folder: str = VIRTUAL_HOSTS) -> list[str]:
    """Return the names of the virtual hosts."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(name.removesuffix(".conf") for name in os.listdir(folder) if name.endswith(".conf"))
    return []


def has_files(name: str, root: str = SITES, folder: str = VIRTUAL_HOSTS) -> bool:
    """Return whether a virtual host of this host serves the site itself: its files, or the program on its port."""
    for virtual_host in (name, f"{name}.internal"):
        text = files.read_text(os.path.join(folder, f"{virtual_host}.conf"))
        if os.path.join(root, name, "") in text or "server 127.0.0.1:" in text:
            return True
    return False


def count_requests(
    domains: t.Collection[str], since: datetime.datetime, logs: t.Iterable[str] = LOGS
) -> dict[str, int]:
    """Return the number of requests of visitors for these domains, by client."""
    found: dict[str, int] = {}
    for line in _read_lines(logs):
        try:
            entry = json.loads(line)
            time = datetime.datetime.fromisoformat(entry["time"])
            client, host = entry["client"], entry["host"]
        except (ValueError, KeyError, TypeError):
            # The first line is only the end of one.
            continue
        if time < since or entry.get("agent") == PROBE or str(entry.get("uri")).startswith(CHALLENGE):
            continue
        if any(matches(host, domain) for domain in domains):
            found[client] = found.get(client, 0) + 1
    return found


def matches(host: str, domain: str) -> bool:
    """Return whether a name of a request belongs to a domain, which may be a wildcard."""
    return host.endswith(domain[1:]) if domain.startswith("*.") else host == domain


def _read_lines(logs: t.Iterable[str]) -> t.Iterator[bytes]:
    for path in logs:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
            handle.seek(max(0, os.path.getsize(path) - READ))
            yield from handle


def read_record(name: str, folder: str = RECORDS) -> Record:
    """Return the record of the move from this host; empty without one."""
    try:
        record = files.read_json(os.path.join(folder, f"{name}.json"), {})
        return {key: int(record[key]) for key in ("lifetime", "until") if key in record}
    except (ValueError, TypeError):
        # A damaged record: the lifetime is queried again.
        return {}


def update_record(record: Record, lifetime: int, is_switched: bool, now: int) -> Record:
    """Return the record with the longest lifetime of the DNS records, and with the end of it once they are switched.

    Args:
        record: the present record.
        lifetime: of the DNS records that are published now, in seconds.
        is_switched: whether all name servers return the new records.
        now: the time in seconds.
    """
    if record.get("until"):
        return record
    longest = max(lifetime, record.get("lifetime", 0))
    return {"lifetime": longest, **({"until": now + longest} if is_switched else {})}


def write_record(name: str, record: Record, folder: str = RECORDS) -> None:
    """Write the record, or remove it when it is empty."""
    path = os.path.join(folder, f"{name}.json")
    if not record:
        files.remove_file(path)
        return
    files.make_directories(folder)
    files.write_json(path, record, mode=0o644)


def remove_files(name: str, root: str = SITES) -> None:
    """Remove the releases of a site; a killed removal is completed by the next one."""
    place, removed = os.path.join(root, name), os.path.join(root, f".old-{name}")
    if os.path.isdir(removed):
        shutil.rmtree(removed)
    if os.path.isdir(place):
        os.rename(place, removed)
        shutil.rmtree(removed)
