# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find firewall rules that a host had before the role, and keep a copy of them."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import io
import os
import re
import tarfile
import typing as t

from ..host import files, programs
from . import loaders, program, rules

COPIES = "/var/backups/vise"
UFW = "/etc/ufw"
UFW_TEMPLATES = "/usr/share/ufw"
RULE_FILES = ("before.rules", "before6.rules", "after.rules", "after6.rules")
USER_FILES = ("user.rules", "user6.rules")
DEFAULTS = "/etc/default/ufw"
# What the package writes into DEFAULTS, and what the role needs there.
DEFAULT_SETTINGS = {
    "IPV6": "yes",
    "DEFAULT_INPUT_POLICY": "DROP",
    "DEFAULT_OUTPUT_POLICY": "ACCEPT",
    "DEFAULT_FORWARD_POLICY": "DROP",
    "DEFAULT_APPLICATION_POLICY": "SKIP",
    "MANAGE_BUILTINS": "no",
}
MANAGED = "Managed by Ansible"
# The package ufw cannot be installed together with these.
CONFLICTS = ("iptables-persistent", "netfilter-persistent")
# Chains whose rules other programs add again by themselves.
DOCKER = re.compile(r"^(DOCKER|br-|docker)")
KEPT = ("/etc/ufw", "/etc/default/ufw", "/etc/iptables", "/etc/nftables.conf", "/etc/nftables.d", "/etc/firewalld")
LISTINGS = {
    "iptables.rules": ("iptables-save",),
    "ip6tables.rules": ("ip6tables-save",),
    "iptables-legacy.rules": ("iptables-legacy-save",),
    "ip6tables-legacy.rules": ("ip6tables-legacy-save",),
    "ruleset.nft": ("nft", "list", "ruleset"),
    "units.txt": ("systemctl", "list-unit-files", "--type=service", "--state=enabled", "--no-legend", "--no-pager"),
}
NAMES = {4: "iptables", 6: "ip6tables"}
Rules = t.Mapping[int, t.Sequence[t.Mapping[str, str]]]
Families = dict[int, rules.Chains]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the role would remove or disable, the units that it would disable, and what it cannot judge."""

    removed: list[str]
    units: list[str]
    doubts: list[str]
    drift: list[str] = dataclasses.field(default_factory=list)  # rules that every run removes without permission


def find(allowed: Rules, container_interfaces: t.Sequence[str], is_new: bool, take_over: bool) -> Findings:
    """Return the findings of this host; `is_new` on a host that the role has not configured yet."""
    packages = [f"package {name}: the installation of ufw removes it" for name in list_installed(CONFLICTS)]
    units, texts = loaders.find(is_new)
    removed = [*packages, *texts]
    wanted, live = read_chains(allowed, container_interfaces)
    plan = program.build_plan(wanted, live, take_over=True)
    if is_new:
        removed += [*find_user_rules(allowed), *find_edited_files(), *find_settings(), *find_forwarding()]
    if is_new or take_over:
        removed += [f"live rule: {line}" for line in list_removals(plan)]
    drift = [] if is_new or take_over else find_drift(wanted, live)
    return Findings(removed, units, list(plan.judgement.doubts), drift)


def list_installed(names: t.Sequence[str]) -> list[str]:
    """Return which of the packages are installed."""
    text = programs.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]).out
    return [line.split()[0] for line in text.splitlines() if line.endswith(" installed")]


def read_chains(allowed: Rules, container_interfaces: t.Sequence[str]) -> tuple[Families, Families]:
    """Return the wanted and the live chains of a host as if the rules of ufw were not installed yet."""
    wanted: dict[int, rules.Chains] = {}
    live: dict[int, rules.Chains] = {}
    inside = [f"-A DOCKER-USER -i {name} -j RETURN" for name in container_interfaces]
    for family, command in program.SAVE.items():
        user = program.USER_CHAINS[family]
        openings = [f"-A {user} {rule['input']} -j ACCEPT" for rule in allowed[family]]
        published = [f"-A DOCKER-USER {rule['published']} -j RETURN" for rule in allowed[family]]
        wanted[family] = {
            "INPUT": ("DROP", ["-A INPUT -i lo -j ACCEPT", f"-A INPUT -j {user}"]),
            "FORWARD": ("DROP", []),
            "OUTPUT": ("ACCEPT", []),
            "DOCKER-USER": ("-", [*inside, *published, "-A DOCKER-USER -j DROP"]),
            user: ("-", openings),
        }
        live[family] = read_foreign_chains([command, "-t", "filter"])
    return wanted, live


def find_drift(wanted: Families, live: Families) -> list[str]:
    """Return the foreign rules that accept packets before the list of open ports decides."""
    return [
        f"{NAMES[family]} {line.replace('-D ', '-A ', 1)}"
        for family, chains in wanted.items()
        for line in rules.close_bypasses(chains, live[family])
        if line.startswith("-D INPUT ")
    ]


def read_foreign_chains(command: t.Sequence[str]) -> rules.Chains:
    """Return the live chains without those of ufw, which the role's replace."""
    chains = rules.parse_chains(programs.run(command).out)
    return {
        name: (policy, [line for line in lines if not rules.find_target(line).startswith("ufw")])
        for name, (policy, lines) in chains.items()
        if not name.startswith("ufw")
    }


def list_removals(plan: program.Plan) -> list[str]:
    """Return the foreign rules that the change removes."""
    lines = [(family, line) for family, some in plan.lines.items() for line in some if line.startswith("-D ")]
    own = re.compile(r"-D (FORWARD -j DOCKER-USER|INPUT -i lo -j ACCEPT)$")
    found = [f"{NAMES[family]} {line.replace('-D ', '-A ', 1)}" for family, line in lines if not own.match(line)]
    return [*found, *(f"removed by `{command}`" for command in plan.removals)]


def find_forwarding() -> list[str]:
    """Return the rules for forwarded packets that have no effect after the change."""
    found = []
    for command in program.SAVE.values():
        chains = read_foreign_chains([command, "-t", "filter"])
        name = command.removesuffix("-save")
        lines = [line for line in chains.get("FORWARD", ("", []))[1] if _forwards(line, chains)]
        lines += [
            line for line in chains.get("DOCKER-USER", ("", []))[1] if not line.endswith("-A DOCKER-USER -j RETURN")
        ]
        found += [f"live rule: {name} {line}" for line in lines]
    return found


def _forwards(line: str, chains: rules.Chains) -> bool:
    words = line.split()
    names = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-i", "-o", "-j", "-g")]
    is_reply = "RELATED,ESTABLISHED" in words or "ESTABLISHED,RELATED" in words
    return not is_reply and not any(map(DOCKER.match, names)) and rules.accepts_packets(line, {}, chains)


def find_user_rules(allowed: Rules) -> list[str]:
    """Return the rules that a person gave ufw and that the list of open ports does not contain."""
    found = []
    for family, name in zip((4, 6), USER_FILES, strict=True):
        text = files.read_text(f"{UFW}/{name}")
        known = {tuple(rule["tuple"].split()[:6]) for rule in allowed[family]}
        for line in text.splitlines() if MANAGED not in text else ():
            if line.startswith("### tuple ### ") and not _is_known(line.split()[3:], known):
                found.append(f"{UFW}/{name}: ufw rule `{' '.join(line.split()[3:])}`")
    return found


def _is_known(words: t.Sequence[str], known: t.Container[tuple[str, ...]]) -> bool:
    action, proto, ports, *rest = words[:6]
    protocols = ("tcp", "udp") if proto == "any" else (proto,)
    return all(any((action, one, port, *rest) in known for one in protocols) for port in ports.split(","))


def find_edited_files() -> list[str]:
    """Return the rule files of ufw that a person has edited."""
    found = []
    for name in RULE_FILES:
        text = files.read_text(f"{UFW}/{name}")
        original = files.read_text(f"{UFW_TEMPLATES}/iptables/{name}")
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        if not text or MANAGED in text or digest in files.read_text(f"{UFW_TEMPLATES}/{name}.md5sum"):
            continue
        more = [line for line in text.splitlines() if line.strip() and line not in original.splitlines()]
        if text != original:
            shown = f", for example `{more[0]}`" if more else ""
            found.append(f"{UFW}/{name}: edited{shown}")
    return found


def find_settings() -> list[str]:
    """Return the settings of ufw that differ from those of its package."""
    text = files.read_text(DEFAULTS)
    pairs = re.findall(r"^(\w+)=[\"']?([^\"'\n]*)", text if MANAGED not in text else "", re.MULTILINE)
    differing = [(name, value) for name, value in pairs if DEFAULT_SETTINGS.get(name, value) != value]
    return [f"{DEFAULTS}: {name}={value}" for name, value in differing]


def keep_copy(findings: Findings, stamp: str) -> str:
    """Write an archive of all files and live rules, which only root can read; return its path."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path in filter(os.path.lexists, [*KEPT, *loaders.SCRIPTS, *_expand(loaders.SCRIPT_GLOBS)]):
            archive.add(path, arcname=path.lstrip("/"))
        for name, command in LISTINGS.items():
            _add_text(archive, f"live/{name}", programs.run(command).out)
        _add_text(archive, "found.txt", "".join(f"{line}\n" for line in (*findings.removed, *findings.drift)))
    os.makedirs(COPIES, mode=0o700, exist_ok=True)
    path = f"{COPIES}/firewall-{stamp}.tar.gz"
    files.replace_file(path, data.getvalue())
    return path


def _expand(patterns: t.Iterable[str]) -> list[str]:
    return [path for pattern in patterns for path in glob.glob(pattern)]


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode("utf-8", "replace")
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))
