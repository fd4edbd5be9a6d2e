"""Limits: rate limits, allowed addresses, bans, password policy."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import Any

from stand_in.api import passwords
from stand_in.api.store import Reply, Row, Store, given, number, words

BANS = ("ban_time", "max_ban_time", "max_attempts", "retry_window", "netban_ipv4", "netban_ipv6")


def allowed(address: str, networks: str) -> bool:
    """Return whether an address is in one of the networks of a list."""
    ip = ipaddress.ip_address(address.removeprefix("::ffff:"))
    for text in words(networks):
        try:
            if ip in ipaddress.ip_network(text, strict=False):
                return True
        except ValueError:
            continue
    return False


def of(store: Store, name: str) -> Row | bool:
    """Return the rate limit of a mailbox or domain; false without one."""
    value, _, frame = (store.redis.hget("RL_VALUE", name) or "").partition(" / 1")
    return {"value": value, "frame": frame} if value else False


def set_limit(store: Store, reply: Reply, name: str, attributes: Row) -> None:
    """Set the messages per second, minute, hour or day; 0 removes the limit."""
    value, frame = number(attributes.get("rl_value")), attributes.get("rl_frame")
    if frame not in ("s", "m", "h", "d"):
        return reply.danger("rl_timeframe")
    if value:
        store.redis.hset("RL_VALUE", name, f"{value} / 1{frame}")
    else:
        store.redis.hdel("RL_VALUE", name)
    return reply.success("rl_saved", name)


def _names(store: Store, table: str, column: str) -> list[str]:
    return [row["name"] for row in store.rows(f"SELECT {column} AS name FROM {table} ORDER BY {column}")]  # noqa: S608


def get_domain(store: Store, name: str, _more: str) -> Any:
    """Return the limits of all domains, or of one."""
    if name != "all":
        return of(store, name)
    found = {each: of(store, each) for each in _names(store, "domain", "domain")}
    return [{**limit, "domain": each} for each, limit in found.items() if isinstance(limit, dict)]


def get_mailbox(store: Store, name: str, _more: str) -> Any:
    """Return the limits of all mailboxes, or of one."""
    if name != "all":
        return of(store, name)
    found = {each: of(store, each) for each in _names(store, "mailbox", "username")}
    return [{**limit, "mailbox": each} for each, limit in found.items() if isinstance(limit, dict)]


def _edit(store: Store, reply: Reply, known: list[str], items: list[Any], attributes: Row) -> None:
    for name in items:
        if attributes.get("rl_frame") in ("s", "m", "h", "d") and name not in known:
            reply.danger("access_denied")
        else:
            set_limit(store, reply, name, attributes)


def edit_domain(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change limits of domains."""
    _edit(store, reply, _names(store, "domain", "domain"), items, attributes)


def edit_mailbox(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Change limits of mailboxes."""
    _edit(store, reply, _names(store, "mailbox", "username"), items, attributes)


def get_bans(store: Store, _name: str, _more: str) -> Row:
    """Return the options of bans, and the active bans."""
    now = time.time()
    queue = store.redis.hgetall("F2B_QUEUE_UNBAN")
    bans = []
    for network, end in store.redis.hgetall("F2B_ACTIVE_BANS").items():
        left = max(0, int(float(end) - now))
        until = f"{left // 3600:02d}h {left // 60 % 60:02d}m {left % 60:02d}s"
        row = {"queued_for_unban": int(network in queue), "network": network, "ip": network.partition("/")[0]}
        bans.append({**row, "banned_until": until})
    return {
        **json.loads(store.redis.get("F2B_OPTIONS") or "{}"),
        "regex": json.loads(store.redis.get("F2B_REGEX") or "null"),
        "whitelist": "\n".join(sorted(store.redis.hkeys("F2B_WHITELIST"))),
        "blacklist": "\n".join(sorted(store.redis.hkeys("F2B_BLACKLIST"))),
        **({"active_bans": bans} if bans else {}),
    }


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def edit_bans(store: Store, reply: Reply, items: list[Any], attributes: Row) -> None:
    """Unban networks, or set the options of bans."""
    action = attributes.get("action")
    if action in ("unban", "whitelist") and items:
        for network in items:
            if not _is_network(str(network)):
                if action == "whitelist":
                    reply.danger("network_host_invalid", network)
                    continue
            else:
                if action == "whitelist":
                    store.redis.hset("F2B_WHITELIST", network, 1)
                store.redis.hset("F2B_QUEUE_UNBAN", network, 1)
            reply.success("object_modified", network)
        return
    now = get_bans(store, "", "")
    options: Row = {key: given(attributes, key, now.get(key, 0)) for key in BANS}
    options["ban_time_increment"] = int(str(attributes.get("ban_time_increment")) == "1")
    options["manage_external"] = given(attributes, "manage_external", 0)
    options["banlist_id"] = now.get("banlist_id")
    store.redis.set("F2B_OPTIONS", json.dumps(options))
    for key, name in (("whitelist", "F2B_WHITELIST"), ("blacklist", "F2B_BLACKLIST")):
        if key not in attributes:
            continue
        store.redis.delete(name)
        for network in words(attributes[key]):
            if _is_network(network):
                store.redis.hset(name, network, 1)
            else:
                reply.danger("network_host_invalid", network)
    reply.success("f2b_modified")


def get_password_policy(store: Store, _name: str, _more: str) -> Row:
    """Return the password policy as texts."""
    return dict(passwords.policy(store))


def edit_password_policy(store: Store, reply: Reply, _items: list[Any], attributes: Row) -> None:
    """Set the password policy."""
    now = passwords.policy(store)
    for key in passwords.POLICY:
        store.redis.hset("PASSWD_POLICY", key, given(attributes, key, now[key]))
    reply.success("password_policy_saved")
