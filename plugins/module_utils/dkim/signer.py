# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""By which key mailcow signs: what its Redis holds, from which rspamd reads selector and key for every message.

mailcow's API imports a key by deleting the old one and writing three hashes after that, so that mail goes out unsigned
in between, and mail whose selector was read just before finds no key. One transaction that leaves the old key in its
place has no such moment, and what it leaves is what the API shows.
"""

from __future__ import annotations

import os
import re
import socket
import time
import typing as t

from . import keys

SELECTORS, PRIVATE, PUBLIC = "DKIM_SELECTORS", "DKIM_PRIV_KEYS", "DKIM_PUB_KEYS"
TIMEOUT = 10
PATIENCE = 120  # seconds for a copy of everything on the disk

Reply = t.Union[str, int, None, "list[Reply]"]


class Signer(t.NamedTuple):
    """By which key a domain's mail is signed; the private one is known here and said nowhere."""

    selector: str = ""
    public: str = ""
    private: str = ""


def settings(project: str) -> dict[str, str]:
    """Return what mailcow's own configuration says."""
    path = os.path.join(project, "mailcow.conf")
    try:
        with open(path, encoding="utf-8") as handle:
            return dict(re.findall(r"^([A-Z0-9_]+)=(.*?)\s*$", handle.read(), re.MULTILINE))
    except FileNotFoundError:
        raise keys.DkimError(f"{path} is not there: mailcow is not set up on this host") from None


class Redis:
    """mailcow's Redis on the port that it opens to its host."""

    def __init__(self, known: dict[str, str]) -> None:
        address, _colon, port = known.get("REDIS_PORT", "127.0.0.1:7654").rpartition(":")
        self.where = f"mailcow's Redis at {address or '127.0.0.1'}:{port}"
        try:
            self.socket = socket.create_connection((address or "127.0.0.1", int(port)), TIMEOUT)
        except OSError as error:
            raise keys.DkimError(f"{self.where} does not answer: {error}") from None
        self.stream = self.socket.makefile("rb")
        if known.get("REDISPASS"):
            self.call("AUTH", known["REDISPASS"])

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stream.close()
        self.socket.close()

    def call(self, *words: str) -> Reply:
        """Send one command and return its reply."""
        parts = [word.encode() for word in words]
        body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            self.socket.sendall(b"*%d\r\n%s" % (len(parts), body))
            return self._reply(words[0])
        except OSError as error:
            raise keys.DkimError(f"{self.where} went away: {error}") from None

    def _reply(self, command: str) -> Reply:
        line = self.stream.readline()
        kind, rest = line[:1], line[1:].strip().decode("utf-8", "replace")
        if kind == b"-":
            # Redis repeats nothing of a command but its name.
            raise keys.DkimError(f"{self.where} refuses {command}: {rest}")
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply(command) for _number in range(int(rest))]
        if kind == b"$" and rest == "-1":
            return None
        if kind == b"$":
            return self.stream.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
        if kind != b"+":
            raise keys.DkimError(f"{self.where} hung up or is no Redis")
        return rest

    def text(self, *words: str) -> str:
        """Send one command and return its text; nothing for an absent one."""
        reply = self.call(*words)
        return reply if isinstance(reply, str) else ""


def current(redis: Redis, domain: str) -> Signer:
    """Return by which key a domain's mail is signed."""
    selector = redis.text("HGET", SELECTORS, domain)
    return Signer(selector, redis.text("HGET", PUBLIC, domain), redis.text("HGET", PRIVATE, f"{selector}.{domain}"))


def wanted(selector: str, pem: str) -> Signer:
    """Return what signing by a key looks like; refuse a key by which mailcow cannot sign."""
    known = keys.facts(pem)
    if known.type != keys.RSA:
        raise keys.DkimError("mailcow signs by RSA alone, and this is an Ed25519 key")
    return Signer(selector, known.public, pem.strip())


def same(one: Signer, other: Signer) -> bool:
    """Whether the same key signs under the same name."""
    return one._replace(private=one.private.strip()) == other._replace(private=other.private.strip())


def switch(redis: Redis, domain: str, signer: Signer) -> None:
    """Have a domain's mail signed by a key from one message to the next; the old key stays for what reads it now."""
    redis.call("MULTI")
    redis.call("HSET", PRIVATE, f"{signer.selector}.{domain}", signer.private)
    redis.call("HSET", PUBLIC, domain, signer.public)
    redis.call("HSET", SELECTORS, domain, signer.selector)
    redis.call("EXEC")


def keep(redis: Redis) -> None:
    """Have all of it on the disk: mailcow's Redis by itself writes within the hour; a power cut takes what is younger.

    In the background, since rspamd asks it for every message.
    """
    end, asked = time.monotonic() + PATIENCE, False
    while time.monotonic() < end:
        state = dict(line.split(":", 1) for line in redis.text("INFO", "persistence").splitlines() if ":" in line)
        if state.get("rdb_bgsave_in_progress") == "0":
            if asked and state.get("rdb_last_bgsave_status") == "ok":
                return
            if asked:
                break
            asked = _begin_copy(redis)
        time.sleep(0.05)
    raise keys.DkimError(
        f"{redis.where} does not get its data onto the disk: the keys are live, but a power cut would lose them"
    )


def _begin_copy(redis: Redis) -> bool:
    try:
        redis.call("BGSAVE")
    except keys.DkimError as error:
        # One that it has begun by itself since holds less than what is there now.
        if "in progress" not in str(error):
            raise
        return False
    return True


def left(redis: Redis, domain: str, selectors: t.Iterable[str]) -> list[str]:
    """Return the selectors of whose private keys mailcow still has a copy."""
    return [selector for selector in selectors if redis.call("HEXISTS", PRIVATE, f"{selector}.{domain}")]


def forget(redis: Redis, domain: str, selectors: t.Iterable[str]) -> None:
    """Remove mailcow's copies of private keys."""
    for selector in selectors:
        redis.call("HDEL", PRIVATE, f"{selector}.{domain}")
