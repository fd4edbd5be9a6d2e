# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the last lines of a run: addresses of what runs, what changed, what needs attention, and what to do next."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.model import datastores, topology

LONGEST = 400  # characters of a message
SHOWN = 8  # warnings
SITE = "vise.platform.site"


@dataclasses.dataclass(frozen=True)
class Failure:
    """Where a run of a host ended."""

    stage: str
    task: str
    text: str


@dataclasses.dataclass
class Run:
    """What a run has done until now."""

    inventory: str = ""
    check_mode: bool = False
    seconds: float = 0.0
    hosts: list[str] = dataclasses.field(default_factory=list)
    changes: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)  # host -> part -> tasks
    failures: dict[str, Failure] = dataclasses.field(default_factory=dict)
    warnings: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # text -> hosts
    probes: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)  # URL -> address -> answer

    def record_change(self, host: str, part: str) -> None:
        """Count a task that changed something, by its role or its name."""
        parts = self.changes.setdefault(host, {})
        parts[part] = parts.get(part, 0) + 1

    def record_warning(self, host: str, text: str) -> None:
        """Add what a task reported; each text once, with its hosts."""
        hosts = self.warnings.setdefault(shorten(text), [])
        if host not in hosts:
            hosts.append(host)

    def record_probe(self, probe: t.Mapping[str, t.Any]) -> None:
        """Add the answer of a site at one address."""
        answer = "no route" if probe.get("skipped") else str(probe.get("problem") or f"status {probe.get('status')}")
        self.probes.setdefault(str(probe["url"]), {})[str(probe["address"])] = shorten(answer)

    @property
    def command(self) -> str:
        """The beginning of a command with the same inventory."""
        return f"ansible-playbook {self.inventory}".strip()


class Service(t.NamedTuple):
    """What applications or people connect to."""

    name: str
    address: str
    detail: str = ""


def is_converge(path: str, text: str, playbooks: Path) -> bool:
    """Return whether a playbook is the whole platform: site.yml, or one of a user that imports it."""
    return Path(path).resolve() == (playbooks / "site.yml").resolve() or f"import_playbook: {SITE}" in text


def shorten(text: str) -> str:
    """Return a text in one line of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def list_services(
    plan: topology.Topology, databases: t.Iterable[str], caches: t.Iterable[str], mail: str, run: Run
) -> list[Service]:
    """Return what runs by the description, with what the smoke tests found."""
    found = []
    for name, site in plan.sites.items():
        if not plan.entrance(site) or not site.get("domain"):
            continue
        url = f"https://{topology.names(site)[0]}/"
        found.append(Service(name, url, describe_probes(run.probes.get(url, {}))))
    primaries = plan.members(datastores.PRIMARY)
    for host in primaries[:1]:
        address = plan.addresses(host, "internal")[0]
        pool, direct = (topology.with_port(address, port) for port in (datastores.POOL_PORT, datastores.DATABASE_PORT))
        found += [Service(f"database {name}", pool, f"pooled; direct {direct}; on {host}") for name in databases]
    for host in plan.members(datastores.CACHE):
        address = topology.with_port(plan.addresses(host, "internal")[0], datastores.CACHE_PORT)
        found += [Service(f"cache {name}", address, f"TLS; on {host}") for name in caches]
    found += [Service("mail", mail, f"IMAP 993, submission 465; on {host}") for host in plan.members("mail") if mail]
    return found


def describe_probes(answers: t.Mapping[str, str]) -> str:
    """Return what the smoke tests of one site found, in a few words."""
    if not answers:
        return "not tested in this run"
    by_answer: dict[str, list[str]] = {}
    for address, answer in answers.items():
        by_answer.setdefault(answer, []).append(address)
    return "; ".join(f"{answer} at {', '.join(addresses)}" for answer, addresses in by_answer.items())


def format_summary(run: Run, services: t.Sequence[Service]) -> str:
    """Return the summary of a run."""
    lines = [describe_run(run)]
    if run.failures:
        lines += ["", "Failed:", *describe_failures(run)]
    elif services and not run.check_mode:
        lines += ["", "Runs:", *align([(f"  {one.name}", one.address, one.detail) for one in services])]
    lines += ["", "Would change:" if run.check_mode else "Changed:", *describe_changes(run)]
    if run.warnings:
        lines += ["", "Needs attention:", *describe_warnings(run)]
    lines += ["", "Next:", *(f"  {line}" for line in list_next_steps(run))]
    return "\n".join(lines)


def describe_run(run: Run) -> str:
    """Return the first line."""
    count = sum(sum(parts.values()) for parts in run.changes.values())
    parts = [
        f"{len(run.hosts)} host{'s'[: len(run.hosts) != 1]}",
        f"{count} change{'s'[: count != 1]}{' planned' if run.check_mode else ''}",
        *([f"{len(run.failures)} FAILED"] if run.failures else []),
        f"{int(run.seconds // 60)} min {int(run.seconds % 60)} s",
    ]
    return f"SUMMARY {'(check mode) ' if run.check_mode else ''}{run.inventory}: {', '.join(parts)}".replace(" :", ":")


def describe_failures(run: Run) -> list[str]:
    """Return where the run ended, each cause once with its hosts."""
    hosts: dict[Failure, list[str]] = {}
    for host, failure in run.failures.items():
        hosts.setdefault(failure, []).append(host)
    lines = []
    for failure, names in hosts.items():
        lines += [f"  {', '.join(names)}: {failure.stage}, task `{failure.task}`", f"    {failure.text}"]
    others = [host for host in run.hosts if host not in run.failures]
    if others:
        lines.append(f"  without a failure: {', '.join(others)}; stages after the failed one may not have run there")
    return lines


def describe_changes(run: Run) -> list[str]:
    """Return what changed, by host."""
    rows = [
        (f"  {host}", ", ".join(f"{part} ({count})" if count > 1 else part for part, count in parts.items()))
        for host, parts in run.changes.items()
    ]
    return align(rows) or ["  nothing"]


def describe_warnings(run: Run) -> list[str]:
    """Return what tasks reported, each text once."""
    lines = [f"  - {', '.join(sorted(hosts))}: {text}" for text, hosts in run.warnings.items()]
    return lines[:SHOWN] + ([f"  - {len(lines) - SHOWN} more, in the output above"] if len(lines) > SHOWN else [])


def list_next_steps(run: Run) -> list[str]:
    """Return the commands that come next."""
    again = f"{run.command} {SITE}"
    if run.failures:
        return [
            "correct the cause above; a run can be repeated at any time, and continues where this one ended:",
            again,
            f"everything that can be known before a run: {run.command} vise.platform.check",
        ]
    if run.check_mode:
        return [again if run.changes else "the hosts match the description"]
    steps = [f"{run.command} vise.platform.status  (backups, proofs, certificates, updates)"]
    proving = [host for host, parts in run.changes.items() if "backup_verify" in parts]
    if proving:
        hosts = ", ".join(proving)
        steps.insert(
            0, f"prove the backups before the next weekly proof: systemctl start vise-backup-verify, on {hosts}"
        )
    return steps


def align(rows: t.Sequence[t.Sequence[str]]) -> list[str]:
    """Return rows with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
