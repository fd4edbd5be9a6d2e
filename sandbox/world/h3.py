#!/usr/bin/python3
"""Ask for one page over HTTP/3 and nothing else, as a visitor outside: h3 https://docs.vln.test/

Debian's curl is no client for tests: its QUIC is OpenSSL's, and about one request in 200 to 900 receives the server's
settings before it has streams of its own. It then refers to a table of headers that it never sends, and the server
waits in vain until it resets the request.
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
    """What the server said."""

    headers: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> str:
        """The status."""
        return dict(self.headers)[":status"]


class Visitor(QuicConnectionProtocol):  # type: ignore[misc]  # aioquic is in world alone
    """One connection that asks once."""

    def __init__(self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None) -> None:
        super().__init__(quic, stream_handler)
        # From the start, so that nothing that the server sends comes too early.
        self.http = H3Connection(quic)
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def ask(self, url: SplitResult) -> asyncio.Future[Answer]:
        """Send the request; the answer comes when it is whole."""
        target = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        request = {":method": "GET", ":scheme": "https", ":authority": url.netloc, ":path": target, "user-agent": "h3"}
        headers = [(name.encode(), value.encode()) for name, value in request.items()]
        self.http.send_headers(self._quic.get_next_available_stream_id(), headers, end_stream=True)
        self.transmit()
        return self.answer

    def quic_event_received(self, event: QuicEvent) -> None:
        """Take what the connection brings; whatever ends it early is the reason that is told."""
        if self.answer.done():
            return
        if isinstance(event, StreamReset):
            self.answer.set_exception(ConnectionError(f"stream {event.stream_id} was reset: {event.error_code:#x}"))
        elif isinstance(event, ConnectionTerminated):
            reason = event.reason_phrase or f"error {event.error_code:#x}"
            self.answer.set_exception(ConnectionError(f"the connection was ended: {reason}"))
        for part in self.http.handle_event(event):
            self.take(part)

    def take(self, part: H3Event) -> None:
        """Add a part of the answer."""
        if isinstance(part, HeadersReceived):
            self.headers += [(name.decode(), value.decode()) for name, value in part.headers]
        elif isinstance(part, DataReceived):
            self.body += part.data
        if isinstance(part, HeadersReceived | DataReceived) and part.stream_ended:
            self.answer.set_result(Answer(self.headers, self.body))


def resolved(name: str, port: int, family: socket.AddressFamily) -> str:
    """The first address of a name."""
    found = socket.getaddrinfo(name, port, family, socket.SOCK_DGRAM)
    return str(found[0][4][0])


async def get(url: SplitResult, address: str, *, verified: bool) -> Answer:
    """Connect to an address in the name of the URL's host, and ask."""
    assert url.hostname
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=url.hostname, cafile=TRUSTED)
    configuration.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    # Not waited for: a handshake that fails is told by the answer, with its reason.
    options = {"configuration": configuration, "create_protocol": Visitor, "wait_connected": False}
    async with connect(address, url.port or 443, **options) as visitor:
        assert isinstance(visitor, Visitor)
        return await visitor.ask(url)


def text(answer: Answer, address: str, only: str | None) -> bytes:
    """What is printed: headers, body, and a last line in the words of curl's --write-out."""
    summary = f"code={answer.code} version=3 remote={address}\n".encode()
    if only:
        return answer.body if only == "body" else summary
    headers = "".join(f"{name}: {value}\n" for name, value in answer.headers)
    return headers.encode() + b"\n" + answer.body + b"\n" + summary


def main() -> int:
    """Ask, print, and fail when there is no answer; a status such as 404 is one."""
    parser = argparse.ArgumentParser(prog="h3", description="Get one page over HTTP/3 alone.")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=socket.AF_INET, help="over IPv4")
    family.add_argument("-6", dest="family", action="store_const", const=socket.AF_INET6, help="over IPv6")
    parser.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--to", metavar="ADDRESS", help="ask this address, without DNS")
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS", help="give up after (%(default)s)")
    parser.add_argument("--only", choices=["body", "summary"], help="print just this")
    parser.add_argument("url", type=urlsplit)
    given = parser.parse_args()
    try:
        address = str(given.to or resolved(given.url.hostname, given.url.port or 443, given.family or socket.AF_UNSPEC))
        answer = asyncio.run(asyncio.wait_for(get(given.url, address, verified=not given.insecure), given.timeout))
    except TimeoutError:  # an OSError too
        sys.exit(f"h3: no answer within {given.timeout:g} s")
    except OSError as problem:
        sys.exit(f"h3: {problem}")
    sys.stdout.buffer.write(text(answer, address, given.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
