"""Listen on the ports given as tcp:PORT or udp:PORT, over IPv4 and IPv6; UDP packets are sent back."""

from __future__ import annotations

import asyncio
import socket
import sys


class Echo(asyncio.DatagramProtocol):
    """Send each packet back."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the way back."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one packet."""
        self.transport.sendto(data, addr)


async def main() -> None:
    """Listen until somebody ends it."""
    for argument in sys.argv[1:]:
        proto, _, port = argument.partition(":")
        if proto == "tcp":
            await asyncio.start_server(lambda _reader, writer: writer.close(), None, int(port))
            continue
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104  # a fixture
            udp = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.bind((address, int(port)))
            await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=udp)
    await asyncio.Event().wait()


asyncio.run(main())
