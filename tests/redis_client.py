"""A client of Redis as applications have one: from another machine, over TLS, which trusts the internal CA only."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.scenario import ADDRESS, NAME

PORT = 6379


class RedisError(Exception):
    """An error that Redis answers."""


class Client:
    """A connection, logged in as a user where one is given."""

    def __init__(self, user: Sequence[str] = (), versions: tuple[Any, Any] | None = None) -> None:
        context = ssl.create_default_context(cafile=Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "ca.pem")
        if versions:
            context.minimum_version, context.maximum_version = versions
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        plain = socket.create_connection((ADDRESS, PORT), 5)
        self.socket = context.wrap_socket(plain, server_hostname=NAME)
        self.stream = self.socket.makefile("rb")
        if user:
            self.call("AUTH", *user)

    def call(self, *words: object) -> Any:
        """Send a command and return its answer."""
        parts = [str(word).encode() for word in words]
        self.socket.sendall(
            b"*%d\r\n%s" % (len(parts), b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        )
        return self._read()

    def error(self, *words: object) -> str:
        """Send a command that must fail, and return its error."""
        try:
            answer = self.call(*words)
        except RedisError as error:
            return str(error)
        raise AssertionError(f"{words} was answered: {answer!r}")

    def certificate(self) -> bytes:
        """Return the server's certificate."""
        return self.socket.getpeercert(binary_form=True) or b""

    def _read(self) -> Any:
        head = self.stream.readline()
        if not head:
            raise ConnectionError("closed")
        kind, rest = head[:1], head[1:-2].decode()
        if kind == b"-":
            raise RedisError(rest)
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == b":" else rest
