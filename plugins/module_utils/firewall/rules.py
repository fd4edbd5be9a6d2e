# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the wanted rules of one IP version with the live rules: pure functions on the text of iptables-save."""

from __future__ import annotations

import re

BUILT_IN = ("INPUT", "FORWARD", "OUTPUT")
DOCKER_USER_JUMP = "-A FORWARD -j DOCKER-USER"

Chains = dict[str, tuple[str, list[str]]]


def parse_chains(text: str) -> Chains:
    """Return each chain's policy and rules."""
    chains: Chains = {}
    for line in text.splitlines():
        if line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[name] = (policy, [])
        elif line.startswith("-A "):
            chains[line.split()[1]][1].append(line)
    return chains


def plan_own_chain(name: str, chains: Chains, live: Chains) -> list[str]:
    """Return the lines that replace a chain to which no other program adds rules; none when it is as wanted."""
    return [] if chains[name] == live.get(name) else [f":{name} - [0:0]", *chains[name][1]]


def plan_shared_chain(name: str, chains: Chains, live: Chains) -> list[str]:
    """Return the lines that set policy and jumps of a built-in chain, next to the rules of Docker and others."""
    policy, wanted = chains[name]
    live_policy, live_rules = live.get(name, ("", []))
    lines = [] if policy == live_policy else [f":{name} {policy} [0:0]"]
    ours = [rule for rule in live_rules if rule in wanted]
    if ours != wanted:
        lines += [rule.replace("-A ", "-D ", 1) for rule in ours] + wanted
    return lines


def accepts_packets(rule: str, chains: Chains, live: Chains) -> bool:
    """Return whether a rule accepts packets, itself or through a chain of others; a rule that only bans does not."""
    jump = re.search(r" -[jg] (\S+)", rule)
    target = jump[1] if jump else ""
    if target == "ACCEPT" or target in chains:
        return target == "ACCEPT"
    return any(accepts_packets(one, chains, live) for one in live.get(target, ("", []))[1])


def close_bypasses(chains: Chains, live: Chains) -> list[str]:
    """Return the lines that remove or precede rules with which packets would bypass the list of open ports."""
    others = [rule for rule in live.get("INPUT", ("", []))[1] if rule not in chains["INPUT"][1]]
    lines = [rule.replace("-A ", "-D ", 1) for rule in others if accepts_packets(rule, chains, live)]
    forward = live.get("FORWARD", ("", []))[1]
    before = forward[: forward.index(DOCKER_USER_JUMP)] if DOCKER_USER_JUMP in forward else forward
    theirs = [rule for rule in before if rule not in chains["FORWARD"][1]]
    if any(accepts_packets(rule, chains, live) or rule.endswith(" -j DOCKER") for rule in theirs):
        present = DOCKER_USER_JUMP in forward
        lines += [DOCKER_USER_JUMP.replace("-A ", "-D ", 1)] if present else []
        lines.append(DOCKER_USER_JUMP.replace("-A FORWARD", "-I FORWARD 1"))
    return lines


def plan(chains: Chains, live: Chains) -> list[str]:
    """Return the lines that make the wanted chains live; none when they are live."""
    if not chains:
        return []
    # A chain must exist before a rule jumps to it, so all chains come first.
    own = [plan_own_chain(name, chains, live) for name in chains if name not in BUILT_IN]
    heads = [lines[0] for lines in own if lines]
    rules = [line for lines in own for line in lines[1:]]
    shared = [line for name in BUILT_IN for line in plan_shared_chain(name, chains, live)]
    return heads + rules + shared + close_bypasses(chains, live)
