"""Aliases."""

from __future__ import annotations

from typing import Any

from stand_in.api import domains
from stand_in.api.store import Reply, Row, Store, given, is_address, to_ascii, words

SINKS = {"goto_null": "null@localhost", "goto_spam": "spam@localhost", "goto_ham": "ham@localhost"}
FLAGS = ("active", "sogo_visible", "internal", "sender_allowed")


def details(store: Store, identity: Any) -> Row:
    """Return an alias by its number or address; the alias of a mailbox to itself does not count."""
    row = store.one("SELECT * FROM alias WHERE (id = %s OR address = %s) AND address <> goto", identity, identity)
    if not row:
        return {}
    target = store.one("SELECT target_domain FROM alias_domain WHERE alias_domain = %s", row["domain"])
    return {
        "in_primary_domain": target["target_domain"] if target else "",
        **{key: row[key] for key in ("id", "domain", "public_comment", "private_comment", "goto", "address")},
        "is_catch_all": int(not is_address(row["address"])),
        "internal": row["internal"],
        "active": row["active"],
        "active_int": row["active"],
        "sogo_visible": row["sogo_visible"],
        "sogo_visible_int": row["sogo_visible"],
        "sender_allowed": row["sender_allowed"],
        "created": row["created"],
        "modified": row["modified"],
    }


def get(store: Store, name: str, _more: str) -> Any:
    """Return all, or one."""
    if name != "all":
        return details(store, name)
    rows = store.rows("SELECT id FROM alias WHERE address <> goto ORDER BY id")
    return [details(store, row["id"]) for row in rows]


def _targets(reply: Reply, attributes: Row, address: str) -> str:
    """Return the valid targets; empty if there is none."""
    for flag, sink in SINKS.items():
        if given(attributes, flag, 0) == 1:
            return sink
    kept: list[str] = []
    for target in words(attributes.get("goto")):
        if not is_address(target):
            reply.danger("goto_invalid", target)
        elif target == address:
            reply.danger("alias_goto_identical")
        elif target not in kept:
            kept.append(target)
    return ",".join(kept)


def _ascii(address: str) -> str:
    """Return an address with an ASCII domain."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{to_ascii(domain)}"


def _refused(store: Store, reply: Reply, address: str) -> bool:
    """Return whether an address cannot become an alias; the message has the reason."""
    local, _, domain = address.rpartition("@")
    taken = store.rows("SELECT 1 FROM alias WHERE address = %s", address)
    if taken:
        reply.danger("is_alias_or_mailbox", address)
    elif not domains.known(store, domain):
        reply.danger("domain_not_found", domain)
    elif local and not is_address(address):
        reply.danger("alias_invalid", address)
    else:
        return False
    return True


def add(store: Store, reply: Reply, attributes: Row) -> None:
    """Add aliases, one or more addresses at once; `@domain` is the catch-all."""
    addresses = words(attributes.get("address"))
    comments = {key: attributes.get(key) for key in ("private_comment", "public_comment")}
    if any(len(str(comment or "").encode()) > 160 for comment in comments.values()):
        return reply.danger("comment_too_long")
    if not addresses:
        return reply.danger("alias_empty")
    if not words(attributes.get("goto")) and not any(given(attributes, flag, 0) for flag in SINKS):
        return reply.danger("goto_empty")
    # A change does not convert them.
    goto = _targets(reply, {**attributes, "goto": [_ascii(target) for target in words(attributes.get("goto"))]}, "")
    if not goto:
        return None
    for address in addresses:
        if address in goto.split(","):
            continue
        address = _ascii(address)
        domain = address.rpartition("@")[2]
        left = domains.details(store, domain).get("aliases_left")
        if left is not None and left <= 0:
            return reply.danger("max_alias_exceeded")
        if _refused(store, reply, address):
            continue
        flags = {flag: given(attributes, flag, 0) for flag in FLAGS}
        identity = store.insert("alias", {"address": address, "goto": goto, "domain": domain, **comments, **flags})
        reply.success("alias_added", address, identity)
    return None


def edit(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change aliases; attributes that are not given are unchanged."""
    for identity in items:
        now = details(store, identity)
        if not now:
            reply.danger("alias_invalid", "")
            continue
        address = attributes.get("address") or now["address"]
        if address.lower() != now["address"].lower() and _refused(store, reply, address):
            continue
        goto = _targets(reply, {**attributes, "goto": attributes.get("goto") or now["goto"]}, address)
        if goto:
            row: Row = {flag: given(attributes, flag, now[flag]) for flag in FLAGS}
            row |= {key: attributes.get(key, now[key]) for key in ("private_comment", "public_comment")}
            row |= {"address": address, "domain": address.rpartition("@")[2], "goto": goto}
            store.update("alias", "id", now["id"], row)
        reply.success("alias_modified", address)


def delete(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete aliases."""
    for identity in items:
        now = details(store, identity)
        if not now:
            reply.danger("access_denied")
            continue
        store.run("DELETE FROM alias WHERE id = %s", now["id"])
        store.run("DELETE FROM sender_acl WHERE send_as = %s", now["address"])
        reply.success("alias_removed", now["address"])
