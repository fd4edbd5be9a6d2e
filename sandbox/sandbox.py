#!/usr/bin/env python3
"""The sandbox's one command; needs nothing but Python 3.11 and what it installs itself."""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Callable

from lab import down, engine, image, mailcow, names, network, world
from lab.shell import Failed


def images() -> None:
    """World's and the hosts', and the one that hosts get from world's registry."""
    image.up()
    mailcow.build()


def outside() -> None:
    """World, and what its forge has for the platform."""
    world.up()
    mailcow.publish()


PLAIN = {
    "docker": (engine.up, "install and start Docker where it is missing"),
    "image": (images, "build the images whose inputs changed"),
    "network": (network.up, "make the sandbox's network"),
    "world": (outside, "start world and prove that its services answer"),
    "status": (world.status, "show what runs"),
    "down": (down.everything, "remove everything that the sandbox made"),
}


def alone(build: Callable[[], None]) -> None:
    """Make or remove something; whoever asks for it at the same time waits, and then finds it done."""
    names.CACHE.mkdir(parents=True, exist_ok=True)
    with (names.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="sandbox.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_act, text) in PLAIN.items():
        commands.add_parser(name, help=text)
    dns = commands.add_parser("dns", help="make a name of the zone have just these values; none removes it")
    dns.add_argument("name", help="below vln.test, or @")
    dns.add_argument("type")
    dns.add_argument("values", nargs="*")
    point = commands.add_parser("point", help="point names of the zone at a host")
    point.add_argument("address4")
    point.add_argument("address6")
    point.add_argument("names", nargs="+")
    ptr = commands.add_parser("ptr", help="set what an address is called; no name takes it away")
    ptr.add_argument("address")
    ptr.add_argument("name", nargs="?", default="")
    for verb, does in (("stop", "refuse connections"), ("start", "answer again"), ("fault", "fail in one way")):
        commands.add_parser(verb, help=f"make a service of world {does}").add_argument("service")
    commands.choices["fault"].add_argument("mode", help="outage, what the service's file lists, or none")
    commands.choices["fault"].add_argument("clients", nargs="*", help="addresses that see it; everybody when left out")
    return parser.parse_args()


def act(arguments: argparse.Namespace) -> None:
    """Do what one subcommand says."""
    match arguments.command:
        case "dns":
            world.dns_set(arguments.name, arguments.type, arguments.values)
        case "point":
            world.point(arguments.address4, arguments.address6, arguments.names)
        case "ptr":
            world.reverse(arguments.address, arguments.name)
        case "start":
            world.fault(arguments.service, "none", [])
        case "stop":
            world.fault(arguments.service, "outage", [])
        case "fault":
            world.fault(arguments.service, arguments.mode, arguments.clients)
        case "status":
            world.status()
        case plain:
            alone(PLAIN[plain][0])


def main() -> int:
    """Run one subcommand."""
    try:
        act(parse())
    except Failed as problem:
        print(f"sandbox: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
