#!/usr/bin/env python3
"""The sandbox's one command; needs nothing but Python 3.11 and what it installs itself."""

from __future__ import annotations

import argparse
import sys

from lab import engine, image, network
from lab.shell import Failed


def main() -> int:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(prog="sandbox.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("docker", help="install and start Docker where it is missing")
    commands.add_parser("image", help="build the images whose inputs changed")
    commands.add_parser("network", help="make the sandbox's network")
    arguments = parser.parse_args()
    try:
        {"docker": engine.up, "image": image.up, "network": network.up}[arguments.command]()
    except Failed as problem:
        print(f"sandbox: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
