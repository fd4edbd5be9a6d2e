"""The definition of a host (.config/molecule/host.yml), which world shares, as arguments of `docker run`."""

from __future__ import annotations

from . import names

FILE = names.ROOT / ".config" / "molecule" / "host.yml"
FLAGS = {
    "host_capabilities": "--cap-add",
    "host_security_opts": "--security-opt",
    "host_volumes": "--volume",
    "host_tmpfs": "--tmpfs",
}


def lists(text: str) -> dict[str, list[str]]:
    """The lists of a YAML file of plain lists: the standard library knows no YAML."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("  - ") and key:
            found.setdefault(key, []).append(line[4:].strip())
        elif line and not line.startswith((" ", "#")):
            key = line.split(":")[0]
    return found


def arguments() -> list[str]:
    """What makes a container a sandbox host."""
    found = lists(FILE.read_text())
    pairs = [part for key, flag in FLAGS.items() for value in found[key] for part in (flag, value)]
    return ["--cgroupns", "host", *pairs]
