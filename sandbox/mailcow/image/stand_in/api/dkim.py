"""DKIM keys, in the hashes of Redis that rspamd reads."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from stand_in.api.store import Reply, Row, Store, is_domain, number, words

# Key sizes by the length of the public key in base64, as in the real API.
LENGTHS = ((391, "1024"), (564, "2048"), (736, "3072"), (1416, "4096"))


class Unreadable(Exception):
    """The input is not a private key."""


def _openssl(*argv: str, text: str = "") -> str:
    done = subprocess.run(("openssl", *argv), input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unreadable(done.stderr.splitlines()[0] if done.stderr else "openssl")
    return done.stdout


def public(private: str) -> str:
    """Return the public half of a private key in the form of a DNS record."""
    return "".join(_openssl("pkey", "-pubout", text=private).splitlines()[1:-1])


def get(store: Store, domain: str, _more: str = "") -> Row:
    """Return a domain's key without its private half."""
    key = store.redis.hget("DKIM_PUB_KEYS", domain)
    if not key:
        return {}
    return {
        "pubkey": key,
        "length": next((name for limit, name in LENGTHS if len(key) < limit), ">= 8192"),
        "dkim_txt": f"v=DKIM1;k=rsa;t=s;s=email;p={key}",
        "dkim_selector": store.redis.hget("DKIM_SELECTORS", domain),
        "privkey": "",
    }


def _save(store: Store, domain: str, selector: str, private: str, key: str) -> None:
    store.redis.hset("DKIM_PUB_KEYS", domain, key)
    store.redis.hset("DKIM_SELECTORS", domain, selector)
    store.redis.hset("DKIM_PRIV_KEYS", f"{selector}.{domain}", private)


def _is_selector(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*", text))


def add(store: Store, reply: Reply, attributes: Row) -> None:
    """Add an RSA key for each domain without one."""
    selector = str(attributes.get("dkim_selector", "dkim"))
    size = number(attributes.get("key_size"))
    for domain in words(attributes.get("domains")):
        taken = store.redis.hget("DKIM_PUB_KEYS", domain)
        owner = store.one("SELECT domain FROM domain WHERE domain = %s", domain)
        if not is_domain(domain) or taken or not _is_selector(selector):
            reply.danger("dkim_domain_or_sel_invalid", domain)
        elif not owner and not store.one("SELECT 1 FROM alias_domain WHERE alias_domain = %s", domain):
            reply.danger("access_denied", domain)
        else:
            try:
                private = _openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{size}")
            except Unreadable:
                reply.danger("dkim_domain_or_sel_invalid", domain)
                continue
            _save(store, domain, selector, private.strip(), public(private))
            reply.success("dkim_added", domain)


def duplicate(store: Store, reply: Reply, attributes: Row) -> None:
    """Copy a domain's key to others."""
    source = str(attributes.get("from_domain") or "")
    found = get(store, source)
    if not found:
        return reply.danger("dkim_domain_or_sel_invalid", source)
    selector = found["dkim_selector"]
    private = store.redis.hget("DKIM_PRIV_KEYS", f"{selector}.{source}")
    for target in words(attributes.get("to_domain")):
        _save(store, target, selector, private, found["pubkey"])
        reply.success("dkim_duplicated", source, target)
    return None


def import_key(store: Store, reply: Reply, attributes: Row) -> None:
    """Import a key."""
    private = re.sub(r"\r\n?", "\n", str(attributes.get("private_key_file") or "").strip())
    selector = str(attributes.get("dkim_selector", "dkim"))
    domain = str(attributes.get("domain") or "")
    try:
        key = public(private)
    except Unreadable as problem:
        return reply.danger("private_key_error", str(problem))
    if not is_domain(domain):
        return reply.danger("dkim_domain_or_sel_invalid", domain)
    if store.redis.hget("DKIM_PUB_KEYS", domain) and not number(attributes.get("overwrite_existing")):
        return reply.danger("dkim_domain_or_sel_exists", domain)
    if not _is_selector(selector):
        return reply.danger("dkim_domain_or_sel_invalid", domain)
    # As in the real API: for a moment there is no key, and mail is sent unsigned.
    delete(store, reply, [domain])
    _save(store, domain, selector, private, key)
    return reply.success("dkim_added", domain)


def delete(store: Store, reply: Reply, items: list[Any]) -> None:
    """Delete keys; a missing key is not an error."""
    for domain in items:
        if not is_domain(domain):
            reply.danger("dkim_domain_or_sel_invalid", domain)
            continue
        selector = store.redis.hget("DKIM_SELECTORS", domain)
        store.redis.hdel("DKIM_PUB_KEYS", domain)
        store.redis.hdel("DKIM_PRIV_KEYS", f"{selector}.{domain}")
        store.redis.hdel("DKIM_SELECTORS", domain)
        reply.success("dkim_removed", domain)
