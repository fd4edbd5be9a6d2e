"""Knock at a TCP port of some addresses again and again, and print as JSON how often and how often it answered.

Usage: knock.py SECONDS PORT[,PORT...] ADDRESS...
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def answers(address: str, port: int) -> bool:
    """Tell whether somebody accepts a connection."""
    try:
        _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 0.1)
    except (TimeoutError, OSError):
        return False
    writer.close()
    return True


async def knock(end: float, address: str, port: int) -> list[bool]:
    """Knock at one place until the time is over."""
    heard = []
    while time.monotonic() < end:
        heard.append(await answers(address, port))
    return heard


async def main(seconds: float, ports: list[int], addresses: list[str]) -> None:
    """Knock at all places, many at once."""
    end = time.monotonic() + seconds
    places = [(address, port) for address in addresses for port in ports]
    heard = await asyncio.gather(*(knock(end, *place) for place in places for _ in range(25)))
    print(json.dumps({"knocks": sum(map(len, heard)), "answers": sum(map(sum, heard))}))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), [int(port) for port in sys.argv[2].split(",")], sys.argv[3:]))
