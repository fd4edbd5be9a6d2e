# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the wanted rules of one IP version with the live rules: pure functions on the text of iptables-save."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

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


def find_target(rule: str) -> str:
    """Return the target of a rule; a comment can contain the text of a target."""
    words = shlex.split(rule)
    places = [at for at, word in enumerate(words[:-1]) if word in ("-j", "-g") and words[at - 1] != "--comment"]
    return words[places[0] + 1] if places else ""


def find_regular_chains(chains: Chains) -> set[str]:
    """Return the wanted chains that every incoming packet passes, so that one more jump to them opens nothing."""
    found, open_chains = {"INPUT"}, ["INPUT"]
    while open_chains:
        for rule in chains.get(open_chains.pop(), ("", []))[1]:
            words = rule.split()
            if words[2:3] == ["-j"] and words[3] in chains and words[3] not in found:
                found.add(words[3])
                open_chains.append(words[3])
    return found - {"INPUT"}


def accepts_packets(rule: str, chains: Chains, live: Chains) -> bool:
    """Return whether a rule accepts packets, itself or through a chain; a rule that only bans does not."""
    target = find_target(rule)
    if target == "ACCEPT" or target in find_regular_chains(chains):
        return target == "ACCEPT"
    _policy, rules = chains.get(target) or live.get(target, ("", []))
    return any(accepts_packets(one, chains, live) for one in rules)


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


def apply_lines(live: Chains, lines: Iterable[str]) -> Chains:
    """Return the chains after iptables-restore has read the lines without flushing."""
    after = {name: (policy, [*rules]) for name, (policy, rules) in live.items()}
    for line in lines:
        verb, _space, rest = line.partition(" ")
        if line.startswith(":"):
            policy = rest.split()[0]
            rules = after.get(verb[1:], ("", []))[1] if policy != "-" else []
            after[verb[1:]] = (policy, rules)
            continue
        name, _space, rule = rest.partition(" ")
        rules = after[name][1]
        if verb == "-D":
            rules.remove(f"-A {name} {rule}")
        elif verb == "-I":
            rules.insert(0, f"-A {name} {rule.partition(' ')[2]}")
        else:
            rules.append(line)
    return after
