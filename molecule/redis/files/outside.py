"""Meet Redis as its applications do: from another machine, over TLS.

Usage: outside.py access | memory | crash KILLS | get KEY | leaf
The environment names HOST (a container), ADDRESS and CA.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import Any

HOST, ADDRESS, CA = os.environ["HOST"], os.environ["ADDRESS"], os.environ["CA"]
EDU = ("edu", "canary-edu-password-1")
DOCS = ("docs", "canary-docs-password-1")
# What would give an application the server, or others' keys.
DENIED = (
    "KEYS *", "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1", "DEBUG SLEEP 0", "SCRIPT FLUSH",
    "SHUTDOWN", "EVAL return(1) 0", "FUNCTION LIST", "ACL LIST", "ACL SETUSER edu allkeys", "SAVE", "BGSAVE",
    "BGREWRITEAOF", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT TRACKING on BCAST", "MODULE LIST",
    "REPLICAOF no one", "SLOWLOG GET", "MIGRATE 192.0.2.1 1 k 0 1", "RESTORE edu:r 0 x", "SWAPDB 0 1", "SORT edu:a",
    "SCAN 0", "RANDOMKEY", "DBSIZE", "INFO", "CLUSTER INFO", "GET docs:a", "SET docs:a 1", "COPY docs:a edu:a",
    "RENAME docs:a edu:b", "MGET edu:a docs:a", "DEL docs:a", "SUBSCRIBE docs:news", "PUBLISH docs:news 1",
    "GET plain",
)  # fmt: skip


class Answered(Exception):
    """An error that Redis answers."""


class Client:
    """A connection over TLS, which trusts the internal CA alone."""

    def __init__(self, user: tuple[str, str] | None = None, versions: tuple[Any, Any] | None = None) -> None:
        context = ssl.create_default_context(cafile=CA)
        if versions:
            context.minimum_version, context.maximum_version = versions
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        plain = socket.create_connection((ADDRESS, 6379), 5)
        self.socket = context.wrap_socket(plain, server_hostname=HOST)
        self.stream = self.socket.makefile("rb")
        if user:
            self.ask("AUTH", *user)

    def send(self, *words: object) -> None:
        """Send a command."""
        parts = [str(word).encode() for word in words]
        self.socket.sendall(
            b"*%d\r\n%s" % (len(parts), b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        )

    def ask(self, *words: object) -> Any:
        """Send a command and return its answer."""
        self.send(*words)
        return self.reply()

    def reply(self) -> Any:
        """Read one answer."""
        head = self.stream.readline()
        if not head:
            raise ConnectionError("closed")
        kind, rest = head[:1], head[1:-2].decode()
        if kind == b"-":
            raise Answered(rest)
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == b":" else rest


def error(*words: object, user: tuple[str, str] | None = None) -> str:
    """Return the error that a command gets; none is a failure of the test."""
    try:
        answer = Client(user).ask(*words)
    except Answered as answered:
        return str(answered)
    raise AssertionError(f"{words} was answered: {answer!r}")


def inside(*argv: str) -> str:
    """Run a command on the host, as its administrator."""
    return subprocess.run(["docker", "exec", HOST, *argv], check=True, capture_output=True, text=True).stdout


def info(*names: str) -> list[int]:
    """Return figures of INFO."""
    lines = dict(line.split(":", 1) for line in inside("vise-redis", "cli", "INFO").splitlines() if ":" in line)
    return [int(lines[name]) for name in names]


def access() -> None:
    """Let in who should be, and nobody else."""
    with socket.create_connection((ADDRESS, 6379), 5) as plain:
        plain.sendall(b"PING\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"PONG" not in plain.recv(100), "it talks without TLS"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert Client(EDU, (version, version)).ask("PING") == "PONG"
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        Client(EDU, (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1))
        raise AssertionError("it talks TLS 1.1")
    assert error("PING").startswith("NOAUTH")
    for name, password in (EDU[0], "wrong"), ("default", ""), ("default", "x"), ("admin", ""), ("admin", "admin"):
        assert error("AUTH", name, password).startswith("WRONGPASS"), name
    hashed = hashlib.sha256(EDU[1].encode()).hexdigest()
    assert error("AUTH", EDU[0], hashed).startswith("WRONGPASS"), "a hash is a password"
    docs, edu = Client(DOCS), Client(EDU)
    assert (docs.ask("SET", "docs:a", 1), edu.ask("SET", "edu:a", 2)) == ("OK", "OK")
    inside("vise-redis", "cli", "SET", "plain", "3")
    edu.ask("MULTI")
    edu.ask("INCR", "edu:a")
    assert edu.ask("EXEC") == [3]
    assert Client(("docs", "canary-docs-password-2")).ask("GET", "docs:a") == "1", "a rotation's second password"
    assert "redis_version" in docs.ask("INFO")
    assert error("PUBLISH", "docs:news", 1, user=DOCS).startswith("NOPERM")
    for command in DENIED:
        said = error(*command.split(), user=EDU)
        assert said.startswith(("NOPERM", "ERR DEBUG command not allowed")), f"{command}: {said}"
    print(f"{len(DENIED)} commands refused")


def memory() -> None:
    """Fill it: what expires makes room, then writes fail, and the limit holds."""
    client, value = Client(EDU), "x" * 100_000
    (limit,) = info("maxmemory")
    for number in range(900):
        client.ask("SET", f"edu:session:{number}", value, "EX", 3600)
    evicted, used = info("evicted_keys", "used_memory")
    assert evicted > 0, evicted
    assert used <= limit * 1.05, used
    full = ""
    for number in range(900):
        try:
            client.ask("SET", f"edu:kept:{number}", value)
        except Answered as answered:
            full = str(answered)
            break
    assert full.startswith("OOM"), full
    assert client.ask("GET", "edu:kept:0") == value, "a key that does not expire was dropped"
    (used,) = info("used_memory")
    assert used <= limit * 1.05, used
    for number in range(900):
        client.ask("UNLINK", f"edu:kept:{number}", f"edu:session:{number}")
    print(f"limit {limit}, {evicted} evicted, then {full}")


class Writer(threading.Thread):
    """Writes numbers, remembers each that Redis has acknowledged, and comes back after a crash."""

    def __init__(self, name: int) -> None:
        super().__init__(daemon=True)
        self.number, self.acknowledged, self.done = name, 0, threading.Event()
        self.lost_connections = 0

    def run(self) -> None:
        """Write one after the other; one without an answer is written again."""
        client = None
        while not self.done.is_set():
            try:
                client = client or Client(EDU)
                client.ask("SET", f"edu:w{self.number}:{self.acknowledged}", self.acknowledged)
                self.acknowledged += 1
            except (OSError, ssl.SSLError, Answered):
                self.lost_connections += client is not None
                client = None
                time.sleep(0.02)


def kill_in_rewrite() -> float:
    """Kill Redis in the middle of a rewrite; return the seconds until it acknowledged again."""
    inside("vise-redis", "cli", "CONFIG", "SET", "rdb-key-save-delay", "500")
    inside("vise-redis", "cli", "BGREWRITEAOF")
    while info("aof_rewrite_in_progress") != [1]:
        pass
    time.sleep(0.2)
    state = inside(
        "sh", "-c",
        "vise-redis cli INFO persistence | grep aof_rewrite_in_progress:1 && ls /var/lib/redis/temp-rewriteaof-*"
        " && kill -9 $(systemctl show -P MainPID redis-server)",
    )  # fmt: skip
    assert "temp-rewriteaof" in state, state
    begin = time.monotonic()
    while time.monotonic() - begin < 60:
        with contextlib.suppress(OSError, Answered):
            Client(EDU).ask("SET", "edu:alive", 1)
            return time.monotonic() - begin
        time.sleep(0.02)
    raise AssertionError("it did not come back")


def crash(kills: int) -> None:
    """Kill it under writers; every write that it acknowledged must be there."""
    client = Client(EDU)
    for number in range(200):
        client.ask("MSET", *(word for i in range(100) for word in (f"edu:f:{number}:{i}", i)))
    writers = [Writer(number) for number in range(4)]
    for writer in writers:
        writer.start()
    back = [kill_in_rewrite() for _ in range(kills)]
    for writer in writers:
        writer.done.set()
        writer.join()
    assert all(writer.lost_connections >= kills for writer in writers), "no writer noticed a crash"
    client, lost = Client(EDU), 0
    for writer in writers:
        for start in range(0, writer.acknowledged, 500):
            numbers = range(start, min(start + 500, writer.acknowledged))
            found = client.ask("MGET", *(f"edu:w{writer.number}:{n}" for n in numbers))
            lost += sum(value != str(n) for n, value in zip(numbers, found, strict=True))
    for number in range(200):
        client.ask("UNLINK", *(f"edu:f:{number}:{i}" for i in range(100)))
    result = {
        "kills": kills,
        "acknowledged": sum(writer.acknowledged for writer in writers),
        "lost": lost,
        "seconds_until_back": [round(seconds, 2) for seconds in back],
    }
    print(json.dumps(result))
    assert lost == 0, result


def main(command: str, *arguments: str) -> None:
    """Run one of the commands."""
    if command == "access":
        access()
    elif command == "memory":
        memory()
    elif command == "crash":
        crash(int(arguments[0]))
    elif command == "get":
        print(Client(EDU).ask("GET", arguments[0]))
    elif command == "leaf":
        print(hashlib.sha256(Client(EDU).socket.getpeercert(binary_form=True) or b"").hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
