"""Clients of the platform: programs for visitors, mail senders and scanners, and two extra addresses.

packages: curl openssl restic nmap ncat chromium chromium-driver python3-selenium fonts-dejavu-core nftables
packages: libnet-ssleay-perl python3-aioquic swaks
ready: ip -4 -o address show dev eth0 | grep -q 172.30.0.4/
"""

from __future__ import annotations

import kit

# A test whose client must have another address than world binds to one of these (`curl --interface 172.30.0.3`).
ADDRESSES = ("172.30.0.3/24", "172.30.0.4/24", "fd30::3/64", "fd30::4/64")


def main() -> None:
    """Add the addresses and sleep forever."""
    for address in ADDRESSES:
        kit.run("ip", "address", "replace", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    kit.exec_program("sleep", "infinity")


if __name__ == "__main__":
    main()
