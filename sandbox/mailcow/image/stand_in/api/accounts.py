"""Mailboxes and their app passwords."""

from __future__ import annotations

import html
import json
import time
from typing import Any

from stand_in import docker_client
from stand_in.api import domains, limits, passwords
from stand_in.api.store import Reply, Row, Store, given, is_address, is_domain, number, to_ascii

PROTOCOLS = ("imap", "pop3", "smtp", "sieve", "eas", "dav")
ATTRIBUTES = {
    "force_pw_update": "0",
    "force_tfa": "0",
    "tls_enforce_in": "0",
    "tls_enforce_out": "0",
    "sogo_access": "1",
    **{f"{name}_access": "1" for name in PROTOCOLS},
    "relayhost": "0",
}


def _access(attributes: Row) -> Row:
    """Convert the list `protocol_access` to imap_access and so on."""
    chosen = attributes.get("protocol_access")
    if chosen is None:
        return attributes
    chosen = chosen if isinstance(chosen, list) else [chosen]
    return {**attributes, **{f"{name}_access": int(name in chosen) for name in PROTOCOLS}}


def usernames(store: Store, domain: str = "") -> list[str]:
    """Return all mailboxes, or those of a domain."""
    rows = store.rows("SELECT username, domain FROM mailbox WHERE kind = '' ORDER BY username")
    return [row["username"] for row in rows if not domain or row["domain"] == domain]


def details(store: Store, username: str, reduced: bool = False) -> Row:
    """Return a mailbox in the form of get/mailbox: attributes as texts, quota in bytes."""
    row = store.one("SELECT * FROM mailbox WHERE username = %s AND kind = ''", username)
    domain = store.one("SELECT * FROM domain WHERE domain = %s", row["domain"]) if row else None
    if not row or not domain:
        return {}
    tags = [tag["tag_name"] for tag in store.rows("SELECT tag_name FROM tags_mailbox WHERE username = %s", username)]
    found = {
        **{key: row[key] for key in ("username", "active", "domain", "name", "local_part", "quota")},
        "active_int": row["active"],
        "messages": 0,
        "attributes": json.loads(row["attributes"]),
        "custom_attributes": json.loads(row["custom_attributes"] or "{}") or [],
        "quota_used": 0,
        "percent_in_use": 0 if row["quota"] else "- ",
        "percent_class": "success" if row["quota"] else "info",
        **{key: row[key] for key in ("created", "modified")},
        "authsource": row["authsource"] or "mailcow",
        **{f"last_{kind}_login": 0 for kind in ("imap", "smtp", "pop3", "sso")},
    }
    if not reduced:
        found |= _more(store, row, domain)
    return {**found, "tags": tags} if tags else found


def _more(store: Store, row: Row, domain: Row) -> Row:
    """Return the values that the reduced list does not have."""
    others = store.count(
        "SELECT COALESCE(SUM(quota), 0) FROM mailbox WHERE kind = '' AND domain = %s AND username <> %s",
        row["domain"],
        row["username"],
    )
    own = limits.of(store, row["username"])
    acl = store.rows("SELECT send_as FROM sender_acl WHERE logged_in_as = %s AND external = 0", row["username"])
    return {
        "max_new_quota": min(domain["quota"] * domains.MIB - others, domain["maxquota"] * domains.MIB),
        "spam_aliases": 0,
        "pushover_active": 0,
        "rl": own or limits.of(store, row["domain"]),
        "rl_scope": "mailbox" if own else "domain",
        "is_relayed": domain["backupmx"],
        "sender_acl": [each["send_as"] for each in acl],
    }


def get(store: Store, name: str, more: str) -> Any:
    """Return all, those of a domain, or one."""
    if name in ("all", "reduced"):
        chosen = [each for domain in more.split(",") for each in usernames(store, domain)]
        return [found for each in chosen if (found := details(store, each, name == "reduced"))]
    return details(store, name)


def _taken(store: Store, reply: Reply, username: str) -> bool:
    """Return whether the address is in use; the message names the kind."""
    for table, column, message in (
        ("mailbox", "username", "object_exists"),
        ("alias", "address", "is_alias"),
        ("spamalias", "address", "is_spam_alias"),
    ):
        if store.rows(f"SELECT 1 FROM {table} WHERE {column} = %s", username):  # noqa: S608 (names are ours)
            reply.danger(message, username)
            return True
    return False


def _full(reply: Reply, domain: Row, used: dict[str, int], quota: int) -> bool:
    """Return whether another mailbox with this quota in MiB exceeds a limit of the domain; the message names it."""
    left = domain["quota"] - used["quota"] // domains.MIB
    for wrong, message in (
        (used["mailboxes"] >= domain["mailboxes"], ("max_mailbox_exceeded", used["mailboxes"], domain["mailboxes"])),
        (quota > domain["maxquota"], ("mailbox_quota_exceeded", domain["maxquota"])),
        (quota > left, ("mailbox_quota_left_exceeded", left)),
    ):
        if wrong:
            reply.danger(*message)
            return True
    return False


def _full_name(name: Any) -> str:
    """Return a name without the signs of an address around it."""
    return str(name or "").rstrip(">").lstrip("<")


def add(store: Store, reply: Reply, attributes: Row) -> None:
    """Add a mailbox; its quota is in MiB, 0 for no limit."""
    attributes = _access(attributes)
    local, name = (str(attributes.get(key) or "").strip().lower() for key in ("local_part", "domain"))
    name = to_ascii(name)
    username = f"{local}@{name}"
    if not is_address(username):
        return reply.danger("mailbox_invalid")
    if not domains.known(store, name):
        # The real API checks permissions before it checks whether the domain exists.
        return reply.danger("access_denied") if is_domain(name) else reply.danger("domain_invalid")
    if _taken(store, reply, username):
        return None
    domain = store.one("SELECT * FROM domain WHERE domain = %s", name)
    if not domain:
        return reply.danger("domain_not_found", name)
    if not passwords.accepted(store, reply, attributes.get("password"), attributes.get("password2")):
        return None
    quota = given(attributes, "quota", 0)
    if _full(reply, domain, domains.usage(store, name), quota):
        return None
    active = given(attributes, "active", 1)
    own = {key: str(given(attributes, key, default)) for key, default in ATTRIBUTES.items()}
    own |= {"passwd_update": time.strftime("%Y-%m-%d %H:%M:%S"), "mailbox_format": "maildir:"}
    own |= {"quarantine_notification": "hourly", "quarantine_category": "reject", "attribute_hash": ""}
    row: Row = {"username": username, "local_part": local, "domain": name, "name": _full_name(attributes.get("name"))}
    row |= {"password": passwords.hashed(str(attributes["password"])), "quota": quota * domains.MIB}
    store.insert("mailbox", {**row, "attributes": json.dumps(own), "custom_attributes": "{}", "active": active})
    for tag in attributes.get("tags") or []:
        store.insert("tags_mailbox", {"username": username, "tag_name": tag})
    store.insert("quota2", {"username": username})
    # Each mailbox has an alias to itself, from which Postfix knows its allowed senders.
    store.insert("alias", {"address": username, "goto": username, "domain": name, "active": active})
    if attributes.get("rl_frame") and attributes.get("rl_value") is not None:
        limits.set_limit(store, reply, username, attributes)
    reply.success("mailbox_added", username)
    return None


def edit(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change mailboxes; attributes that are not given are unchanged."""
    attributes = _access(attributes)
    for username in items:
        if not is_address(username):
            reply.danger("username_invalid", username)
            continue
        now = details(store, username)
        if not now:
            reply.danger("access_denied")
            continue
        has_quota = attributes.get("quota") not in (None, "")
        quota = number(attributes["quota"]) if has_quota else now["quota"] // domains.MIB
        if quota > now["max_new_quota"] // domains.MIB:
            reply.danger("mailbox_quota_left_exceeded", now["max_new_quota"] // domains.MIB)
            continue
        if not _new_password(store, reply, username, attributes):
            continue
        _senders(store, reply, username, attributes)
        own = {key: str(given(attributes, key, now["attributes"].get(key, "0"))) for key in ATTRIBUTES}
        row = {
            "name": _full_name(attributes.get("name")) if attributes.get("name") else now["name"],
            "quota": quota * domains.MIB,
        }
        row["active"] = given(attributes, "active", now["active"])
        current = store.one("SELECT attributes FROM mailbox WHERE username = %s", username) or {"attributes": "{}"}
        row["attributes"] = json.dumps({**json.loads(current["attributes"]), **own})
        store.update("mailbox", "username", username, row)
        store.update("alias", "address", username, {"active": row["active"]})
        for tag in attributes.get("tags") or []:
            store.insert("tags_mailbox", {"username": username, "tag_name": tag})
        reply.success("mailbox_modified", username)


def _new_password(store: Store, reply: Reply, username: str, attributes: Row) -> bool:
    """Set the password if one is given; return whether it is valid."""
    if not attributes.get("password"):
        return True
    if not passwords.accepted(store, reply, attributes["password"], attributes.get("password2")):
        return False
    row = store.one("SELECT attributes FROM mailbox WHERE username = %s", username) or {"attributes": "{}"}
    changed = {**json.loads(row["attributes"]), "passwd_update": time.strftime("%Y-%m-%d %H:%M:%S")}
    password = passwords.hashed(str(attributes["password"]))
    store.update("mailbox", "username", username, {"password": password, "attributes": json.dumps(changed)})
    return True


def _senders(store: Store, reply: Reply, username: str, attributes: Row) -> None:
    """Set the other addresses with which a mailbox can send."""
    if "sender_acl" not in attributes:
        return
    wanted = attributes["sender_acl"]
    wanted = [each for each in (wanted if isinstance(wanted, list) else [wanted]) if each not in ("", "default")]
    store.run("DELETE FROM sender_acl WHERE external = 0 AND logged_in_as = %s", username)
    for each in ["*"] if "*" in wanted else wanted:
        domain = str(each).removeprefix("@")
        own = store.rows("SELECT 1 FROM alias WHERE address = %s", each)
        if each == "*" or own or domain in domains.names(store):
            send_as = f"@{domain}" if is_domain(domain) and "@" not in domain and each != "*" else each
            store.insert("sender_acl", {"send_as": send_as, "logged_in_as": username})
        else:
            reply.danger("sender_acl_invalid", each)


def delete(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete mailboxes with their mail, and remove them from aliases."""
    for username in items:
        now = details(store, str(username))
        if not now:
            reply.danger("access_denied")
            continue
        docker_client.run("maildir-remove", f"{now['domain']}/{now['local_part']}")
        store.run("DELETE FROM alias WHERE goto = %s", username)
        for alias in store.rows("SELECT id, goto FROM alias"):
            targets = alias["goto"].split(",")
            if username in targets:
                rest = ",".join(target for target in targets if target != username)
                store.update("alias", "id", alias["id"], {"goto": rest})
        store.run("DELETE FROM app_passwd WHERE mailbox = %s", username)
        store.run("DELETE FROM sender_acl WHERE logged_in_as = %s OR send_as = %s", username, username)
        for table in ("tags_mailbox", "quota2", "mailbox"):
            store.run(f"DELETE FROM {table} WHERE username = %s", username)  # noqa: S608 (names are ours)
        store.redis.hdel("RL_VALUE", username)
        reply.success("mailbox_removed", username)


def get_app_passwords(store: Store, _all: str, username: str) -> Any:
    """Return a mailbox's app passwords, with names escaped once more, as the real API does."""
    rows = store.rows("SELECT * FROM app_passwd WHERE mailbox = %s ORDER BY id", username)
    return [{**row, "name": _escaped(row["name"])} for row in rows]


def _escaped(name: Any) -> str:
    """Escape like PHP's htmlspecialchars, which escapes escaped text again."""
    return html.escape(str(name).strip()).replace("&#x27;", "&#039;")


def _protocols(attributes: Row) -> Row:
    chosen = attributes.get("protocols") or []
    chosen = chosen if isinstance(chosen, list) else [chosen]
    return {f"{name}_access": int(f"{name}_access" in chosen) for name in PROTOCOLS}


def add_app_password(store: Store, reply: Reply, attributes: Row) -> None:
    """Add an app password for some protocols of a mailbox."""
    box = details(store, str(attributes.get("username") or ""))
    if not box:
        return reply.danger("access_denied")
    if not passwords.accepted(store, reply, attributes.get("app_passwd"), attributes.get("app_passwd2")):
        return None
    name = _escaped(attributes.get("app_name") or "")
    if not name:
        return reply.danger("app_name_empty")
    row = {"name": name, "mailbox": box["username"], "domain": box["domain"]}
    row |= {"password": passwords.hashed(str(attributes["app_passwd"])), "active": given(attributes, "active", 0)}
    store.insert("app_passwd", {**row, **_protocols(attributes)})
    return reply.success("app_passwd_added")


def edit_app_password(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change name, protocols or password."""
    for identity in items:
        now = store.one("SELECT * FROM app_passwd WHERE id = %s", identity)
        if not now:
            reply.danger("app_passwd_id_invalid", identity)
            continue
        # Without a name the real API stores the escaped one that it would show
        name = _escaped(attributes.get("app_name") or _escaped(now["name"]))
        # Without the mailbox, the password moves to the user of the API
        owner = str(attributes.get("username") or "")
        row: Row = {"name": name, "active": given(attributes, "active", now["active"])}
        row["mailbox"] = owner if is_address(owner) else "API"
        if "protocols" in attributes:
            row |= _protocols(attributes)
        if attributes.get("app_passwd") and attributes.get("app_passwd2"):
            if not passwords.accepted(store, reply, attributes["app_passwd"], attributes["app_passwd2"]):
                continue
            row["password"] = passwords.hashed(str(attributes["app_passwd"]))
        store.update("app_passwd", "id", identity, row)
        reply.success("object_modified", ", ".join(str(item) for item in items))


def delete_app_password(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete app passwords."""
    for identity in items:
        if not store.one("SELECT 1 FROM app_passwd WHERE id = %s", identity):
            return reply.danger("app_passwd_id_invalid")
        store.run("DELETE FROM app_passwd WHERE id = %s", identity)
        reply.success("app_passwd_removed", identity)
    return None
