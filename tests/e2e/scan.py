"""Which ports answer, as nmap in world sees it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

# Every TCP port, with few retries: what is dropped never answers, and the network loses nothing.
TCP = "nmap -n -Pn -sS -p- -T5 --min-rate 8000 --max-retries 2 -oG - "
UDP = "nmap -n -Pn -sU -p 53,123,443,2377,4789,5353,7946,8443 -T4 --max-retries 2 -oG - "


def ports(output: str, state: str) -> set[str]:
    """Return the ports in a state, as 443/tcp."""
    return {f"{port}/{proto}" for port, proto in re.findall(rf"(\d+)/{state}/(tcp|udp)/", output)}


def scan(world: Shell, address: str, probe: str = TCP) -> tuple[set[str], set[str]]:
    """Return the ports of a host that are open, and those that answer that they are closed."""
    family = "-6 " if ":" in address else ""
    output = world(f"{probe}{family}{address}").stdout
    assert "Ports:" in output or "Status: Up" in output, output
    return ports(output, "open"), ports(output, "closed")


def scans(world: Shell, addresses: list[str], probe: str = TCP) -> dict[str, tuple[set[str], set[str]]]:
    """Scan several addresses at once."""
    with ThreadPoolExecutor(len(addresses)) as pool:
        return dict(zip(addresses, pool.map(lambda address: scan(world, address, probe), addresses), strict=True))
