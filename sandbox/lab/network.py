"""The network that connects hosts and world over IPv4 and IPv6."""

from __future__ import annotations

from . import names
from .shell import run, succeeds


def create() -> None:
    """Create the network if it is missing; its bridge has a fixed name, for packet captures."""
    if succeeds("docker", "network", "inspect", names.NETWORK):
        return
    run(
        *("docker", "network", "create", "--label", names.LABEL, "--ipv6"),
        *("--subnet", names.SUBNET4, "--ip-range", names.DYNAMIC4, "--gateway", names.GATEWAY4),
        *("--subnet", names.SUBNET6, "--gateway", names.GATEWAY6),
        *("-o", f"com.docker.network.bridge.name={names.BRIDGE}", names.NETWORK),
    )
