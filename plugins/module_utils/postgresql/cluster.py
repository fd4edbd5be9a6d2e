# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State of a PostgreSQL cluster on a host, and the plans for changing it: values and pure functions without I/O."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

# The module creates the cluster, because the cluster of a standby is a copy of the primary's.
CREATECLUSTER = """\
# Managed by Ansible: changes made here are taken back
create_main_cluster = false
"""


class ClusterError(Exception):
    """An operation that is refused or failed; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class HostState:
    """State of one cluster on the host, as found by host.inspect_cluster."""

    installed: bool = True  # the server package of this version
    configured: bool = False  # Debian's configuration directory in /etc/postgresql exists
    data: str = "none"  # none | primary | standby | damaged
    system: str = ""  # system identifier; a primary and its standbys have the same one
    checksums: bool = True
    fence: str = ""  # reason why the cluster must not start, read from the fence file; empty: not fenced
    version: str = "17"
    rewinding: bool = False  # an interrupted pg_rewind left the data directory unusable
    others: tuple[str, ...] = ()  # other major versions that have data on this host and are not fenced


@dataclasses.dataclass(frozen=True)
class Upstream:
    """Answer of the server that is described as the primary; `system` is empty when it does not answer."""

    system: str = ""
    is_primary: bool = True


@dataclasses.dataclass(frozen=True)
class History:
    """History of a primary's WAL: its timeline, and the LSN at which it left each earlier timeline."""

    timeline: int
    ends: t.Mapping[int, str] = dataclasses.field(default_factory=dict)  # earlier timeline: LSN where it was left

    def includes(self, timeline: int, lsn: str) -> bool:
        """Return whether a copy of a timeline that is consistent from an LSN on can follow the primary."""
        if timeline == self.timeline:
            return True
        return timeline in self.ends and parse_lsn(lsn) <= parse_lsn(self.ends[timeline])


def parse_history(text: str) -> dict[int, str]:
    """Parse a timeline history file; return the LSN at which the primary left each earlier timeline for good.

    After two restores to earlier points, the second one may branch off before the first: then the lower LSN, of the
    later restore, counts for both timelines.
    """
    ends: dict[int, str] = {}
    lowest = ""
    for timeline, lsn in reversed(re.findall(r"(\d+)\t([0-9A-F]+/[0-9A-F]+)\t", text)):
        lowest = min(lowest or lsn, lsn, key=parse_lsn)
        ends[int(timeline)] = lowest
    return ends


def find_backup_end(listed: str, began: str) -> tuple[int, str]:
    """Return the timeline and the end LSN of a backup.

    `listed` is the JSON of `pgbackrest info`, `began` is START WAL LOCATION of the backup's label. A backup of another
    timeline may have started at the same LSN, therefore the name of the first WAL segment must match, too. Raise
    ClusterError when the list does not contain the backup.
    """
    start, _word, segment = began.removesuffix(")").partition(" (file ")
    for stanza in json.loads(listed):
        for backup in stanza["backup"]:
            if backup["archive"]["start"] == segment and parse_lsn(backup["lsn"]["start"]) == parse_lsn(start):
                return int(segment[:8], 16), backup["lsn"]["stop"]
    raise ClusterError(f"the list of backups has no backup that started at {began or 'an unknown position'}")


def count_commits(text: str) -> int | None:
    """Count the commits in the output of `pg_waldump --stats=record`; return None when it contains no statistics."""
    matches = re.findall(r"^Transaction/(\w+) +(\d+) ", text, re.MULTILINE)
    return sum(int(count) for name, count in matches if name.startswith("COMMIT")) if "Total" in text else None


def initdb_options(version: str) -> list[str]:
    """Return initdb's options for a major version."""
    # The builtin provider (since 17) keeps its sort order when libc is upgraded, so no index becomes corrupt.
    provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if int(version) >= 17 else []
    places = ["--encoding=UTF8", "--locale=C.UTF-8", *provider]
    return ["--data-checksums", *places, "--auth-local=peer", "--auth-host=reject"]


def plan_primary(current: HostState, upgrade_from: str = "") -> list[str]:
    """Return the steps that make the host's cluster a primary; raise ClusterError where it could be a second one."""
    if current.fence:
        raise ClusterError(
            f"this host is fenced: {current.fence}. If another host is the primary now, describe this one as a standby "
            "and run rebuild_standby.yml. If no other host was promoted, run unfence_primary.yml"
        )
    if current.data == "standby":
        raise ClusterError(
            "this host has a standby but is described as the primary: run promote_standby.yml to promote it, or "
            "describe it as a standby"
        )
    _refuse_damage(current)
    if current.data == "none" and current.configured:
        raise ClusterError(
            "the cluster is configured, but its data directory is empty or missing: restore the data "
            "(a mount, or restore_database.yml), or remove the cluster with pg_dropcluster"
        )
    if current.data == "primary" and not current.checksums:
        raise ClusterError("the cluster has no data checksums: stop it and run pg_checksums --enable")
    _refuse_other_versions(current, upgrade_from)
    return ["create the cluster"] if current.data == "none" else _configuration_steps(current)


def plan_standby(current: HostState, upstream: Upstream, rebuild: bool) -> list[str]:
    """Return the steps that make the host's cluster a standby; raise ClusterError unless `rebuild` allows data loss."""
    if upstream.system and not upstream.is_primary:
        raise ClusterError("the server that is described as the primary is itself a standby")
    same = not upstream.system or current.system == upstream.system
    if current.data == "standby" and same and not rebuild:
        return [*_configuration_steps(current), *(["remove the fence"] if current.fence else [])]
    if current.data != "none" and not rebuild:
        _refuse_damage(current)
        raise ClusterError(
            f"the data directory contains the data of a {current.data} (system {current.system}), which a copy of the "
            "primary would replace: run rebuild_standby.yml to replace it"
        )
    if not upstream.system:
        raise ClusterError("the primary does not answer, so there is nothing to copy")
    _refuse_other_versions(current)
    return [_data_step(current, same), *_configuration_steps(current), *(["remove the fence"] if current.fence else [])]


def plan_unfence(current: HostState, active: bool) -> list[str]:
    """Return the steps that put a fenced primary back into service; raise ClusterError where it was replaced."""
    if current.data != "primary":
        raise ClusterError("this host has no data of a primary: run rebuild_standby.yml to make it a standby")
    if current.others:
        raise ClusterError(f"PostgreSQL {current.others[0]} replaced it on this host: see upgrade_postgresql.yml")
    return [*(["remove the fence"] if current.fence else []), *([] if active else ["start the primary"])]


def _data_step(current: HostState, same: bool) -> str:
    """Return the step that gets a standby's data; pg_rewind 15 finds nothing to do directly after a promotion."""
    rewinds = (
        current.data == "primary"
        and same
        and current.checksums
        and not current.rewinding
        and int(current.version) >= 16
    )
    return "rewind to the primary" if rewinds else "copy the primary"


def _configuration_steps(current: HostState) -> list[str]:
    return [] if current.configured else ["configure the cluster"]


def _refuse_other_versions(current: HostState, upgrade_from: str = "") -> None:
    others = [version for version in current.others if version != upgrade_from]
    if current.data == "none" and others:
        raise ClusterError(
            f"this host has data of PostgreSQL {others[0]}, and a new cluster of {current.version} would be empty: run "
            f"upgrade_postgresql.yml, or describe the version as {others[0]}"
        )


def _refuse_damage(current: HostState) -> None:
    if current.data == "damaged":
        raise ClusterError("the data directory is not empty, but pg_controldata cannot read a cluster in it")


def count_missing_bytes(fenced_at: str, received: str) -> int | None:
    """Return how many bytes of the old primary's WAL the standby lacks; None when the end of that WAL is unknown."""
    if not fenced_at:
        return None
    return max(0, parse_lsn(fenced_at) - parse_lsn(received))


def parse_lsn(lsn: str) -> int:
    """Return an LSN such as 0/3000148 as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def find_last_lsn(text: str) -> str:
    """Return the last LSN in pg_waldump's error message about the end of the WAL; empty when there is none."""
    matches = re.findall(r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b", text)
    return matches[-1] if matches else ""


def build_conninfo(primary: t.Mapping[str, t.Any]) -> str:
    """Return the connection string for the primary, without the password."""
    fields = {
        "host": primary["host"],
        "port": primary["port"],
        "user": primary["user"],
        "application_name": primary["slot"],
        "sslmode": "verify-full",
        "sslrootcert": primary["ca_file"],
        "connect_timeout": 5,
    }
    return " ".join(f"{key}='{value}'" for key, value in fields.items())


@dataclasses.dataclass(frozen=True)
class Standby:
    """State of a running standby, and the address of its primary."""

    host: str  # of the primary
    port: int  # of the primary
    received: str  # LSN up to which it has the primary's WAL
    seconds: int | None  # since the last commit that was replayed; None when there was none


def parse_primary_conninfo(conninfo_text: str) -> tuple[str, int]:
    """Return the host and the port in a standby's primary_conninfo."""
    fields = dict(word.split("=", 1) for word in conninfo_text.split() if "=" in word)
    return fields.get("host", ""), int(fields.get("port", "5432"))


def refusal_to_promote(
    standby: Standby, answers: bool, fenced_at: str, gone: bool, lost_bytes: int | None, accepted: int
) -> str:
    """Return why the standby must not be promoted; empty when it may be."""
    if answers:
        return (
            f"the old primary still answers at {standby.host} port {standby.port}: fence it first, by running "
            "promote_standby.yml without promote_old_primary_gone"
        )
    if not fenced_at and not gone:
        return (
            "the old primary was not fenced: its host must be reachable, or it must be gone and stay off; then run "
            "promote_standby.yml -e promote_old_primary_gone=HOST"
        )
    if lost_bytes is not None and lost_bytes > accepted:
        return (
            f"the old primary has {lost_bytes} bytes of WAL that this standby lacks: its WAL ends at {fenced_at}, the "
            f"standby has received up to {standby.received}. To accept this loss, run promote_standby.yml "
            f"-e promote_accept_lost_bytes={lost_bytes}. To keep the fenced old primary, run unfence_primary.yml"
        )
    return ""
