#!/usr/bin/python3
"""Request one page over HTTP/3 only, as a visitor outside: h3 https://docs.vln.test/

Debian's curl is not reliable enough for tests: it uses OpenSSL's QUIC. In about one of 200 to 900 requests it receives
the server's settings before it has opened its own streams. Then it refers to a header table that it never sends, and
the server waits until it resets the request.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import sys
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamHandler
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset

TRUSTED = "/etc/ssl/certs/ca-certificates.crt"


class Answer(NamedTuple):
    """The response of the server."""

    headers: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> str:
        """The HTTP status."""
        return dict(self.headers)[":status"]


class Visitor(QuicConnectionProtocol):  # type: ignore[misc]  # aioquic is installed only in world
    """A connection for one request."""

    def __init__(self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None) -> None:
        super().__init__(quic, stream_handler)
        # Created at once, so that no event of the server is missed.
        self.http = H3Connection(quic)
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def send_request(self, url: SplitResult) -> asyncio.Future[Answer]:
        """Send the request; the returned future gets the complete answer."""
        target = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        request = {":method": "GET", ":scheme": "https", ":authority": url.netloc, ":path": target, "user-agent": "h3"}
        headers = [(name.encode(), value.encode()) for name, value in request.items()]
        self.http.send_headers(self._quic.get_next_available_stream_id(), headers, end_stream=True)
        self.transmit()
        return self.answer

    def quic_event_received(self, event: QuicEvent) -> None:
        """Handle an event of the connection; an early end becomes the error of the answer."""
        if self.answer.done():
            return
        if isinstance(event, StreamReset):
            self.answer.set_exception(ConnectionError(f"stream {event.stream_id} was reset: {event.error_code:#x}"))
        elif isinstance(event, ConnectionTerminated):
            reason = event.reason_phrase or f"error {event.error_code:#x}"
            self.answer.set_exception(ConnectionError(f"the connection was closed: {reason}"))
        for part in self.http.handle_event(event):
            self.add_part(part)

    def add_part(self, part: H3Event) -> None:
        """Add headers or data to the answer."""
        if isinstance(part, HeadersReceived):
            self.headers += [(name.decode(), value.decode()) for name, value in part.headers]
        elif isinstance(part, DataReceived):
            self.body += part.data
        if isinstance(part, HeadersReceived | DataReceived) and part.stream_ended:
            self.answer.set_result(Answer(self.headers, self.body))


def resolve(name: str, port: int, family: socket.AddressFamily) -> str:
    """Return the first address of a name."""
    results = socket.getaddrinfo(name, port, family, socket.SOCK_DGRAM)
    return str(results[0][4][0])


async def fetch(url: SplitResult, address: str, *, verified: bool) -> Answer:
    """Connect to an address with the host name of the URL, and request the page."""
    assert url.hostname
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=url.hostname, cafile=TRUSTED)
    configuration.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    # Do not wait for the handshake: when it fails, the answer has the reason.
    options = {"configuration": configuration, "create_protocol": Visitor, "wait_connected": False}
    async with connect(address, url.port or 443, **options) as visitor:
        assert isinstance(visitor, Visitor)
        return await visitor.send_request(url)


def format_output(answer: Answer, address: str, only: str | None) -> bytes:
    """Return the output: headers, body, and a last line in the format of the tests' `curl --write-out`."""
    summary = f"code={answer.code} version=3 remote={address}\n".encode()
    if only:
        return answer.body if only == "body" else summary
    headers = "".join(f"{name}: {value}\n" for name, value in answer.headers)
    return headers.encode() + b"\n" + answer.body + b"\n" + summary


def main() -> int:
    """Request and print the page; fails only without an answer, not for a status such as 404."""
    parser = argparse.ArgumentParser(prog="h3", description="Request one page over HTTP/3 only.")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=socket.AF_INET, help="over IPv4")
    family.add_argument("-6", dest="family", action="store_const", const=socket.AF_INET6, help="over IPv6")
    parser.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--to", metavar="ADDRESS", help="connect to this address instead of resolving the name")
    parser.add_argument(
        "--timeout", type=float, default=20, metavar="SECONDS", help="timeout of the request (default: %(default)s)"
    )
    parser.add_argument("--only", choices=["body", "summary"], help="print only the body or the last line")
    parser.add_argument("url", type=urlsplit)
    args = parser.parse_args()
    try:
        address = str(args.to or resolve(args.url.hostname, args.url.port or 443, args.family or socket.AF_UNSPEC))
        answer = asyncio.run(asyncio.wait_for(fetch(args.url, address, verified=not args.insecure), args.timeout))
    except TimeoutError:  # before OSError, its base class
        sys.exit(f"h3: no answer within {args.timeout:g} s")
    except OSError as problem:
        sys.exit(f"h3: {problem}")
    sys.stdout.buffer.write(format_output(answer, address, args.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
