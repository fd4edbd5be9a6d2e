"""Relay hosts (by sender) and transports (by recipient)."""

from __future__ import annotations

import ipaddress
from typing import Any

from stand_in.api.store import Reply, Row, Store, given, is_address, is_domain, words


def _relayhost(store: Store, row: Row) -> Row:
    used = store.rows("SELECT domain FROM domain WHERE relayhost = %s", str(row["id"]))
    names = ", ".join(each["domain"] for each in used)
    return {**row, "password_short": f"{row['password'][:3]}...", "used_by_domains": names, "used_by_mailboxes": ""}


def get_relayhost(store: Store, name: str, _more: str) -> Any:
    """Return all, or one, with passwords, as the real API does."""
    rows = [_relayhost(store, row) for row in store.rows("SELECT * FROM relayhosts ORDER BY id")]
    return rows if name == "all" else next((row for row in rows if str(row["id"]) == name), {})


def _escaped(text: Any) -> str:
    """Escape colons, as the real API does when it adds a login. A change does not."""
    return str(text or "").strip().replace(":", "\\:")


def add_relayhost(store: Store, reply: Reply, attributes: Row) -> None:
    """Add a relay host."""
    host = str(attributes.get("hostname") or "").strip()
    if not host:
        return reply.danger("invalid_host", "")
    # The real API escapes the password twice.
    row = {"username": _escaped(attributes.get("username")), "password": _escaped(_escaped(attributes.get("password")))}
    store.insert("relayhosts", {"hostname": host, **row})
    return reply.success("relayhost_added", "")


def edit_relayhost(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change relay hosts; attributes that are not given are unchanged."""
    for identity in items:
        now = store.one("SELECT * FROM relayhosts WHERE id = %s", identity)
        if not now:
            reply.danger("relayhost_invalid", identity)
            continue
        row = {key: str(attributes.get(key, now[key])).strip() for key in ("username", "password")}
        row |= {"hostname": str(attributes.get("hostname") or now["hostname"]).strip()}
        store.update("relayhosts", "id", identity, {**row, "active": given(attributes, "active", now["active"])})
        reply.success("object_modified", row["hostname"])


def delete_relayhost(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete relay hosts and their use in domains; a missing one is not an error."""
    for identity in items:
        store.run("DELETE FROM relayhosts WHERE id = %s", identity)
        store.run("UPDATE domain SET relayhost = '0' WHERE relayhost = %s", str(identity))
        reply.success("relayhost_removed", identity)


def get_transport(store: Store, name: str, _more: str) -> Any:
    """Return all, or one."""
    rows = store.rows("SELECT * FROM transports ORDER BY id")
    rows = [{**row, "password_short": f"{row['password'][:3]}..."} for row in rows]
    return rows if name == "all" else next((row for row in rows if str(row["id"]) == name), {})


def _is_destination(text: str) -> bool:
    return text == "*" or is_domain(text.removeprefix(".")) or is_address(text)


def _bracketed(nexthop: str) -> str:
    """Put a bare IP address in brackets; the real API does not do so for relay hosts."""
    try:
        ipaddress.ip_address(nexthop)
    except ValueError:
        return nexthop
    return f"[{nexthop}]"


def add_transport(store: Store, reply: Reply, attributes: Row) -> None:
    """Add transports for destinations without one."""
    nexthop = _bracketed(str(attributes.get("nexthop") or "").strip())
    if not nexthop:
        return reply.danger("invalid_nexthop")
    taken = [row["destination"] for row in store.rows("SELECT destination FROM transports")]
    login = {key: _escaped(attributes.get(key)) for key in ("username", "password")}
    flags = {key: given(attributes, key, 0) for key in ("active", "is_mx_based")}
    done = False
    for destination in dict.fromkeys(words(attributes.get("destination"))):
        if destination in taken:
            reply.danger("transport_dest_exists", destination)
        elif not flags["is_mx_based"] and not _is_destination(destination):
            reply.danger("invalid_destination", destination)
        else:
            store.insert("transports", {"destination": destination, "nexthop": nexthop, **login, **flags})
            done = True
    # All transports of a server get the same login.
    store.update("transports", "nexthop", nexthop, login)
    return reply.success("relayhost_added", "") if done else None


def edit_transport(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change transports; attributes that are not given are unchanged."""
    for identity in items:
        now = store.one("SELECT * FROM transports WHERE id = %s", identity)
        if not now:
            reply.danger("relayhost_invalid", identity)
            continue
        row = {key: attributes.get(key) or now[key] for key in ("destination", "nexthop")}
        row["nexthop"] = _bracketed(str(row["nexthop"]).strip())
        row |= {key: str(attributes.get(key, now[key])).strip() for key in ("username", "password")}
        row["password"] = row["password"] if row["username"] else ""
        row |= {key: given(attributes, key, now[key]) for key in ("active", "is_mx_based")}
        if not row["is_mx_based"] and not _is_destination(row["destination"]):
            reply.danger("invalid_destination", row["destination"])
            continue
        store.update("transports", "id", identity, row)
        store.update("transports", "nexthop", row["nexthop"], {key: row[key] for key in ("username", "password")})
        reply.success("object_modified", row["nexthop"])


def delete_transport(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete transports; a missing one is not an error."""
    for identity in items:
        store.run("DELETE FROM transports WHERE id = %s", identity)
        reply.success("relayhost_removed", identity)
