"""A caching proxy for Debian packages; its cache is in a volume.

names: apt.vln.test
ports: 3142
ready: curl -fsS -o /dev/null --proxy http://172.30.0.2:3142 http://deb.debian.org/debian/dists/trixie/Release
"""

# Not apt-cacher-ng: it finds no addresses when the resolver returns an empty answer for AAAA. And because a package
# never changes under its name, one pattern is enough to select the cacheable files.

from __future__ import annotations

import http.client
import re
import select
import shutil
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

CACHE = Path("/var/cache/world-apt")
# The name of a package contains its version, that of an index by hash its content. Other files are always requested.
CACHEABLE = re.compile(r"\.(deb|udeb|dsc)$|/by-hash/SHA256/[0-9a-f]{64}$|/pool/.*\.tar\.[a-z0-9]+$")
FORWARDED = ("If-Modified-Since", "If-None-Match", "Range", "User-Agent", "Accept")
DROPPED = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}
LOCKS: dict[str, threading.Lock] = {}


class Proxy(BaseHTTPRequestHandler):
    """A proxy for GET and HEAD with absolute URLs, and for CONNECT to HTTPS sources, which are not cached."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file from the cache, or from its origin; a cacheable file is then stored."""
        url = urlsplit(self.path)
        if url.scheme != "http" or not url.hostname:
            self.send_error(400, "The request needs an absolute http URL")
        elif self.command == "GET" and CACHEABLE.search(url.path) and "Range" not in self.headers:
            self.send_cached(CACHE / url.hostname / url.path.lstrip("/"))
        else:
            self.fetch(None)

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def send_cached(self, file: Path) -> None:
        """Send a cached file; concurrent requests for the same missing file fetch it once."""
        with LOCKS.setdefault(str(file), threading.Lock()):
            if not file.exists():
                self.fetch(file)
                return
        with file.open("rb") as content:
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.send_header("X-Cache", "HIT")
            self.end_headers()
            shutil.copyfileobj(content, self.wfile, 1 << 16)

    def fetch(self, file: Path | None) -> None:
        """Request the file from its origin and relay the answer; with a path, store a complete answer there."""
        url = urlsplit(self.path)
        origin = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=60)
        try:
            keys = [key for key in FORWARDED if key in self.headers and (file is None or not key.startswith("If-"))]
            headers = {key: self.headers[key] for key in keys}
            origin.request(self.command, url._replace(scheme="", netloc="").geturl(), headers=headers)
            answer = origin.getresponse()
        except OSError as problem:
            self.send_error(502, f"{url.hostname}: {problem}")
            return
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in DROPPED:
                self.send_header(key, value)
        if answer.length is None and self.command == "GET" and answer.status not in (204, 304):
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.relay(answer, file if answer.status == 200 else None)
        origin.close()

    def relay(self, answer: http.client.HTTPResponse, file: Path | None) -> None:
        """Send the body to the client; with a path, also write a file, which gets its name when it is complete."""
        if file is None:
            shutil.copyfileobj(answer, self.wfile, 1 << 16)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        expected = answer.length
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            size = self.copy_body(answer, part)
        if expected is None or size == expected:
            Path(part.name).replace(file)
        else:
            Path(part.name).unlink()

    def copy_body(self, answer: http.client.HTTPResponse, part: IO[bytes]) -> int:
        """Copy the body to client and file; the download continues when the client disconnects."""
        size, disconnected = 0, False
        while chunk := answer.read(1 << 16):
            size += part.write(chunk)
            try:
                if not disconnected:
                    self.wfile.write(chunk)
            except OSError:
                disconnected = self.close_connection = True
        return size

    def do_CONNECT(self) -> None:
        """Open a tunnel to an HTTPS source."""
        host, _, port = self.path.rpartition(":")
        try:
            origin = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        except OSError as problem:
            self.send_error(502, f"{self.path}: {problem}")
            return
        self.send_response(200)
        self.end_headers()
        ends = {self.connection: origin, origin: self.connection}
        with origin:
            while True:
                ready, _, _ = select.select(list(ends), [], [], 300)
                for end in ready:
                    data = end.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)
                if not ready:
                    return

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing for a successful request; http.server logs errors separately."""


class Server(ThreadingHTTPServer):
    """A server for IPv6 and IPv4."""

    address_family = socket.AF_INET6
    daemon_threads = True


if __name__ == "__main__":
    CACHE.mkdir(parents=True, exist_ok=True)
    Server(("::", 3142), Proxy).serve_forever()
