"""The options of a sandbox host (.config/molecule/host.yml, also used for world) as arguments of `docker run`."""

from __future__ import annotations

from . import names

FILE = names.ROOT / ".config" / "molecule" / "host.yml"
FLAGS = {
    "host_capabilities": "--cap-add",
    "host_security_opts": "--security-opt",
    "host_volumes": "--volume",
    "host_tmpfs": "--tmpfs",
}


def parse_lists(text: str) -> dict[str, list[str]]:
    """Parse a YAML file that contains only lists of strings; the standard library has no YAML parser."""
    lists: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("  - ") and key:
            lists.setdefault(key, []).append(line[4:].strip())
        elif line and not line.startswith((" ", "#")):
            key = line.split(":")[0]
    return lists


def docker_arguments() -> list[str]:
    """Return the arguments of `docker run` that a sandbox host needs."""
    lists = parse_lists(FILE.read_text())
    pairs = [part for key, flag in FLAGS.items() for value in lists[key] for part in (flag, value)]
    return ["--cgroupns", "host", *pairs]
