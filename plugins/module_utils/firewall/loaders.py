# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what loads other firewall rules when the host boots: units and scripts."""

from __future__ import annotations

import glob
import hashlib
import re

from ..host import files, programs

# Replaces or flushes rules; a command that only adds rules does not.
LOADS = re.compile(
    r"\bip6?tables(-nft|-legacy)?-restore\b(?!.*(\s-n\b|--noflush))|\bip6?tables(-nft|-legacy)?\s+(-t\s+\w+\s+)?-F\b"
    r"|\bnft\s+(-\S+\s+)*(-f|--file|flush)\b"
)
# The role masks these, because each one flushes rules at its start or at its end.
MASKED = ("nftables.service", "netfilter-persistent.service", "firewalld.service")
OWN = ("ufw.service", "docker.service", "fail2ban.service")
SCRIPTS = ("/etc/rc.local", "/etc/network/interfaces", "/var/spool/cron/crontabs/root", "/etc/crontab")
SCRIPT_GLOBS = (
    "/etc/network/interfaces.d/*",
    "/etc/network/if-*.d/*",
    "/etc/networkd-dispatcher/*/*",
    "/etc/cron.d/*",
)
NFTABLES = "/etc/nftables.conf"


def find(is_new: bool) -> tuple[list[str], list[str]]:
    """Return units to disable, and a text for each unit and script that loads other rules."""
    units, texts = [], []
    for name, commands in read_enabled_units().items():
        if name in MASKED:
            if is_new and not (name == "nftables.service" and has_packaged_rules()):
                texts.append(f"{name}: enabled, loads rules at boot; the role masks it")
        elif command := next(filter(loads_rules, commands), ""):
            units.append(name)
            texts.append(f"{name}: enabled, runs `{command}`")
    return units, texts


def find_script_lines() -> list[str]:
    """Return the lines of boot scripts that load other rules."""
    found = []
    paths = [*SCRIPTS, *(path for pattern in SCRIPT_GLOBS for path in sorted(glob.glob(pattern)))]
    for path in paths:
        for number, line in enumerate(files.read_text(path).splitlines(), 1):
            if not line.lstrip().startswith("#") and LOADS.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    return found


def read_enabled_units() -> dict[str, list[str]]:
    """Return the commands of each enabled service."""
    argv = ["systemctl", "list-unit-files", "--type=service", "--state=enabled", "--no-legend", "--no-pager", "--plain"]
    names = [line.split()[0] for line in programs.run(argv).out.splitlines() if line.split()]
    names = [name for name in names if "@." not in name and name not in OWN]
    if not names:
        return {}
    shown = programs.run(["systemctl", "show", "--property=Id,ExecStart,ExecStartPre,ExecStartPost", *names]).out
    units = {}
    for block in shown.split("\n\n"):
        unit = re.search(r"^Id=(\S+)", block, re.MULTILINE)
        if unit:
            units[unit[1]] = [command.strip() for command in re.findall(r"argv\[\]=([^;]*)", block)]
    return units


def loads_rules(command: str) -> bool:
    """Return whether a command of a unit, or the shell script that it runs, loads other rules."""
    if LOADS.search(command):
        return True
    for path in [word for word in command.split() if word.startswith("/")][:2]:
        text = read_script(path)
        if any(LOADS.search(line) for line in text.splitlines() if not line.lstrip().startswith("#")):
            return True
    return False


def read_script(path: str) -> str:
    """Return the text of a shell script; empty for other files."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(65536)
    except OSError:
        return ""
    first = head.split(b"\n", 1)[0]
    return head.decode("utf-8", "replace") if first.startswith(b"#!") and first.rstrip().endswith(b"sh") else ""


def has_packaged_rules() -> bool:
    """Return whether the rules of nftables are the empty chains of its package."""
    listed = programs.run(["dpkg-query", "-W", "-f", "${Conffiles}\n", "nftables"]).out
    digest = hashlib.md5(files.read_text(NFTABLES).encode(), usedforsecurity=False).hexdigest()
    return f"{NFTABLES} {digest}" in listed
