"""The public DNS: authoritative for the sandbox's zones; forwards other queries.

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

# Forward to Docker's resolver, which also reaches a resolver of the machine that listens on a loopback address.
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
  // DNS providers accept an MX record whose host has no address yet.
  check-integrity no;
  // A new name must be visible immediately.
  max-ncache-ttl 1;
  max-cache-ttl 60;
};
"""
# `local`: named creates a TSIG key that root in world can use (nsupdate -l).
ZONE = 'zone "{zone}" {{ type primary; file "{file}"; update-policy local; }};\n'
HEAD = "$TTL 1\n@ SOA ns.{own}. root.{own}. 1 60 60 600 1\n@ NS ns.{own}.\n"


def read_service_names() -> dict[str, str]:
    """Return the names of all services of world, with the last octet of each address."""
    names: dict[str, str] = {}
    for file in sorted(Path("/opt/world").glob("*.py")):
        head = file.read_text().split('"""')[1]
        address = re.search(r"^address: (\d+)$", head, re.M)
        for line in re.findall(r"^names: (.*)$", head, re.M):
            names |= dict.fromkeys(line.split(), address[1] if address else "2")
    return names


def list_foreign_zones(names: dict[str, str]) -> list[str]:
    """Return the names outside the sandbox's zone that need their own zone: those without a parent in the list."""
    outside = [name for name in names if not name.endswith(f".{kit.ZONE}")]
    return sorted(name for name in outside if not any(name.endswith(f".{other}") for other in outside))


def build_pointers(names: dict[str, str]) -> dict[str, str]:
    """Return the PTR records of the services' addresses; each points to the last name, which is the host name."""
    last = {octet: name for name, octet in names.items()}
    pointers = {}
    for octet, name in last.items():
        for prefix in ("172.30.0.", "fd30::"):
            pointers[ipaddress.ip_address(f"{prefix}{octet}").reverse_pointer] = name
    return pointers


def main() -> None:
    """Write named's configuration and zones, then run named in this process."""
    names = read_service_names()
    foreign = list_foreign_zones(names)
    pointers = build_pointers(names)
    config = OPTIONS
    for zone in (*ZONES, *foreign):
        file = FOLDER / f"{zone}.zone"
        file.with_suffix(".zone.jnl").unlink(missing_ok=True)
        inside = {name: octet for name, octet in names.items() if name == zone or name.endswith(f".{zone}")}
        records = [f"{name}. A 172.30.0.{octet}\n{name}. AAAA fd30::{octet}\n" for name, octet in inside.items()]
        records += [f"{pointer}. PTR {name}.\n" for pointer, name in pointers.items() if pointer.endswith(zone)]
        file.write_text(HEAD.format(own=kit.ZONE) + "".join(records))
        config += ZONE.format(zone=zone, file=file)
    kit.run("chown", "-R", "bind:bind", str(FOLDER))
    Path("/etc/bind/named.conf").write_text(config)
    Path("/etc/resolv.conf").write_text(f"nameserver {kit.WORLD4}\n")
    Path("/run/named").mkdir(exist_ok=True)
    kit.run("chown", "bind:bind", "/run/named")
    kit.exec_program("named", "-f", "-u", "bind")


if __name__ == "__main__":
    main()
