"""An S3 server with TLS: rclone on plain files, behind a proxy that checks regions and permissions and makes faults."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO, ClassVar, NoReturn, cast
from xml.sax.saxutils import escape

import kit
from kit import s3_policy as policy

BUCKET = "vise-backups"
CHUNK = 1 << 18
SLOW_SECONDS = 1.0
SLOW_BYTES_PER_SECOND = 1 << 19
# The proxy reads the body itself, and opens a connection to rclone for each request.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


class Front(BaseHTTPRequestHandler):
    """The proxy: rejects a request by policy or fault, or forwards it unchanged, so that its signature stays valid."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Ends connections that an outage has cut, of which the server gets no notice.
    timeout = 60
    service: ClassVar[str]
    region: ClassVar[str]
    port: ClassVar[int]
    keys: ClassVar[dict[str, str]]
    client_name = "-"

    def handle_request(self) -> None:
        """Handle one request."""
        try:
            try:
                self.check()
            except policy.S3Error as error:
                self.send_s3_error(error)
            else:
                self.forward()
        except (OSError, ValueError, http.client.HTTPException) as problem:
            # A body was transferred partly: the other side can detect this only when the connection ends.
            self.log_error("%s: %s", self.command, problem)
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 (http.server's names)

    def check(self) -> None:
        """Raise S3Error when S3 would reject the request."""
        self.client_name = "-"
        mode = self.current_fault()
        if mode == "slow":
            time.sleep(SLOW_SECONDS)
        elif mode in ("403", "500"):
            raise policy.access_denied() if mode == "403" else policy.internal_error()
        signed = policy.parse_signer(self.headers.get_all("Authorization", []), self.path)
        policy.check_region(signed, self.region)
        self.client_name = next((name for name, key in self.keys.items() if key == signed.key), "unknown")
        # Only rclone verifies the signature. All keys except `full` have only the permissions of `append`.
        if self.client_name != "full" and not policy.may_append(self.command, self.path, self.exists):
            raise policy.access_denied()

    def current_fault(self) -> str:
        """Return the current fault for this client."""
        return kit.read_fault(self.service, self.client_address[0])

    def exists(self, path: list[str]) -> bool:
        """Return whether an object exists."""
        return bucket_root(self.service).joinpath(*path).exists()

    def read_body(self) -> tuple[BinaryIO, int]:
        """Return the request's body and its size; a chunked body is read first, because rclone needs the size."""
        source = cast(BinaryIO, self.rfile)
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return source, int(self.headers.get("Content-Length") or 0)
        spool = io.BytesIO()
        while size := int(source.readline(1 << 10).partition(b";")[0], 16):
            for piece in self.read_pieces(source, size):
                spool.write(piece)
            source.readline(1 << 10)
        while source.readline(1 << 16) not in (b"\r\n", b""):
            pass
        size = spool.tell()
        spool.seek(0)
        return spool, size

    def read_pieces(self, source: BinaryIO | http.client.HTTPResponse, size: int) -> Iterator[memoryview]:
        """Yield ``size`` bytes in pieces, throttled during the fault `slow`; raises ConnectionError when some lack."""
        buffer = memoryview(bytearray(min(size, CHUNK)))
        while size:
            count = source.readinto(buffer[: min(size, CHUNK)])  # type: ignore[union-attr]
            if not count:
                raise ConnectionError(f"{size} bytes are missing")
            size -= count
            yield buffer[:count]
            if self.current_fault() == "slow":
                time.sleep(count / SLOW_BYTES_PER_SECOND)

    def forward(self) -> None:
        """Forward the request to rclone and send its answer."""
        source, size = self.read_body()
        origin = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            origin.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*HOP_BY_HOP, "content-length"):
                    origin.putheader(name, value)
            origin.putheader("Connection", "close")
            if size or self.command in ("PUT", "POST"):
                origin.putheader("Content-Length", str(size))
            origin.endheaders()
            refused = False
            for piece in self.read_pieces(source, size):
                try:
                    if not refused:
                        origin.send(piece)
                except OSError:
                    # rclone rejected the request before it read the whole body; its answer is available.
                    refused = True
            self.send_answer(origin.getresponse())
        finally:
            origin.close()

    def send_answer(self, answer: http.client.HTTPResponse) -> None:
        """Send rclone's answer; one of unknown length is a short list or an error and is read first."""
        content = answer.read() if answer.length is None else None
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        self.respond(answer.status, headers if content is None else [*headers, ("Content-Length", str(len(content)))])
        if content is not None:
            self.wfile.write(content)
            return
        for piece in self.read_pieces(answer, answer.length or 0):
            self.wfile.write(piece)

    def send_s3_error(self, error: policy.S3Error) -> None:
        """Read the rest of the request, then send an error in S3's format."""
        for _ in self.read_pieces(*self.read_body()):
            pass
        fields = {**error.fields, "Resource": self.path.partition("?")[0]}
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        raw = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
        self.respond(error.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(raw)))])
        if self.command != "HEAD":
            self.wfile.write(raw)

    def respond(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Send status and headers; log the request for tests, without the query, which may contain a signature."""
        print(self.client_name, self.command, self.path.partition("?")[0], status, flush=True)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()


def bucket_root(service: str) -> Path:
    """Return the directory of a service's buckets."""
    return kit.STATE / service.replace("_", "-")


def start_rclone(service: str, port: int, credentials: dict[str, dict[str, str]]) -> None:
    """Start rclone for the service's directory; when rclone ends, the service ends too, and systemd restarts it."""
    (bucket_root(service) / BUCKET).mkdir(parents=True, exist_ok=True)
    pairs = ",".join(f'"{pair["key"]},{pair["secret"]}"' for pair in credentials.values())
    # rclone sees changes that a test makes on disk after 1 s. Without this cache each upload takes 60 ms longer.
    argv = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s", str(bucket_root(service))]
    environment = {**os.environ, "RCLONE_AUTH_KEY": pairs, "RCLONE_CONFIG": "/dev/null"}
    child = subprocess.Popen(argv, env=environment)

    def watch() -> None:
        os._exit(child.wait() or 1)

    threading.Thread(target=watch, daemon=True).start()


def serve(service: str, region: str, address: str) -> NoReturn:
    """Run an S3 server of one region; ``address`` is the last octet of its address."""
    credentials: dict[str, dict[str, str]] = json.loads((kit.SHARED / "s3.json").read_text())
    Front.service, Front.region, Front.port = service, region, 9000 + int(address)
    Front.keys = {name: pair["key"] for name, pair in credentials.items()}
    start_rclone(service, Front.port, credentials)
    kit.serve_https(Front, address, (f"{service.replace('_', '-')}.{kit.ZONE}",))
