"""Administrators: the global one, and those of domains."""

from __future__ import annotations

import json
import re
from typing import Any

from stand_in.api import domains, passwords
from stand_in.api.store import Reply, Row, Store, given

# `admin` and `moohoo`, as the real mailcow ships them.
FIRST = ("admin", "{SSHA256}K8eVJ6YsZbQCfuJvSUbaQRLr0HPLz5rC9IAp0PAFl0tmNDBkMDc0NDAyOTAxN2Rk")


def first(store: Store) -> None:
    """Add the global administrator if there is none."""
    if store.rows("SELECT 1 FROM admin"):
        return
    username, password = FIRST
    store.insert("admin", {"username": username, "password": password, "superadmin": 1, "active": 1})
    store.insert("domain_admins", {"username": username, "domain": "ALL", "active": 1})


def login(store: Store, username: str, password: str, address: str) -> bool:
    """Return whether a login to the web interface succeeds; a failure is published for bans."""
    name = username.strip().lower()
    row = store.one("SELECT password FROM admin WHERE superadmin = 1 AND active = 1 AND username = %s", name)
    if row and passwords.verified(row["password"], password):
        return True
    store.redis.publish("F2B_CHANNEL", f"mailcow UI: Invalid password for {name} by {address}")
    return False


def details(store: Store, username: str) -> Row:
    """Return an administrator and her domains."""
    rows = store.rows("SELECT * FROM domain_admins WHERE username = %s ORDER BY id", username)
    if not rows:
        return {}
    admin = store.one("SELECT attributes FROM admin WHERE username = %s", username) or {}
    every = domains.names(store)
    chosen = [row["domain"] for row in rows]
    return {
        "username": username,
        "tfa_active": 0,
        "tfa_active_int": 0,
        "active": rows[0]["active"],
        "active_int": rows[0]["active"],
        "created": rows[0]["created"],
        "attributes": json.loads(admin.get("attributes") or "null") or {"force_tfa": "0", "force_pw_update": "0"},
        "selected_domains": [name for name in every if name in chosen],
        "unselected_domains": [name for name in every if name not in chosen] or "",
    }


def get(store: Store, name: str, _more: str) -> Any:
    """Return all, or one."""
    if name != "all":
        return details(store, name)
    rows = store.rows("SELECT DISTINCT username FROM domain_admins WHERE domain <> 'ALL' ORDER BY username")
    return [details(store, row["username"]) for row in rows]


def _named(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9][A-Za-z0-9_.-]*", text)) and text != "API"


def _list(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value]) if each]


def add(store: Store, reply: Reply, attributes: Row) -> None:
    """Add an administrator for at least one domain."""
    username = str(attributes.get("username") or "").strip().lower()
    chosen = _list(attributes.get("domains"))
    if not chosen:
        return reply.danger("domain_invalid")
    if not _named(username):
        return reply.danger("username_invalid", username)
    if any(
        store.rows(f"SELECT 1 FROM {table} WHERE username = %s", username)  # noqa: S608 (names are ours)
        for table in ("mailbox", "admin", "domain_admins")
    ):
        return reply.danger("object_exists", username)
    if not passwords.accepted(store, reply, attributes.get("password"), attributes.get("password2")):
        return None
    active = given(attributes, "active", 0)
    known = [name for name in chosen if name in domains.names(store)]
    for name in chosen:
        if name not in known:
            reply.danger("domain_invalid", name)
    for name in known:
        store.insert("domain_admins", {"username": username, "domain": name, "active": active})
    if known:
        row = {"username": username, "password": passwords.hashed(str(attributes["password"])), "active": active}
        store.insert("admin", row)
    return reply.success("domain_admin_added", username)


def edit(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change domains, name or password."""
    for username in items:
        now = details(store, str(username))
        if not now:
            reply.danger("access_denied")
            continue
        chosen = _list(attributes.get("domains")) or now["selected_domains"]
        wrong = next((name for name in chosen if name not in domains.names(store)), None)
        new = attributes.get("username_new") or username
        if wrong:
            reply.danger("domain_invalid", wrong)
            continue
        if not _named(new) or (new != username and details(store, new)):
            reply.danger("username_invalid", new)
            continue
        row: Row = {"username": new, "active": given(attributes, "active", now["active"])}
        # Flags that are not given are cleared, as in the real API.
        flags = {key: str(int(given(attributes, key, 0) != 0)) for key in ("force_tfa", "force_pw_update")}
        row["attributes"] = json.dumps(flags)
        if attributes.get("password"):
            if not passwords.accepted(store, reply, attributes["password"], attributes.get("password2")):
                return
            row["password"] = passwords.hashed(str(attributes["password"]))
        store.run("DELETE FROM domain_admins WHERE username = %s", username)
        for name in chosen:
            store.insert("domain_admins", {"username": new, "domain": name, "active": row["active"]})
        store.update("admin", "username", username, row)
        reply.success("domain_admin_modified", username)


def delete(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete administrators."""
    for username in items:
        if not details(store, str(username)):
            reply.danger("username_invalid", username)
            continue
        for table in ("domain_admins", "admin"):
            store.run(f"DELETE FROM {table} WHERE username = %s", username)  # noqa: S608 (names are ours)
        reply.success("domain_admin_removed", username)
