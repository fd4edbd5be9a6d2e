# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Join all that is known before a run into one list, and walk the steps of the initial set-up. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .host_status.services import base_name

OK, PROBLEM, UNKNOWN, NOTE = "ok", "problem", "unknown", "note"
DONE, MISSING, LOOK = "done", "missing", "look"
TITLES = ((PROBLEM, "Problems"), (UNKNOWN, "Not checkable"), (NOTE, "Notes"), (OK, "ok"))
SHOWN = 4  # missing records in one text
UNFINISHED = ("missing", "incomplete", "unfinished")

Data = t.Mapping[str, t.Any]


class Item(t.NamedTuple):
    """The result of one check."""

    area: str
    state: str
    text: str
    remedy: str = ""


class Step(t.NamedTuple):
    """A step of the initial set-up."""

    title: str
    state: str
    text: str = ""


def list_description(lines: t.Sequence[str], reached: bool) -> list[Item]:
    """Return the problems that preflight found; each line has its remedy.

    Args:
        lines: the lines of its report.
        reached: whether it ran on any host.
    """
    items = [Item("preflight", PROBLEM, line) for line in lines]
    if items or not reached:
        return items
    return [Item("preflight", OK, "description, inventory, secrets, logins, sudo, disk, memory and release are valid")]


def list_host_checks(results: t.Mapping[str, Data]) -> list[Item]:
    """Return the checks of all hosts, each once with its hosts."""
    hosts: dict[tuple[str, str, str, str], list[str]] = {}
    for host, result in results.items():
        for one in result.get("checks") or ():
            key = (one["area"], one["state"], one["text"], one["remedy"])
            hosts.setdefault(key, []).append(host)
    return [
        Item(area, state, f"{', '.join(names)}: {text}", remedy) for (area, state, text, remedy), names in hosts.items()
    ]


def list_failed_checks(results: t.Mapping[str, Data]) -> list[Item]:
    """Return the hosts that were reached and whose checks did not run."""
    return [
        Item("host", UNKNOWN, f"{host}: its checks did not run: {shorten(result.get('msg'))}", "correct the cause")
        for host, result in results.items()
        if "checks" not in result and not result.get("unreachable") and not result.get("skipped")
    ]


def list_zones(results: t.Iterable[Data], has_token: bool) -> list[Item]:
    """Return what Cloudflare answered for each zone."""
    if not has_token:
        text = "there is no token (vault_cloudflare_token): the DNS is managed elsewhere"
        return [
            Item("Cloudflare", NOTE, text, "create the records by hand, or create a token and store it in the vault")
        ]
    items = []
    for one in results:
        zone = one.get("item")
        warnings = [str(text) for text in one.get("warnings") or ()]
        if one.get("failed") or one.get("msg"):
            items.append(Item("Cloudflare", PROBLEM, shorten(one.get("msg")), "correct the token or the zone"))
        elif not warnings:
            items.append(Item("Cloudflare", OK, f"{zone}: the token has the permissions, and the zone is active"))
        items += [Item("Cloudflare", PROBLEM, text, "set the name servers at the registrar") for text in warnings]
    return items


def list_names(result: Data, has_token: bool) -> list[Item]:
    """Return whether the name servers of the zones answer, and with the wanted records."""
    text = str(result.get("msg") or "").strip()
    if not result or result.get("skipped"):
        return [Item("DNS", NOTE, "the description has no zone")]
    if not (result.get("failed") or text):
        return [Item("DNS", OK, "all name servers answer with the wanted records")]
    lines = text.splitlines()
    if lines and lines[0].startswith("missing answers"):
        more = f"; and {len(lines) - SHOWN - 1} more" if len(lines) > SHOWN + 1 else ""
        missing = f"records are missing: {'; '.join(lines[1 : SHOWN + 1])}{more}"
        if has_token:
            return [
                Item(
                    "DNS",
                    NOTE,
                    missing,
                    "site.yml publishes them in its stage dns; names with http-01 are needed before",
                )
            ]
        return [Item("DNS", PROBLEM, missing, "create them at the provider of the DNS")]
    if "no route" in text:
        return [Item("DNS", UNKNOWN, shorten(text), "query the name servers from another network")]
    if "cannot be resolved" in text or "no addresses" in text:
        return [Item("DNS", PROBLEM, shorten(text), "register the domain, and set its name servers at the registrar")]
    return [Item("DNS", UNKNOWN, shorten(text), "correct the cause, and run this again")]


def shorten(text: t.Any) -> str:
    """Return a text in one line of limited length."""
    line = " ".join(str(text or "no message").split())
    return line if len(line) <= 500 else f"{line[:497]}..."


# ---- the initial set-up ----


@dataclasses.dataclass(frozen=True)
class SetUp:
    """What the steps of the initial set-up are judged by."""

    items: t.Sequence[Item]
    hosts: t.Sequence[str]
    unreached: t.Sequence[str]
    statuses: t.Mapping[str, Data]
    has_token: bool
    has_workflows: bool
    run: str

    def worst(self, area: str) -> str:
        """Return the worst state of an area."""
        states = [item.state for item in self.items if item.area == area]
        return next((state for state in (PROBLEM, UNKNOWN, NOTE, OK) if state in states), UNKNOWN)

    def rows(self, *names: str) -> list[tuple[str, Data]]:
        """Return the rows of services, with their hosts."""
        return [
            (host, row)
            for host, status in self.statuses.items()
            for row in status.get("services", ())
            if base_name(row["name"]) in names
        ]

    def command(self, playbook: str) -> str:
        """Return the command of a playbook of the collection."""
        return f"{self.run} vise.platform.{playbook}"


def walk_set_up(state: SetUp) -> list[Step]:
    """Return the steps of the initial set-up, in their order."""
    return [
        judge_domain(state),
        judge_cloudflare(state),
        judge_servers(state),
        judge_everywhere(state, "Configure the firewall", "firewall"),
        judge_everywhere(state, "Set up SSH keys and accounts", "ssh"),
        judge_service(state, "Install Docker", ("docker",), "edge"),
        Step("Clone the repository", DONE, "this run uses it"),
        judge_variables(state),
        judge_certificates(state),
        judge_service(state, "Deploy nginx", ("nginx",), "edge"),
        judge_service(state, "Deploy databases and caches", ("postgresql", "pgbouncer", "redis"), "data"),
        judge_service(state, "Deploy mail", ("mailcow",), "mail"),
        Step("Deploy applications", LOOK, f"sites: {state.command('sites')}; applications deploy themselves"),
        Step("Set up monitoring", LOOK, "collect the metrics in /var/lib/prometheus/node-exporter of each host"),
        judge_backups(state),
        judge_pipelines(state),
        Step("Run the smoke tests", LOOK, state.command("smoke")),
        Step(
            "Store the credentials",
            LOOK,
            "outside of the platform: password of the vault, passphrases of the backups, credentials of the storage",
        ),
        Step("Know the runbooks", DONE, "restores, upgrades, failover, rotation: the manual describes each"),
    ]


def judge_domain(state: SetUp) -> Step:
    """Judge whether the domain is delegated."""
    title, found = "Register the domain", state.worst("DNS")
    registered = [item for item in state.items if item.area == "DNS" and "records are missing" in item.text]
    if found in (OK, NOTE) or registered:
        return Step(title, DONE)
    return Step(title, MISSING if found == PROBLEM else LOOK, "the name servers of the zone, see DNS above")


def judge_cloudflare(state: SetUp) -> Step:
    """Judge whether Cloudflare or another provider has the zone."""
    title, found = "Set up Cloudflare and the DNS", state.worst("Cloudflare")
    if not state.has_token:
        return Step(title, LOOK, f"the records, listed by: {state.command('publish_dns')} --check, at your provider")
    return Step(title, DONE) if found == OK else Step(title, MISSING, "see Cloudflare above")


def judge_servers(state: SetUp) -> Step:
    """Judge whether all servers exist and accept the login."""
    if state.unreached:
        return Step("Provision the servers", MISSING, f"not reached: {', '.join(state.unreached)}; see preflight above")
    return Step("Provision the servers", DONE, f"{len(state.hosts)} reached")


def judge_everywhere(state: SetUp, title: str, name: str) -> Step:
    """Judge whether each host has a service that belongs to all hosts."""
    complete = {host for host, row in state.rows(name) if row["state"] not in UNFINISHED}
    missing = [host for host in state.hosts if host not in complete]
    if missing:
        return Step(title, MISSING, f"{', '.join(missing)}: {state.command('baseline')}")
    return Step(title, DONE)


def judge_service(state: SetUp, title: str, names: t.Sequence[str], stage: str) -> Step:
    """Judge whether the hosts that need a service have it."""
    rows = state.rows(*names)
    missing = sorted({host for host, row in rows if row["state"] in UNFINISHED})
    if missing:
        return Step(title, MISSING, f"{', '.join(missing)}: {state.command(stage)}")
    if not rows:
        text = "the description does not need it" if state.statuses else "no host was reached"
        return Step(title, DONE if state.statuses else LOOK, text)
    return Step(title, DONE, ", ".join(dict.fromkeys(host for host, _row in rows)))


def judge_variables(state: SetUp) -> Step:
    """Judge whether the description and its secrets are complete."""
    count = sum(item.area == "preflight" and item.state == PROBLEM for item in state.items)
    if count:
        return Step("Configure variables and secrets", MISSING, f"{count} problems of preflight, see above")
    return Step("Configure variables and secrets", DONE)


def judge_certificates(state: SetUp) -> Step:
    """Judge whether nginx presents certificates of an authority."""
    title, rows = "Issue the certificates", state.rows("nginx")
    findings = [
        host
        for host, status in state.statuses.items()
        for one in status.get("findings", ())
        if one["service"] == "nginx" and "certificate" in one["text"]
    ]
    without = [host for host, row in rows if row["certificate_days"] is None]
    if missing := sorted({*findings, *without}):
        return Step(title, MISSING, f"{', '.join(missing)}: {state.command('edge')}")
    return Step(title, DONE if rows or state.statuses else LOOK, "" if rows else "no site needs one")


def judge_backups(state: SetUp) -> Step:
    """Judge whether there are backups and whether they are proven."""
    title = "Set up the backups"
    rows = [(host, row) for host, status in state.statuses.items() for row in status.get("services", ())]
    if not any(row["backup_seconds"] is not None for _host, row in rows):
        return Step(title, MISSING, f"{state.command('data')}, then {state.command('backups')}")
    proven = any(row["proof_seconds"] is not None for _host, row in rows)
    return (
        Step(title, DONE)
        if proven
        else Step(title, MISSING, "no restore proof yet: systemctl start vise-backup-verify")
    )


def judge_pipelines(state: SetUp) -> Step:
    """Judge whether the repository has a workflow."""
    title = "Set up the pipelines"
    if state.has_workflows:
        return Step(title, DONE, ".github/workflows")
    return Step(
        title, LOOK, "this directory has no .github/workflows; run this check in the pipeline of the repository"
    )


# ---- the report ----


def build_document(items: t.Sequence[Item], steps: t.Sequence[Step]) -> dict[str, t.Any]:
    """Return the report for scripts."""
    return {
        "ok": not any(item.state == PROBLEM for item in items),
        "problems": sum(item.state == PROBLEM for item in items),
        "checks": [item._asdict() for item in items],
        "set_up": [step._asdict() for step in steps],
    }


def format_text(items: t.Sequence[Item], steps: t.Sequence[Step]) -> str:
    """Return the report for people: problems first, the steps of the set-up last."""
    counts = {state: sum(item.state == state for item in items) for state, _title in TITLES}
    lines = [f"CHECK: {counts[PROBLEM]} problems, {counts[UNKNOWN]} not checkable, {counts[OK]} ok"]
    for state, title in TITLES:
        found = [item for item in items if item.state == state]
        lines += ["", f"{title}:"] if found else []
        for item in found:
            lines.append(f"- {item.area}: {item.text}")
            lines += [f"    {item.remedy}"] if item.remedy else []
    width = max(len(step.title) for step in steps)
    lines += ["", "Initial set-up:"]
    lines += [f"  {step.state.ljust(7)}  {step.title.ljust(width)}  {step.text}".rstrip() for step in steps]
    return "\n".join(lines)
