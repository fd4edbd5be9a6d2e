"""The network in which hosts and world see each other over IPv4 and IPv6."""

from __future__ import annotations

from . import names
from .shell import run, succeeds


def up() -> None:
    """Made once, with a fixed bridge name for those who want to look at its packets."""
    if succeeds("docker", "network", "inspect", names.NETWORK):
        return
    run(
        *("docker", "network", "create", "--label", names.LABEL, "--ipv6"),
        *("--subnet", names.SUBNET4, "--ip-range", names.DYNAMIC4, "--gateway", names.GATEWAY4),
        *("--subnet", names.SUBNET6, "--gateway", names.GATEWAY6),
        *("-o", f"com.docker.network.bridge.name={names.BRIDGE}", names.NETWORK),
    )
