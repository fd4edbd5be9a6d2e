# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The signing keys in mailcow's Redis, from which rspamd reads selector and key for every message.

To import a key, mailcow's API deletes the old key and then writes three hashes. Meanwhile mail is sent unsigned, and
there is no key for a message whose selector was read just before. One transaction that keeps the old private key has
no such gap. The API shows the same result.
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
# Seconds to save all data to disk.
SAVE_TIMEOUT = 120

Reply = t.Union[str, int, None, "list[Reply]"]


class Signer(t.NamedTuple):
    """The key that signs a domain's mail; the private key is never part of an output."""

    selector: str = ""
    public: str = ""
    private: str = ""


def read_settings(project: str) -> dict[str, str]:
    """Return the settings in mailcow.conf."""
    path = os.path.join(project, "mailcow.conf")
    try:
        with open(path, encoding="utf-8") as handle:
            return dict(re.findall(r"^([A-Z0-9_]+)=(.*?)\s*$", handle.read(), re.MULTILINE))
    except FileNotFoundError:
        raise keys.DkimError(f"{path} does not exist: mailcow is not installed on this host") from None


class Redis:
    """mailcow's Redis, on its port on the host."""

    def __init__(self, settings: dict[str, str]) -> None:
        address, _colon, port = settings.get("REDIS_PORT", "127.0.0.1:7654").rpartition(":")
        self.name = f"mailcow's Redis at {address or '127.0.0.1'}:{port}"
        try:
            self.socket = socket.create_connection((address or "127.0.0.1", int(port)), TIMEOUT)
        except OSError as error:
            raise keys.DkimError(f"{self.name} does not answer: {error}") from None
        self.stream = self.socket.makefile("rb")
        if settings.get("REDISPASS"):
            self.call("AUTH", settings["REDISPASS"])

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
            raise keys.DkimError(f"{self.name} closed the connection: {error}") from None

    def _reply(self, command: str) -> Reply:
        line = self.stream.readline()
        kind, rest = line[:1], line[1:].strip().decode("utf-8", "replace")
        if kind == b"-":
            # An error of Redis contains only the name of the command, without its arguments.
            raise keys.DkimError(f"{self.name} refuses the command {command}: {rest}")
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply(command) for _number in range(int(rest))]
        if kind == b"$" and rest == "-1":
            return None
        if kind == b"$":
            return self.stream.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
        if kind != b"+":
            raise keys.DkimError(f"{self.name} closed the connection or is not Redis")
        return rest

    def text(self, *words: str) -> str:
        """Send one command and return the text of its reply; empty if there is none."""
        reply = self.call(*words)
        return reply if isinstance(reply, str) else ""


def current(redis: Redis, domain: str) -> Signer:
    """Return the key that signs a domain's mail."""
    selector = redis.text("HGET", SELECTORS, domain)
    return Signer(selector, redis.text("HGET", PUBLIC, domain), redis.text("HGET", PRIVATE, f"{selector}.{domain}"))


def from_key(selector: str, pem: str) -> Signer:
    """Return the signer of a private key; refuse a key that mailcow cannot use."""
    known = keys.facts(pem)
    if known.type != keys.RSA:
        raise keys.DkimError("mailcow signs only with RSA keys, and this is an Ed25519 key")
    return Signer(selector, known.public, pem.strip())


def same(one: Signer, other: Signer) -> bool:
    """Return whether key and selector are the same."""
    return one._replace(private=one.private.strip()) == other._replace(private=other.private.strip())


def switch(redis: Redis, domain: str, signer: Signer) -> None:
    """Switch the signing key in one transaction; the old private key stays for messages in progress."""
    redis.call("MULTI")
    redis.call("HSET", PRIVATE, f"{signer.selector}.{domain}", signer.private)
    redis.call("HSET", PUBLIC, domain, signer.public)
    redis.call("HSET", SELECTORS, domain, signer.selector)
    redis.call("EXEC")


def save(redis: Redis) -> None:
    """Save all data to disk: otherwise mailcow's Redis saves only within an hour, and a power cut loses newer changes.

    Redis saves in the background, because rspamd queries it for every message.
    """
    end, started = time.monotonic() + SAVE_TIMEOUT, False
    while time.monotonic() < end:
        state = dict(line.split(":", 1) for line in redis.text("INFO", "persistence").splitlines() if ":" in line)
        if state.get("rdb_bgsave_in_progress") == "0":
            if started and state.get("rdb_last_bgsave_status") == "ok":
                return
            if started:
                break
            started = _start_save(redis)
        time.sleep(0.05)
    raise keys.DkimError(
        f"{redis.name} cannot save its data to disk. The keys are in use, but a power cut would lose them. Check the "
        "free space of the disk and the log of redis-mailcow, then run this again"
    )


def _start_save(redis: Redis) -> bool:
    try:
        redis.call("BGSAVE")
    except keys.DkimError as error:
        # Redis started a save before the latest change, so this save may not contain it.
        if "in progress" not in str(error):
            raise
        return False
    return True


def find_copies(redis: Redis, domain: str, selectors: t.Iterable[str]) -> list[str]:
    """Return the selectors whose private keys mailcow still has."""
    return [selector for selector in selectors if redis.call("HEXISTS", PRIVATE, f"{selector}.{domain}")]


def remove_copies(redis: Redis, domain: str, selectors: t.Iterable[str]) -> None:
    """Remove mailcow's copies of private keys."""
    for selector in selectors:
        redis.call("HDEL", PRIVATE, f"{selector}.{domain}")
