# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the status of all hosts as a table, and as one document for scripts. Pure."""

from __future__ import annotations

import re
import typing as t

from .services import format_age

Data = t.Mapping[str, t.Any]
HEADER = ("service", "state", "version", "certificate", "backup", "proven", "replication")
PLAYBOOK = re.compile(r"\brun (vise\.platform\.\w+)")
EMPTY = "-"


def build_document(results: t.Mapping[str, Data], failures: t.Mapping[str, str], run: str) -> dict[str, t.Any]:
    """Return the status of all hosts.

    Args:
        results: what the module returned, by host.
        failures: why a host has no result.
        run: the beginning of a command that runs a playbook.
    """
    hosts: dict[str, t.Any] = {}
    for host, result in results.items():
        if host in failures:
            hosts[host] = {"reachable": False, "problem": failures[host], "services": [], "findings": []}
            continue
        status = result["status"]
        findings = [{**one, "remedy": complete_command(one["remedy"], host, run)} for one in status["findings"]]
        hosts[host] = {"reachable": True, **status, "findings": findings}
    return {"ok": not list_attention(hosts), "attention": list_attention(hosts), "hosts": hosts}


def complete_command(remedy: str, host: str, run: str) -> str:
    """Return a remedy with the whole command of the playbook that it names."""

    def complete(found: re.Match[str]) -> str:
        # A runbook for one host has an option for it; the first line of its usage shows the option.
        stage = found[1].rpartition(".")[2] in ("site", "baseline", "data", "edge", "sites", "mail", "backups")
        return f"run: {run} {found[1]}{f' --limit {host}' if stage else ''}"

    return PLAYBOOK.sub(complete, remedy)


def list_attention(hosts: t.Mapping[str, Data]) -> list[dict[str, str]]:
    """Return all that needs attention, in the order of the hosts."""
    found = []
    for host, one in hosts.items():
        if not one["reachable"]:
            text = one["problem"]
            found.append(
                {
                    "host": host,
                    "service": "host",
                    "text": text,
                    "remedy": "correct the login, or look at power, network and firewall in the provider's console",
                }
            )
        found += [
            {"host": host, **{key: finding[key] for key in ("service", "text", "remedy")}}
            for finding in one["findings"]
            if not finding["note"]
        ]
    return found


def format_text(document: Data) -> str:
    """Return the tables of all hosts, then what needs attention, then notes."""
    lines: list[str] = []
    rows = {host: [format_row(row) for row in one["services"]] for host, one in document["hosts"].items()}
    widths = measure([HEADER, *(row for host_rows in rows.values() for row in host_rows)])
    for host, one in document["hosts"].items():
        lines += [describe_host(host, one)]
        if rows[host]:
            lines += [align(row, widths) for row in (HEADER, *rows[host])]
        lines.append("")
    notes = [
        {"host": host, **finding}
        for host, one in document["hosts"].items()
        for finding in one["findings"]
        if finding["note"]
    ]
    attention = document["attention"]
    lines += [f"Needs attention ({len(attention)}):" if attention else "Nothing needs attention."]
    lines += [line for one in attention for line in describe_finding(one)]
    if notes:
        lines += ["", "Notes:", *(line for one in notes for line in describe_finding(one))]
    return "\n".join(lines)


def describe_host(host: str, one: Data) -> str:
    """Return the line of a host."""
    if not one["reachable"]:
        return f"{host}: NOT REACHED"
    facts = one["host"]
    parts = [facts.get("system", "")]
    if "uptime_seconds" in facts:
        parts.append(f"up {format_age(facts['uptime_seconds'])}")
    updates = facts.get("updates")
    if updates is not None:
        parts.append(f"{updates['pending']} updates, {updates['security']} for security")
    if facts.get("reboot") is not None:
        parts.append("REBOOT REQUIRED" if facts["reboot"] else "no reboot required")
    parts += [f"{path} {percent} % used" for path, percent in facts.get("disks", {}).items()]
    return f"{host}: {' · '.join(filter(None, parts))}"


def format_row(row: Data) -> tuple[str, ...]:
    """Return the cells of a service."""
    days = row["certificate_days"]
    ages = [EMPTY if row[key] is None else f"{format_age(row[key])} ago" for key in ("backup_seconds", "proof_seconds")]
    certificate = EMPTY if days is None else f"{days} d"
    return (
        row["name"],
        row["state"] or EMPTY,
        row["version"] or EMPTY,
        certificate,
        *ages,
        row["replication"] or EMPTY,
    )


def measure(rows: t.Iterable[t.Sequence[str]]) -> list[int]:
    """Return the width of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def align(row: t.Sequence[str], widths: t.Sequence[int]) -> str:
    """Return a row with aligned cells."""
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return f"  {'  '.join(cells)}".rstrip()


def describe_finding(one: Data) -> list[str]:
    """Return a finding and its remedy as lines."""
    return [f"- {one['host']}, {one['service']}: {one['text']}", f"    {one['remedy']}"]
