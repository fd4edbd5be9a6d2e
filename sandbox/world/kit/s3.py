"""An S3 server with TLS: rclone on plain files, behind a front that knows regions, credentials and faults."""

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
# The front reads the body itself, and speaks to rclone over a connection for each request.
DROPPED = {"connection", "keep-alive", "transfer-encoding", "expect"}


class Front(BaseHTTPRequestHandler):
    """Refuse by policy or fault, or pass on unchanged, so that the signature stays valid for rclone to check."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Nobody tells the server of connections that an outage has cut.
    timeout = 60
    service: ClassVar[str]
    region: ClassVar[str]
    port: ClassVar[int]
    keys: ClassVar[dict[str, str]]
    who = "-"

    def handle_any(self) -> None:
        """One request."""
        try:
            try:
                self.check()
            except policy.Refused as refused:
                self.refuse(refused)
            else:
                self.forward()
        except (OSError, ValueError, http.client.HTTPException) as problem:
            # Half of a body was sent or received: only an end of the connection tells the other side.
            self.log_error("%s: %s", self.command, problem)
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 (http.server's names)

    def check(self) -> None:
        """Raise what S3 would refuse the request with."""
        self.who = "-"
        mode = self.fault()
        if mode == "slow":
            time.sleep(SLOW_SECONDS)
        elif mode in ("403", "500"):
            raise policy.denied() if mode == "403" else policy.internal_error()
        signed = policy.signer(self.headers.get_all("Authorization", []), self.path)
        policy.check_region(signed, self.region)
        self.who = next((name for name, key in self.keys.items() if key == signed.key), "unknown")
        # Only rclone knows whether the signature is right: whoever is not surely `full` gets no more than `append`.
        if self.who != "full" and not policy.may_append(self.command, self.path, self.exists):
            raise policy.denied()

    def fault(self) -> str:
        """How to fail now."""
        return kit.fault(self.service, self.client_address[0])

    def exists(self, path: list[str]) -> bool:
        """Whether there is such an object."""
        return folder(self.service).joinpath(*path).exists()

    def incoming(self) -> tuple[BinaryIO, int]:
        """The request's body and its size, which rclone wants to know first and chunks do not tell."""
        source = cast(BinaryIO, self.rfile)
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return source, int(self.headers.get("Content-Length") or 0)
        spool = io.BytesIO()
        while size := int(source.readline(1 << 10).partition(b";")[0], 16):
            for piece in self.pieces(source, size):
                spool.write(piece)
            source.readline(1 << 10)
        while source.readline(1 << 16) not in (b"\r\n", b""):
            pass
        size = spool.tell()
        spool.seek(0)
        return spool, size

    def pieces(self, source: BinaryIO | http.client.HTTPResponse, size: int) -> Iterator[memoryview]:
        """So many bytes, throttled while the service is to be slow."""
        buffer = memoryview(bytearray(min(size, CHUNK)))
        while size:
            got = source.readinto(buffer[: min(size, CHUNK)])  # type: ignore[union-attr]
            if not got:
                raise ConnectionError(f"{size} bytes are missing")
            size -= got
            yield buffer[:got]
            if self.fault() == "slow":
                time.sleep(got / SLOW_BYTES_PER_SECOND)

    def forward(self) -> None:
        """Ask rclone and pass its answer on."""
        source, size = self.incoming()
        origin = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            origin.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*DROPPED, "content-length"):
                    origin.putheader(name, value)
            origin.putheader("Connection", "close")
            if size or self.command in ("PUT", "POST"):
                origin.putheader("Content-Length", str(size))
            origin.endheaders()
            refused = False
            for piece in self.pieces(source, size):
                try:
                    if not refused:
                        origin.send(piece)
                except OSError:
                    # Rclone refuses without reading on; its answer is there nevertheless.
                    refused = True
            self.relay(origin.getresponse())
        finally:
            origin.close()

    def relay(self, answer: http.client.HTTPResponse) -> None:
        """Pass an answer on; one of unknown length is a short list or an error."""
        whole = answer.read() if answer.length is None else None
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in DROPPED]
        self.respond(answer.status, headers if whole is None else [*headers, ("Content-Length", str(len(whole)))])
        if whole is not None:
            self.wfile.write(whole)
            return
        for piece in self.pieces(answer, answer.length or 0):
            self.wfile.write(piece)

    def refuse(self, refused: policy.Refused) -> None:
        """Answer with one of S3's errors, when the client has sent all it had to send."""
        for _ in self.pieces(*self.incoming()):
            pass
        fields = {**refused.fields, "Resource": self.path.partition("?")[0]}
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        raw = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
        self.respond(refused.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(raw)))])
        if self.command != "HEAD":
            self.wfile.write(raw)

    def respond(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Send status and headers; the journal tells tests what was asked, without the query of presigned ones."""
        print(self.who, self.command, self.path.partition("?")[0], status, flush=True)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()


def folder(service: str) -> Path:
    """Where a service's buckets are."""
    return kit.STATE / service.replace("_", "-")


def start_rclone(service: str, port: int, credentials: dict[str, dict[str, str]]) -> None:
    """Have rclone serve the folder; the service ends when rclone does, and is started anew."""
    (folder(service) / BUCKET).mkdir(parents=True, exist_ok=True)
    pairs = ",".join(f'"{pair["key"]},{pair["secret"]}"' for pair in credentials.values())
    # What is changed on disk by a test is seen after a second; asking the disk each time costs 60 ms an upload.
    argv = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s", str(folder(service))]
    environment = {**os.environ, "RCLONE_AUTH_KEY": pairs, "RCLONE_CONFIG": "/dev/null"}
    child = subprocess.Popen(argv, env=environment)

    def watch() -> None:
        os._exit(child.wait() or 1)

    threading.Thread(target=watch, daemon=True).start()


def serve(service: str, region: str, address: str) -> NoReturn:
    """Be an S3 server of one region."""
    credentials: dict[str, dict[str, str]] = json.loads((kit.SHARED / "s3.json").read_text())
    Front.service, Front.region, Front.port = service, region, 9000 + int(address)
    Front.keys = {name: pair["key"] for name, pair in credentials.items()}
    start_rclone(service, Front.port, credentials)
    kit.serve_https(Front, address, (f"{service.replace('_', '-')}.{kit.ZONE}",))
