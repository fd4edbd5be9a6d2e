"""Those outside who use the platform or probe it: their programs and their addresses.

packages: curl openssl restic nmap ncat chromium chromium-driver python3-selenium fonts-dejavu-core nftables
packages: libnet-ssleay-perl python3-aioquic swaks
ready: ip -4 -o address show dev eth0 | grep -q 172.30.0.4/
"""

from __future__ import annotations

import kit

# Tests that must come from somebody else than world bind to one of these (`curl --interface 172.30.0.3`).
ADDRESSES = ("172.30.0.3/24", "172.30.0.4/24", "fd30::3/64", "fd30::4/64")


def main() -> None:
    """Take the addresses and stay."""
    for address in ADDRESSES:
        kit.run("ip", "address", "replace", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    kit.become("sleep", "infinity")


if __name__ == "__main__":
    main()
