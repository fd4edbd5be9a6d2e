# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply the rules in /etc/ufw without a moment in which other rules are live, or report the differences.

ufw itself translates its files into rules, in an empty network namespace. The difference to the live rules is applied
as one transaction of the kernel for each IP version. Sample packets then prove that no other rule set of the kernel
decides against the list of open ports.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import typing as t

from ..host import files, programs
from . import iptables, kernel, paths, rules, snapshot
from .packets import Chain, Rule, Table

USAGE = """usage: vise-firewall plan [--take-over]     check that the files load, and print the differences
       vise-firewall apply [--take-over]    make the differences live; with the option, also remove foreign rules that
                                            decide against the list of open ports
       vise-firewall verify                 print the differences, or "live"; the exit code is 1 when there are any"""
SAVE = {4: "iptables-save", 6: "ip6tables-save"}
RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}
TABLE = {4: "ip", 6: "ip6"}
USER_CHAINS = {4: "ufw-user-input", 6: "ufw6-user-input"}
SETTINGS = "/etc/ufw/ufw.conf"
# While it runs, nothing else can remove its rules; it removes them at its end, and may remove others.
DAEMON = "firewalld.service"
MOST_REMOVALS = 50


class FirewallError(Exception):
    """The rules cannot be compared, or a foreign rule decides; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What differs, and what the kernel would do with packets after the change."""

    lines: dict[int, list[str]]  # for iptables-restore, by IP version
    removals: list[str]  # commands that remove foreign rules from other tables
    judgement: paths.Judgement


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


def read_plan(take_over: bool = False) -> Plan:
    """Compare the host with the files, and judge the result; with `take_over`, plan to remove foreign rules."""
    wanted = read_wanted_chains()
    if not any(wanted.values()):
        raise FirewallError(f"ufw is disabled in {SETTINGS}: run `ufw enable`, or the role firewall")
    return build_plan(wanted, {family: read_live_chains(family) for family in wanted}, take_over)


def build_plan(wanted: t.Mapping[int, rules.Chains], live: t.Mapping[int, rules.Chains], take_over: bool) -> Plan:
    """Compare live chains with wanted ones, and judge the result together with the other tables of the kernel."""
    lines = {family: rules.plan(chains, live[family]) for family, chains in wanted.items()}
    others = kernel.read_other_tables()
    interfaces, host = kernel.read_host(list_container_interfaces(wanted[4]))
    openings, own = list_openings(wanted), list_own_rules(wanted)
    removals: list[str] = []
    for _attempt in range(MOST_REMOVALS):
        after = {family: rules.apply_lines(live[family], lines[family]) for family in live}
        tables = [*others, *(iptables.build_table("filter", chains, family) for family, chains in after.items())]
        judgement = paths.judge(openings, tables, interfaces, host, own)
        if not (take_over and judgement.problems):
            break
        rule = judgement.problems[0].rule
        family = next((family for family, chains in after.items() if belongs_to(rule, family, chains)), 0)
        if family:
            lines[family].append(rule.text.replace("-A ", "-D ", 1))
        else:
            removals.append(rule.removal)
            others = [without_rule(table, rule) for table in others]
    return Plan(lines, removals, judgement)


def list_openings(wanted: t.Mapping[int, rules.Chains]) -> list[paths.Opening]:
    """Return the open ports."""
    found = []
    for family, chains in wanted.items():
        lines = chains.get(USER_CHAINS[family], ("", []))[1]
        found += [
            one for line in lines if rules.find_target(line) == "ACCEPT" for one in paths.parse_openings(line, family)
        ]
    return found


def list_own_rules(wanted: t.Mapping[int, rules.Chains]) -> set[tuple[str, str]]:
    """Return place and text of each wanted rule and policy."""
    own = set()
    for family, chains in wanted.items():
        for chain in iptables.build_table("filter", chains, family).chains.values():
            own |= {(rule.place, rule.text) for rule in (*chain.rules, chain.end())}
    return own


def list_container_interfaces(chains: rules.Chains) -> list[str]:
    """Return the interfaces of container networks, whose packets do not come from outside."""
    words = (shlex.split(line) for line in chains.get("DOCKER-USER", ("", []))[1])
    return [parts[3] for parts in words if parts[2] == "-i"]


def belongs_to(rule: Rule, family: int, chains: rules.Chains) -> bool:
    """Return whether a rule is one of the table filter that iptables shows for an IP version."""
    table = iptables.build_table("filter", chains, family)
    return any(rule in chain.rules for chain in table.chains.values())


def without_rule(table: Table, rule: Rule) -> Table:
    """Return the table after the removal of a rule or a policy."""
    chains: dict[str, Chain] = {}
    for name, chain in table.chains.items():
        if chain.removal == rule.removal:
            if rule.program == "nft" or rule.removal.startswith("nft delete table"):
                return Table({})
            chain = dataclasses.replace(chain, policy="accept")
        chains[name] = dataclasses.replace(chain, rules=tuple(one for one in chain.rules if one != rule))
    return Table(chains)


def apply(take_over: bool = False) -> int:
    """Make the differences live, and the kernel settings of ufw."""
    if not is_enabled():
        return leave()
    plan_ = read_plan(take_over)
    refuse(plan_)
    ended = [DAEMON] if take_over and programs.run(["systemctl", "is-active", "--quiet", DAEMON]).code == 0 else []
    if any(plan_.lines.values()) or plan_.removals:
        snapshot.save(plan_.removals, ended)
    restore(plan_.lines)
    if ended:
        programs.call(["systemctl", "stop", *ended])
        plan_ = read_plan(take_over)
        restore(plan_.lines)
    for command in plan_.removals:
        programs.call(shlex.split(command))
    # Kernel settings, not rules: ufw sets them at its start. A setting that the kernel lacks is skipped.
    result = programs.run(["sysctl", "-e", "-q", "-p", "/etc/ufw/sysctl.conf"])
    print(result.err, end="", file=sys.stderr)
    return 0


def is_enabled() -> bool:
    """Return whether ufw is enabled; it is not when the first change of the role is rolled back."""
    return bool(re.search(r"^ENABLED=[\"']?yes", files.read_text(SETTINGS), re.MULTILINE | re.IGNORECASE))


def leave() -> int:
    """Make the rules live again that were live before the first change."""
    if not snapshot.restore():
        raise FirewallError(f"ufw is disabled in {SETTINGS}, and no earlier rules are kept: run `ufw enable`")
    return 0


def restore(lines: t.Mapping[int, t.Sequence[str]]) -> None:
    """Make differences live, as one transaction for each IP version."""
    for family, some in lines.items():
        if some:
            programs.call([RESTORE[family], "--noflush"], stdin="\n".join(["*filter", *some, "COMMIT", ""]))


def refuse(plan_: Plan) -> None:
    """Raise FirewallError when foreign rules decide against the list of open ports."""
    if plan_.judgement.problems:
        problems = "\n".join(map(str, plan_.judgement.problems))
        raise FirewallError(
            f"other rules of this host decide against the list of open ports:\n{problems}\n"
            "Change the list (firewall_allow), remove the rules, or set firewall_take_over: true for one run, which"
            " removes them after it has kept a copy"
        )


def report(plan_: Plan) -> bool:
    """Print the differences and doubts, or that there are no differences; return whether there are any."""
    differences = {family: lines for family, lines in plan_.lines.items() if lines}
    for family, lines in differences.items():
        print(f"IPv{family}, not live:", *lines, sep="\n")
    print(*(f"remove: {command}\n" for command in plan_.removals), sep="", end="")
    print(*(f"unknown: {doubt}\n" for doubt in plan_.judgement.doubts), sep="", end="")
    print(*(f"decides: {problem}\n" for problem in plan_.judgement.problems), sep="", end="")
    if not differences and not plan_.removals and not plan_.judgement.problems:
        print("live")
        return False
    return True


def plan(take_over: bool = False) -> int:
    """Check that the files load and that no foreign rule decides, and print the differences."""
    plan_ = read_plan(take_over)
    refuse(plan_)
    report(plan_)
    return 0


def verify() -> int:
    """Print the differences; return 1 when there are any."""
    return int(report(read_plan()))


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    commands: dict[tuple[str, ...], t.Callable[[], int]] = {
        ("plan",): plan,
        ("plan", "--take-over"): lambda: plan(take_over=True),
        ("apply",): apply,
        ("apply", "--take-over"): lambda: apply(take_over=True),
        ("verify",): verify,
    }
    command = commands.get(tuple(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except (FirewallError, programs.ProgramError) as error:
        print(f"vise-firewall: {error}", file=sys.stderr)
        return 1
