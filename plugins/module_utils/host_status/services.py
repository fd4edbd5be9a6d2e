# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge the state of a host: a row for each service, and what needs attention with the command for it. Pure.

In a remedy, `vise.platform.NAME` is the playbook of that name; the controller completes the command.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..host import metrics

HOUR, DAY = 3600, 86400
DISK_LIMIT = 90  # percent
# What each component is: its package, the units before its first complete run, and whether a row shows it.
PACKAGES = {
    "ssh": "openssh-server",
    "firewall": "ufw",
    "docker": "docker.io",
    "certificates": "certbot",
    "nginx": "nginx",
    "pgbouncer": "pgbouncer",
    "pgbackrest": "pgbackrest",
    "redis": "redis-server",
    "restic": "restic",
}
UNITS = {
    "ssh": "ssh.service",
    "firewall": "ufw.service",
    "docker": "docker.service",
    "nginx": "nginx.service",
    "pgbouncer": "pgbouncer.service",
    "redis": "redis-server.service",
}
# The components of functions; a host that has one without the function has left it.
FUNCTIONS = ("certificates", "docker", "mailcow", "nginx", "pgbackrest", "pgbouncer", "postgresql", "redis")
# The stage of site.yml that applies a component
STAGES = {
    "docker": "edge",
    "nginx": "edge",
    "certificates": "edge",
    "mailcow": "mail",
    "postgresql": "data",
    "pgbouncer": "data",
    "pgbackrest": "data",
    "redis": "data",
    "restic": "backups",
    "backup_verify": "backups",
}
# The labels of metrics, by service: where its backups are, and by which tool they are proven.
FILE_KINDS = {"redis": "redis", "mailcow": "mail"}
PROOFS = {"pgbackrest": "postgresql", "pgbackrest-yearly": "postgresql", "restic": "restic", "redis": "redis"}

Data = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """When the age of something needs attention."""

    backup_hours: int = 36
    proof_days: int = 9
    certificate_days: int = 14
    lag_seconds: int = 300
    lag_megabytes: int = 256


@dataclasses.dataclass
class Row:
    """A service of the host; a value that does not apply is empty."""

    name: str
    state: str = ""
    version: str = ""
    certificate_days: int | None = None
    backup_seconds: int | None = None
    proof_seconds: int | None = None
    replication: str = ""


class Status:
    """What the evaluation has found until now."""

    def __init__(self, facts: Data, limits: Limits) -> None:
        self.facts = facts
        self.limits = limits
        self.now = int(facts.get("now", 0))
        self.rows: dict[str, Row] = {}
        self.findings: list[Data] = []
        self.down: set[str] = set()  # services with a unit that does not run: what follows from it is not reported

    def report(self, service: str, text: str, remedy: str, *, note: bool = False) -> None:
        """Add what needs attention; a note is only information."""
        finding = {"service": service, "text": " ".join(text.split()), "remedy": remedy, "note": note}
        if finding not in self.findings:
            self.findings.append(finding)

    def row(self, name: str) -> Row:
        """Return the row of a service, which is added if it is new."""
        return self.rows.setdefault(name, Row(name))


def evaluate(facts: Data, errors: t.Mapping[str, str], expected: t.Sequence[str], limits: Limits) -> Data:
    """Return the rows of a host and its findings.

    Args:
        facts: what the readers found, by their names.
        errors: the error of each reader that failed.
        expected: the components that the description wants on this host.
        limits: the limits of ages.
    """
    status = Status(facts, limits)
    for judge in (
        judge_components,
        judge_units,
        judge_containers,
        judge_certificates,
        judge_replication,
        judge_database_backups,
        judge_file_backups,
        judge_proofs,
        judge_leftovers,
        judge_differences,
        judge_host,
    ):
        judge(status, expected)
    for name, error in errors.items():
        status.report(
            "host", f"{name} could not be read: {error}", "correct the cause on the host, then run this again"
        )
    rows = [dataclasses.asdict(row) for row in status.rows.values()]
    return {"host": summarize_host(facts), "services": rows, "findings": status.findings}


def base_name(component: str) -> str:
    """Return the name without the version: one component of PostgreSQL for each version."""
    return re.sub(r"-\d+$", "", component)


def run_stage(component: str) -> str:
    """Return the command that applies a component again."""
    return f"run vise.platform.{STAGES.get(base_name(component), 'baseline')}"


def judge_components(status: Status, expected: t.Sequence[str]) -> None:
    """Judge which components are there, which are unfinished, and which are missing or left."""
    found: dict[str, Data] = status.facts.get("components", {})
    versions: dict[str, str] = status.facts.get("versions", {})
    for name, component in found.items():
        if name in UNITS or component["units"] or base_name(name) in FUNCTIONS:
            status.row(name).version = clean_version(versions.get(PACKAGES.get(name, name), ""))
        judge_completeness(status, name, component)
    present = {base_name(name) for name in found}
    for name in expected:
        if name in FUNCTIONS and name not in present:
            status.row(name).state = "missing"
            status.report(name, "the description has it for this host, and no run has installed it", run_stage(name))
    # Without the expected ones, the description could not be read.
    for name in (one for one in found if expected and base_name(one) in FUNCTIONS):
        if base_name(name) not in expected:
            text = "the host still has it, and the description has no such function for this host"
            status.report(
                name,
                text,
                "remove it by the playbook retire_function.yml, or put the host back into the group",
                note=True,
            )


def judge_completeness(status: Status, name: str, component: Data) -> None:
    """Judge whether the last run of a component has ended."""
    if component["busy"]:
        status.report(name, "a run changes it at this moment", "wait for its end", note=True)
    elif component["pending"]:
        set_state(status, name, "unfinished")
        status.report(name, "a killed run left a change unfinished", run_stage(name))
    elif not component["complete"]:
        set_state(status, name, "incomplete")
        status.report(name, "no run has completed it", run_stage(name))


def set_state(status: Status, name: str, state: str) -> None:
    """Set the state of a service that has a row; the first bad state is kept."""
    if name in status.rows and status.rows[name].state in ("", "running", "scheduled"):
        status.rows[name].state = state


def clean_version(version: str) -> str:
    """Return the version of a package without epoch and revision of Debian."""
    return re.sub(r"[-+~][^-]*$", "", version.partition(":")[2] or version) if version else ""


def judge_units(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the units of each component, and the failed units of others."""
    units: dict[str, dict[str, str]] = status.facts.get("units", {})
    judged: set[str] = set()
    for name, row in status.rows.items():
        component = status.facts.get("components", {}).get(name)
        if component is None:
            continue
        wanted = component["units"] or ([UNITS[name]] if name in UNITS else [])
        known = {unit: units[unit] for unit in wanted if unit in units}
        judged |= known.keys()
        down = {unit: one for unit, one in known.items() if one.get("ActiveState") != "active"}
        for unit, one in down.items():
            text = f"{unit} is {describe_unit(one)}"
            status.report(name, text, f"on the host: journalctl -u {unit} -n 50; then systemctl start {unit}")
        if down:
            status.down.add(name)
            set_state(status, name, next(iter(down.values())).get("ActiveState", "unknown"))
        elif known and not row.state:
            row.state = "scheduled" if all(unit.endswith(".timer") for unit in known) else "running"
    for unit in status.facts.get("failed_units", ()):
        if unit not in judged:
            remedy = f"on the host: journalctl -u {unit} -n 50; then systemctl restart {unit}"
            status.report(find_owner(unit), f"{unit} has failed", remedy)


def describe_unit(unit: t.Mapping[str, str]) -> str:
    """Return the state of a unit in words."""
    state = unit.get("ActiveState", "unknown")
    if unit.get("LoadState") not in (None, "", "loaded"):
        return f"{state} ({unit['LoadState']})"
    result = unit.get("Result", "")
    return f"{state} ({result})" if result not in ("", "success") else state


def find_owner(unit: str) -> str:
    """Return the service that a unit belongs to."""
    for part, name in (
        ("backup-verify", "backup_verify"),
        ("backup-marker", "backup_verify"),
        ("archive-queue", "pgbackrest"),
        ("restic", "restic"),
        ("pgbackrest", "pgbackrest"),
        ("certificates", "certificates"),
    ):
        if part in unit:
            return name
    return "host"


def judge_containers(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the containers of mailcow."""
    containers = status.facts.get("containers")
    if containers is None or "mailcow" not in status.rows:
        return
    bad = [one for one in containers if one["state"] != "running" or "unhealthy" in one["status"]]
    names = ", ".join(f"{one['name']} ({one['status'] or one['state']})" for one in bad)
    row = status.row("mailcow")
    if not containers:
        row.state = "stopped"
        status.report("mailcow", "none of its containers exists", "run vise.platform.mail")
    elif bad:
        row.state = f"{len(bad)}/{len(containers)} down"
        status.report("mailcow", f"containers are not healthy: {names}", "on the host: docker logs --tail 50 CONTAINER")
    else:
        row.state = "running"
    row.version = status.facts.get("mailcow_version", "")


def find_unit(component: str) -> str:
    """Return the main unit of a component."""
    if base_name(component) == "postgresql":
        return f"{component.replace('-', '@', 1)}-main.service"
    return UNITS.get(component, f"{component}.service")


def judge_certificates(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the certificates that services really present."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for one in status.facts.get("certificates", ()):
        name = one["service"]
        row = status.row(name)
        if "error" in one and name in status.down:
            continue
        if "error" in one:
            set_state(status, name, "no answer")
            remedy = f"on the host: systemctl status {find_unit(name)}; then {run_stage(name)}"
            places.setdefault((name, f"no certificate at {{}}: {one['error']}", remedy), []).append(one["place"])
            continue
        days = (one["end"] - status.now) // DAY
        row.certificate_days = days if row.certificate_days is None else min(days, row.certificate_days)
        if one["self_signed"]:
            text = "a placeholder, no certificate of an authority, is presented at {}"
            places.setdefault((name, text, run_stage(name)), []).append(one["place"])
        elif days < status.limits.certificate_days:
            text = f"the certificate at {{}} {'has expired' if days < 0 else f'expires in {days} days'}"
            remedy = "on the host: journalctl -u vise-certificates -n 50; then run vise.platform.edge"
            remedy = remedy if name == "nginx" else "run vise.platform.baseline"
            places.setdefault((name, text, remedy), []).append(one["place"])
    # A service with many sites has one line for each cause.
    for (name, text, remedy), found in places.items():
        status.report(name, text.replace("{}", shorten_list(found)), remedy)


def shorten_list(names: t.Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name if len(name) <= 60 else f"{name[:57]}..." for name in names[:3]) + more


def judge_replication(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the role of each server of PostgreSQL and how far its standbys are behind."""
    for name, one in status.facts.get("replication", {}).items():
        row = status.row(name)
        if one["fenced"]:
            row.state, row.replication = "fenced", "fenced"
            remedy = "run vise.platform.rebuild_standby, or vise.platform.unfence_primary if it is the only server"
            status.report(name, "the server is fenced after a promotion and must not start", remedy)
            continue
        if "error" in one and name in status.down:
            continue
        if "error" in one:
            set_state(status, name, "no answer")
            text = f"PostgreSQL does not answer: {one['error']}"
            status.report(name, text, f"on the host: journalctl -u {find_unit(name)} -n 50")
            continue
        row.version = one["version"]
        row.replication = describe_replication(one)
        judge_standby(status, name, one)
        if one["standby"] != one["wanted_standby"]:
            roles = ("primary", "standby")
            text = f"it is {roles[one['standby']]}, and the last run configured {roles[one['wanted_standby']]}"
            status.report(name, text, "correct the groups database and database_standby in the inventory")
        if one["read_only"]:
            text = "the cluster is read-only, because WAL waits for the backup repository"
            status.report(
                name, text, "on the host: journalctl -u vise-archive-queue -n 20; pgbackrest --stanza=main check"
            )
        for slot in one["lost_slots"]:
            text = f"no standby uses the replication slot {slot}, so that WAL is kept for it"
            status.report(name, text, "start the standby, or run vise.platform.rebuild_standby for it")


def judge_standby(status: Status, name: str, one: Data) -> None:
    """Judge whether a standby receives WAL, and how far it or its followers are behind."""
    limits = status.limits
    if one["standby"] and not one["receives"]:
        text = "the standby does not receive WAL from the primary"
        status.report(name, text, "on the host: journalctl -u 'postgresql@*' -n 50; then run vise.platform.data")
    elif one["standby"] and (one["lag_seconds"] or 0) > limits.lag_seconds:
        text = f"the standby is {format_age(one['lag_seconds'])} behind"
        status.report(name, text, "on the host: journalctl -u 'postgresql@*' -n 50")
    for standby in one["standbys"]:
        behind = int(standby["lag_bytes"] or 0) // 2**20
        if standby["state"] != "streaming" or behind > limits.lag_megabytes:
            text = f"standby {standby['name']} is in state {standby['state']}, {behind} MiB behind"
            status.report(name, text, "look at the status of the standby's host")


def describe_replication(one: Data) -> str:
    """Return the role of a server and its lag in a few words."""
    if one["standby"]:
        return f"standby, {format_age(one['lag_seconds'] or 0)} behind" if one["receives"] else "standby, disconnected"
    if not one["standbys"]:
        return "primary"
    parts = [f"{standby['name']} {format_bytes(int(standby['lag_bytes'] or 0))}" for standby in one["standbys"]]
    return f"primary, {', '.join(parts)} behind"


def judge_database_backups(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the newest backup of PostgreSQL in each repository."""
    repositories = status.facts.get("repositories") or []
    if not repositories:
        return
    service = find_database(status)
    start = "on the host: systemctl start vise-pgbackrest@full"
    oldest: list[int] = []
    for one in repositories:
        name = f"repository {one['name']}"
        if "error" in one:
            text = f"{name} cannot be read: {one['error']}"
            status.report(service, text, "on the host: sudo -u postgres pgbackrest --stanza=main check")
        elif one["newest"] is None:
            status.report(service, f"{name} has no backup", start)
        else:
            age = status.now - one["newest"]
            oldest.append(age)
            if age > status.limits.backup_hours * HOUR:
                text = f"the last backup in {name} is {format_age(age)} old"
                status.report(service, text, "on the host: journalctl -u 'vise-pgbackrest@*' -n 50; " + start[13:])
    status.row(service).backup_seconds = max(oldest, default=None)


def find_database(status: Status) -> str:
    """Return the row of PostgreSQL."""
    return next((name for name in status.rows if base_name(name) == "postgresql"), "pgbackrest")


def judge_file_backups(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge the newest backup of each set of files in each repository."""
    found = select(status, "vise_backup_last_success_timestamp_seconds", "restic")
    newest = {(labels["kind"], labels["repository"]): int(value) for labels, value in found if is_backup(labels)}
    for kind, repository in status.facts.get("expected_files", ()):
        unit = f"restic-backup@{kind}:{repository}"
        service = next((name for name, own in FILE_KINDS.items() if own == kind and name in status.rows), "restic")
        seconds = newest.get((kind, repository))
        if seconds is None:
            text = f"the files {kind} have no backup in repository {repository}"
            status.report(service, text, f"on the host: systemctl start {unit}; journalctl -u {unit} -n 20")
            continue
        age = status.now - seconds
        if age > status.limits.backup_hours * HOUR:
            text = f"the last backup of the files {kind} in repository {repository} is {format_age(age)} old"
            status.report(service, text, f"on the host: journalctl -u {unit} -n 20; systemctl start {unit}")
        row = status.row(service)
        row.backup_seconds = max(age, row.backup_seconds or 0)
    for labels, value in select(status, "vise_backup_last_status", "restic"):
        if value:
            text = f"the last job of restic ({labels['kind']}, repository {labels['repository']}) has failed"
            status.report(
                "restic", text, "on the host: systemctl list-units --failed 'restic-*'; journalctl -u UNIT -n 20"
            )


def is_backup(labels: t.Mapping[str, str]) -> bool:
    """Return whether metrics are those of a backup, and not of a maintenance of the repository."""
    return labels["file"].startswith("vise_restic_backup_")


def judge_proofs(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge when each backup was last restored and read."""
    times = dict(index(select(status, "vise_restore_proof_timestamp_seconds")))
    start = "on the host: systemctl start vise-backup-verify; journalctl -u vise-backup-verify -n 20"
    never: dict[str, list[str]] = {}
    for (tool, repository), success in index(select(status, "vise_restore_proof_success")):
        service = PROOFS.get(tool, "restic")
        row = status.row(find_database(status) if service == "postgresql" else service)
        name = f"{repository} ({tool})"
        if not times.get((tool, repository)):
            never.setdefault(row.name, []).append(name)
            continue
        age = int(status.now - times[tool, repository])
        row.proof_seconds = max(age, row.proof_seconds or 0)
        if not success:
            text = f"the last restore proof of repository {name} failed; proven {format_age(age)} ago"
            status.report(row.name, text, start)
        elif age > status.limits.proof_days * DAY:
            status.report(row.name, f"the backup in repository {name} was proven {format_age(age)} ago", start)
    for service, names in never.items():
        text = f"no restore has proven the backup in repository {shorten_list(names)}"
        status.report(service, text, start)


def select(status: Status, metric: str, tool: str = "") -> list[tuple[t.Mapping[str, str], float]]:
    """Return labels and value of each sample of a metric."""
    samples: t.Iterable[metrics.Sample] = status.facts.get("samples", ())
    return [(labels, value) for name, labels, value in samples if name == metric and tool in ("", labels.get("tool"))]


def index(found: t.Iterable[tuple[t.Mapping[str, str], float]]) -> list[tuple[tuple[str, str], float]]:
    """Return the values by tool and repository."""
    return [((labels["tool"], labels["repository"]), value) for labels, value in found]


def judge_leftovers(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge what interrupted runs left."""
    is_busy = any(one["busy"] for one in status.facts.get("components", {}).values())
    for one in status.facts.get("leftovers", ()):
        if one.get("note"):
            remedy = "remove them when they are no longer needed"
            status.report("host", f"{one['path']}: {one['text']} that the platform replaced", remedy, note=True)
        else:
            remedy = one["remedy"]
            status.report("host", f"{one['path']}: {one['text']} is left of an interrupted run", remedy, note=is_busy)


def judge_differences(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge how components differ from their last successful run."""
    reported = {finding["service"] for finding in status.findings if not finding["note"]}
    for name, differences in status.facts.get("differences", {}).items():
        # What does not run differs too; the cause is reported already.
        if name not in reported:
            shown = "; ".join(" ".join(str(one).split())[:200] for one in differences[:3])
            more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
            text = f"it differs from its last run: {shown}{more}"
            status.report(name, text, f"{run_stage(name)} (first with --check --diff)")


def judge_host(status: Status, _expected: t.Sequence[str]) -> None:
    """Judge disks, updates and whether the host needs a reboot."""
    for path, percent in status.facts.get("host", {}).get("disks", {}).items():
        if percent >= DISK_LIMIT:
            status.report(
                "host", f"{percent} % of {path} is used", f"on the host: du -xh --max-depth=2 {path} | sort -h"
            )
    updates = status.facts.get("updates", {})
    if updates.get("security"):
        text = f"{updates['security']} security updates are not installed"
        remedy = "on the host: journalctl -u apt-daily-upgrade -n 50; systemctl start apt-daily-upgrade"
        # unattended-upgrades installs them in the next window.
        status.report("host", text, remedy, note=True)
    for reason in status.facts.get("reboot", ()):
        status.report(
            "host", f"a reboot is required: {reason}", "reboot it in a quiet hour: systemctl reboot", note=True
        )


def summarize_host(facts: Data) -> Data:
    """Return the facts of the host itself."""
    return {
        **facts.get("host", {}),
        "updates": facts.get("updates"),
        "reboot": facts.get("reboot"),
    }


def format_age(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "d"):
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def format_bytes(count: int) -> str:
    """Return a number of bytes in its largest unit."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} B"
