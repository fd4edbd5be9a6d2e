"""The public DNS: authoritative for the sandbox's zones, forwarding for everything else.

packages: bind9 bind9-dnsutils bind9-utils
names: ns.vln.test
ready: dig +short +time=1 +tries=1 @172.30.0.2 ns.vln.test | grep -qx 172.30.0.2
ready: dig +short +time=1 +tries=1 @fd30::2 ns.vln.test AAAA | grep -qx fd30::2
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import kit

ZONES = (kit.ZONE, "0.30.172.in-addr.arpa", "0.0.0.0.0.0.0.0.0.0.0.0.0.3.d.f.ip6.arpa")
FOLDER = Path("/var/lib/bind")

# Docker's own resolver knows the machine's, also where that one listens on a loopback address.
OPTIONS = """
options {
  directory "/var/cache/bind";
  listen-on { any; };
  listen-on-v6 { any; };
  allow-query { any; };
  allow-recursion { any; };
  forwarders { 127.0.0.11; };
  forward only;
  dnssec-validation no;
  minimal-responses yes;
  // Providers take an MX whose host has no address yet.
  check-integrity no;
  // A name that was just published must be seen at once.
  max-ncache-ttl 1;
  max-cache-ttl 60;
};
"""
# `local`: named makes a TSIG key for whoever is root here (nsupdate -l).
ZONE = 'zone "{zone}" {{ type primary; file "{file}"; update-policy local; }};\n'
HEAD = "$TTL 1\n@ SOA ns.{own}. root.{own}. 1 60 60 600 1\n@ NS ns.{own}.\n"


def names_of_services() -> dict[str, str]:
    """Every name that a service of world plays, and the last octet of its address."""
    found: dict[str, str] = {}
    for file in sorted(Path("/opt/world").glob("*.py")):
        head = file.read_text().split('"""')[1]
        address = re.search(r"^address: (\d+)$", head, re.M)
        for line in re.findall(r"^names: (.*)$", head, re.M):
            found |= dict.fromkeys(line.split(), address[1] if address else "2")
    return found


def foreign_zones(names: dict[str, str]) -> list[str]:
    """A zone for each name elsewhere that has none above it."""
    outside = [name for name in names if not name.endswith(f".{kit.ZONE}")]
    return sorted(name for name in outside if not any(name.endswith(f".{other}") for other in outside))


def pointers(names: dict[str, str]) -> dict[str, str]:
    """What the addresses of services are called: by the last name of each, which is the host's own."""
    last = {octet: name for name, octet in names.items()}
    found = {}
    for octet, name in last.items():
        for prefix in ("172.30.0.", "fd30::"):
            found[ipaddress.ip_address(f"{prefix}{octet}").reverse_pointer] = name
    return found


def main() -> None:
    """Write named's configuration and become it."""
    names = names_of_services()
    foreign = foreign_zones(names)
    config = OPTIONS
    for zone in (*ZONES, *foreign):
        file = FOLDER / f"{zone}.zone"
        file.with_suffix(".zone.jnl").unlink(missing_ok=True)
        inside = {name: octet for name, octet in names.items() if name == zone or name.endswith(f".{zone}")}
        records = [f"{name}. A 172.30.0.{octet}\n{name}. AAAA fd30::{octet}\n" for name, octet in inside.items()]
        records += [f"{pointer}. PTR {name}.\n" for pointer, name in pointers(names).items() if pointer.endswith(zone)]
        file.write_text(HEAD.format(own=kit.ZONE) + "".join(records))
        config += ZONE.format(zone=zone, file=file)
    kit.run("chown", "-R", "bind:bind", str(FOLDER))
    Path("/etc/bind/named.conf").write_text(config)
    Path("/etc/resolv.conf").write_text(f"nameserver {kit.WORLD4}\n")
    Path("/run/named").mkdir(exist_ok=True)
    kit.run("chown", "bind:bind", "/run/named")
    kit.become("named", "-f", "-u", "bind")


if __name__ == "__main__":
    main()
