"""Domains and alias domains."""

from __future__ import annotations

import os
from typing import Any

from stand_in.api import dkim, limits
from stand_in.api.store import Reply, Row, Store, given, is_domain, number, to_ascii, words

MIB = 1 << 20
# The template of the real mailcow at its first start.
TEMPLATE = {
    "aliases": 400,
    "mailboxes": 10,
    "defquota": 3072,
    "maxquota": 10240,
    "quota": 10240,
    "active": 1,
    "gal": 1,
    "backupmx": 0,
    "relay_all_recipients": 0,
    "relay_unknown_only": 0,
    "key_size": 2048,
    "dkim_selector": "dkim",
}
FLAGS = ("active", "backupmx", "gal", "relay_all_recipients", "relay_unknown_only")


def names(store: Store) -> list[str]:
    """Return all domains."""
    return [row["domain"] for row in store.rows("SELECT domain FROM domain ORDER BY domain")]


def known(store: Store, name: Any) -> bool:
    """Return whether a domain or alias domain has this name."""
    query = "SELECT 1 FROM domain WHERE domain = %s UNION SELECT 1 FROM alias_domain WHERE alias_domain = %s"
    return bool(store.rows(query, name, name))


def usage(store: Store, name: str) -> dict[str, int]:
    """Return the usage of a domain's limits: mailboxes, their quota in bytes, aliases."""
    boxes = store.one(
        "SELECT COUNT(*) AS mailboxes, COALESCE(SUM(quota), 0) AS quota, COALESCE(MAX(quota), 0) AS biggest"
        " FROM mailbox WHERE kind = '' AND domain = %s",
        name,
    )
    aliases = store.count(
        "SELECT COUNT(*) FROM alias WHERE (domain = %s OR domain IN"
        " (SELECT alias_domain FROM alias_domain WHERE target_domain = %s))"
        " AND address NOT IN (SELECT username FROM mailbox)",
        name,
        name,
    )
    return {**{key: int(value) for key, value in (boxes or {}).items()}, "aliases": aliases}


def details(store: Store, name: str) -> Row:
    """Return a domain in the form of get/domain: sizes in bytes, sums as texts."""
    target = store.one("SELECT target_domain FROM alias_domain WHERE alias_domain = %s", name)
    row = store.one("SELECT * FROM domain WHERE domain = %s", target["target_domain"] if target else name)
    if not row:
        return {}
    used = usage(store, row["domain"])
    most = min(row["quota"] * MIB - used["quota"], row["maxquota"] * MIB)
    admins = store.rows("SELECT username FROM domain_admins WHERE domain = %s", row["domain"])
    tags = [tag["tag_name"] for tag in store.rows("SELECT tag_name FROM tags_domain WHERE domain = %s", row["domain"])]
    return {
        "max_new_mailbox_quota": most,
        "def_new_mailbox_quota": min(most, row["defquota"] * MIB),
        "quota_used_in_domain": str(used["quota"]),
        "bytes_total": 0,
        "msgs_total": 0,
        "mboxes_in_domain": used["mailboxes"],
        "mboxes_left": row["mailboxes"] - used["mailboxes"],
        "domain_name": row["domain"],
        "domain_h_name": row["domain"],
        "description": row["description"],
        "max_num_aliases_for_domain": row["aliases"],
        "max_num_mboxes_for_domain": row["mailboxes"],
        "def_quota_for_mbox": row["defquota"] * MIB,
        "max_quota_for_mbox": row["maxquota"] * MIB,
        "max_quota_for_domain": row["quota"] * MIB,
        "relayhost": row["relayhost"],
        **{flag: row[flag] for flag in FLAGS},
        **{f"{flag}_int": row[flag] for flag in FLAGS},
        "rl": limits.of(store, row["domain"]),
        "created": row["created"],
        "modified": row["modified"],
        "aliases_in_domain": used["aliases"],
        "aliases_left": row["aliases"] - used["aliases"],
        "domain_admins": ", ".join(admin["username"] for admin in admins) or "-",
        **({"tags": tags} if tags else {}),
    }


def get(store: Store, name: str, _more: str) -> Any:
    """Return all, or one."""
    return [details(store, each) for each in names(store)] if name == "all" else details(store, name.lower())


def _sizes_refused(reply: Reply, row: Row) -> bool:
    """Return whether the limits contradict each other; the message has the reason."""
    for wrong, message in (
        (row["defquota"] > row["maxquota"], "mailbox_defquota_exceeds_mailbox_maxquota"),
        (row["maxquota"] > row["quota"], "mailbox_quota_exceeds_domain_quota"),
        (not row["defquota"], "defquota_empty"),
        (not row["maxquota"], "maxquota_empty"),
    ):
        if wrong:
            reply.danger(message)
            return True
    return False


def _relaying(row: Row) -> None:
    """Set the flags that the other relay flags imply."""
    if row["relay_unknown_only"] == 1:
        row["relay_all_recipients"] = 1
    if row["relay_all_recipients"] == 1:
        row["backupmx"] = 1


def add(store: Store, reply: Reply, attributes: Row) -> None:
    """Add a domain with a DKIM key."""
    name = to_ascii(str(attributes.get("domain") or "").strip())
    sizes = ("aliases", "mailboxes", "defquota", "maxquota", "quota")
    row: Row = {key: given(attributes, key, TEMPLATE[key]) for key in (*sizes, *FLAGS)}
    if _sizes_refused(reply, row):
        return None
    if not is_domain(name):
        return reply.danger("domain_invalid")
    if known(store, name):
        return reply.danger("domain_exists", name)
    if name == os.environ.get("MAILCOW_HOSTNAME"):
        return reply.danger("domain_cannot_match_hostname")
    _relaying(row)
    store.insert("domain", {"domain": name, "description": attributes.get("description") or name, **row})
    for tag in attributes.get("tags") or []:
        store.insert("tags_domain", {"domain": name, "tag_name": tag})
    store.redis.hset("DOMAIN_MAP", name, 1)
    if attributes.get("rl_value") and attributes.get("rl_frame"):
        limits.set_limit(store, reply, name, attributes)
    size, selector = (attributes.get(key, TEMPLATE[key]) for key in ("key_size", "dkim_selector"))
    if number(size) and selector:
        if store.redis.hget("DKIM_SELECTORS", name):
            reply.success("domain_add_dkim_available")
        else:
            dkim.add(store, reply, {"domains": name, "key_size": size, "dkim_selector": selector})
    # The real API restarts SOGo, which reads its domains only at its start; here SOGo does nothing.
    number(attributes.get("restart_sogo"))
    return reply.success("domain_added", name)


def edit(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change domains; attributes that are not given are unchanged, and limits below the usage are refused."""
    for name in items:
        now = details(store, str(name))
        if not is_domain(name) or not now:
            reply.danger("domain_invalid")
            continue
        row: Row = {flag: given(attributes, flag, now[flag]) for flag in FLAGS}
        row["relayhost"] = str(given(attributes, "relayhost", now["relayhost"]))
        _relaying(row)
        # An empty value does not count; for these three, 0 is empty too.
        row["aliases"] = number(attributes.get("aliases") or now["max_num_aliases_for_domain"])
        row["maxquota"] = number(attributes.get("maxquota") or now["max_quota_for_mbox"] // MIB)
        row["quota"] = number(attributes.get("quota") or now["max_quota_for_domain"] // MIB)
        for key, old in (
            ("mailboxes", now["max_num_mboxes_for_domain"]),
            ("defquota", now["def_quota_for_mbox"] // MIB),
        ):
            row[key] = number(attributes[key]) if attributes.get(key) not in (None, "") else old
        row["description"] = attributes.get("description") or now["description"]
        if _sizes_refused(reply, row) or _in_use(reply, row, usage(store, str(name))):
            continue
        store.update("domain", "domain", name, row)
        for tag in attributes.get("tags") or []:
            store.insert("tags_domain", {"domain": name, "tag_name": tag})
        reply.success("domain_modified", name)


def _in_use(reply: Reply, row: Row, used: dict[str, int]) -> bool:
    """Return whether the usage exceeds the new limits; the message names the limit."""
    for have, limit, message in (
        (used["biggest"] // MIB, row["maxquota"], "max_quota_in_use"),
        (used["quota"] // MIB, row["quota"], "domain_quota_m_in_use"),
        (used["mailboxes"], row["mailboxes"], "mailboxes_in_use"),
        (used["aliases"], row["aliases"], "aliases_in_use"),
    ):
        if have > limit:
            reply.danger(message, have)
            return True
    return False


def delete(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete domains without mailboxes; their keys remain in Redis, as in the real API."""
    for name in items:
        if not known(store, name):
            reply.danger("domain_invalid")
            continue
        if store.rows("SELECT 1 FROM mailbox WHERE domain = %s", name):
            reply.danger("domain_not_empty", name)
            continue
        for table in ("domain", "domain_admins", "alias", "tags_domain"):
            store.run(f"DELETE FROM {table} WHERE domain = %s", name)  # noqa: S608 (names are ours)
        store.run("DELETE FROM alias_domain WHERE target_domain = %s", name)
        store.run("DELETE FROM sender_acl WHERE logged_in_as LIKE %s", f"%@{name}")
        store.run("DELETE FROM admin WHERE superadmin = 0 AND username NOT IN (SELECT username FROM domain_admins)")
        for key in ("DOMAIN_MAP", "RL_VALUE"):
            store.redis.hdel(key, name)
        reply.success("domain_removed", name)


def get_alias_domain(store: Store, name: str, _more: str) -> Any:
    """Return all, or one."""
    rows = store.rows("SELECT * FROM alias_domain ORDER BY alias_domain")
    found = [{**row, "active_int": row["active"]} for row in rows]
    return found if name == "all" else next((row for row in found if row["alias_domain"] == name), {})


def add_alias_domain(store: Store, reply: Reply, attributes: Row) -> None:
    """Add alias domains of a domain."""
    target = str(attributes.get("target_domain") or "").strip().lower()
    if not is_domain(target):
        return reply.danger("target_domain_invalid")
    if target not in names(store):
        return reply.danger("targetd_not_found", target)
    for name in words(attributes.get("alias_domain")):
        if not is_domain(name):
            reply.danger("alias_domain_invalid", name)
        elif name == target:
            reply.danger("aliasd_targetd_identical", target)
        elif known(store, name):
            reply.danger("alias_domain_invalid", name)
        else:
            active = given(attributes, "active", 0)
            store.insert("alias_domain", {"alias_domain": name, "target_domain": target, "active": active})
            store.redis.hset("DOMAIN_MAP", name, 1)
            reply.success("aliasd_added", name)
    return None


def edit_alias_domain(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change target and state of alias domains."""
    for name in items:
        now = get_alias_domain(store, str(name), "")
        if not now:
            reply.danger("alias_domain_invalid", name)
            continue
        row = {
            "target_domain": attributes.get("target_domain") or now["target_domain"],
            "active": given(attributes, "active", now["active"]),
        }
        if row["target_domain"] not in names(store):
            reply.danger("target_domain_invalid", row["target_domain"])
            continue
        store.update("alias_domain", "alias_domain", name, row)
        reply.success("aliasd_modified", name)


def delete_alias_domain(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete alias domains."""
    for name in items:
        if not get_alias_domain(store, str(name), ""):
            reply.danger("domain_invalid")
            continue
        store.run("DELETE FROM alias_domain WHERE alias_domain = %s", name)
        store.run("DELETE FROM alias WHERE domain = %s", name)
        store.redis.hdel("DOMAIN_MAP", name)
        reply.success("alias_domain_removed", name)
