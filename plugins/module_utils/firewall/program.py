# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the rules in /etc/ufw without a moment in which other rules are live, or report the differences.

ufw itself translates its files into rules, in an empty network namespace. The difference to the live rules is applied
as one transaction of the kernel for each IP version.
"""

from __future__ import annotations

import re
import sys
import typing as t

from ..host import programs
from . import rules

USAGE = """usage: vise-firewall plan     check that the files load, and print the differences
       vise-firewall apply    make the differences live
       vise-firewall verify   print the differences, or "live"; the exit code is 1 when there are any"""
SAVE = {4: "iptables-save", 6: "ip6tables-save"}
RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}
TABLE = {4: "ip", 6: "ip6"}


class FirewallError(Exception):
    """The rules cannot be compared; the message is for the operator."""


def read_live_chains(family: int) -> rules.Chains:
    """Return the live chains.

    Raises:
        FirewallError: the table cannot be read completely; it must not look empty.
    """
    text = programs.call([SAVE[family], "-t", "filter"])
    if "is incompatible" in text:
        raise FirewallError(
            f"IPv{family}: the live table contains rules of nft that {SAVE[family]} cannot show; "
            f"list them with `nft list table {TABLE[family]} filter`, and delete them or move them to another table"
        )
    return rules.parse_chains(text)


def read_wanted_chains() -> dict[int, rules.Chains]:
    """Return the chains into which ufw translates its files, for each IP version."""
    saves = "".join(f" && echo '# {family}' && {SAVE[family]} -t filter" for family in SAVE)
    # The shell, because all of these commands must run in the same namespace.
    text = programs.call(["unshare", "--net", "sh", "-c", "/usr/lib/ufw/ufw-init start >&2" + saves])
    four, six = re.split(r"^# [46]$", text, flags=re.MULTILINE)[1:]
    return {4: rules.parse_chains(four), 6: rules.parse_chains(six)}


def find_differences() -> dict[int, list[str]]:
    """Return the lines that make the wanted rules live, for each IP version; none when they are live."""
    return {family: rules.plan(chains, read_live_chains(family)) for family, chains in read_wanted_chains().items()}


def apply() -> int:
    """Make the differences live, and the kernel settings of ufw."""
    for family, lines in find_differences().items():
        if lines:
            programs.call([RESTORE[family], "--noflush"], stdin="\n".join(["*filter", *lines, "COMMIT", ""]))
    # Kernel settings, not rules: ufw sets them at its start. A setting that the kernel lacks is skipped.
    result = programs.run(["sysctl", "-e", "-q", "-p", "/etc/ufw/sysctl.conf"])
    print(result.err, end="", file=sys.stderr)
    return 0


def report() -> bool:
    """Print the differences, or that there are none; return whether there are any."""
    differences = {family: lines for family, lines in find_differences().items() if lines}
    for family, lines in differences.items():
        print(f"IPv{family}, not live:", *lines, sep="\n")
    if not differences:
        print("live")
    return bool(differences)


def plan() -> int:
    """Check that the files load, and print the differences."""
    report()
    return 0


def verify() -> int:
    """Print the differences; return 1 when there are any."""
    return int(report())


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"plan": plan, "apply": apply, "verify": verify}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except (FirewallError, programs.ProgramError) as error:
        print(f"vise-firewall: {error}", file=sys.stderr)
        return 1
