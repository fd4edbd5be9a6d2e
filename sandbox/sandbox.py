#!/usr/bin/env python3
"""Manage the sandbox: Docker, the images, the network, and world, which simulates the internet outside the platform.

Needs only Python 3.11; it installs everything else.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Callable

from lab import down, engine, image, mailcow, names, network, world
from lab.shell import SandboxError


def build_images() -> None:
    """Build the images of hosts, of world, and of the mailcow that world's registry serves."""
    image.build_all()
    mailcow.build_image()


def start_world() -> None:
    """Start world and publish mailcow in its forge and registry."""
    world.start()
    mailcow.publish()


COMMANDS = {
    "docker": (engine.ensure_running, "install and start Docker if it is missing or stopped"),
    "image": (build_images, "build the images whose inputs have changed"),
    "network": (network.create, "create the network of the sandbox"),
    "world": (start_world, "start world and wait until its services are ready"),
    "status": (world.print_status, "show the containers and the state of world's services"),
    "down": (down.remove_all, "remove the containers, volumes, network, images and secrets of the sandbox"),
}


def run_locked(action: Callable[[], None]) -> None:
    """Run an action that creates or removes parts of the sandbox; concurrent calls wait for each other."""
    names.CACHE.mkdir(parents=True, exist_ok=True)
    with (names.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        action()


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="sandbox.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_action, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    dns = commands.add_parser("dns", help="set all values of a DNS name; without values, remove it")
    dns.add_argument("name", help="a name in vln.test without the zone, or @ for the zone itself")
    dns.add_argument("type", help="record type, for example A or TXT")
    dns.add_argument("values", nargs="*", help="the values of the record set")
    point = commands.add_parser("point", help="set the A and AAAA records of names to the addresses of a host")
    point.add_argument("address4", help="IPv4 address")
    point.add_argument("address6", help="IPv6 address")
    point.add_argument("names", nargs="+", help="names in vln.test without the zone")
    ptr = commands.add_parser("ptr", help="set the PTR record of an address; without a name, remove it")
    ptr.add_argument("address", help="IPv4 or IPv6 address")
    ptr.add_argument("name", nargs="?", default="", help="fully qualified name")
    for verb, effect in (("stop", "refuse connections"), ("start", "work again"), ("fault", "fail in one way")):
        subcommand = commands.add_parser(verb, help=f"make a service of world {effect}")
        subcommand.add_argument("service", help="name of the service, see `status`")
    commands.choices["fault"].add_argument("mode", help="outage, a fault that the service's file lists, or none")
    commands.choices["fault"].add_argument("clients", nargs="*", help="affected client addresses; default: all clients")
    return parser.parse_args()


def dispatch(arguments: argparse.Namespace) -> None:
    """Run the action of a subcommand."""
    match arguments.command:
        case "dns":
            world.set_dns(arguments.name, arguments.type, arguments.values)
        case "point":
            world.point_names(arguments.address4, arguments.address6, arguments.names)
        case "ptr":
            world.set_ptr(arguments.address, arguments.name)
        case "start":
            world.set_fault(arguments.service, "none", [])
        case "stop":
            world.set_fault(arguments.service, "outage", [])
        case "fault":
            world.set_fault(arguments.service, arguments.mode, arguments.clients)
        case "status":
            world.print_status()
        case command:
            run_locked(COMMANDS[command][0])


def main() -> int:
    """Run one subcommand; return the exit code."""
    try:
        dispatch(parse_arguments())
    except SandboxError as problem:
        print(f"sandbox: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
