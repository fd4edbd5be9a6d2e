# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host holds of a PostgreSQL cluster, and what may be done to it: values and pure functions."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

# The role makes the cluster: a standby's is a copy of the primary's.
CREATECLUSTER = """\
# Managed by Ansible: changes made here are taken back
create_main_cluster = false
"""


class ClusterError(Exception):
    """Something that must not or cannot be done, in words for the operator."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a host holds of a cluster."""

    installed: bool = True
    configured: bool = False  # Debian's directory below /etc/postgresql is there
    data: str = "none"  # none | primary | standby | damaged
    system: str = ""  # the system identifier, the same in a primary and its standbys
    checksums: bool = True
    fence: str = ""  # why it must not run, as promote_standby.yml has noted it
    version: str = "17"
    rewinding: bool = False  # a rewind was cut off, and what it has left is good for nothing
    others: tuple[str, ...] = ()  # versions of which the host holds data that are not fenced


@dataclasses.dataclass(frozen=True)
class Upstream:
    """What the primary that a standby wants to follow says of itself; empty when it does not answer."""

    system: str = ""
    is_primary: bool = True


@dataclasses.dataclass(frozen=True)
class History:
    """Where a primary's WAL comes from: its timeline, and where each earlier one was left for the next."""

    timeline: int
    left: t.Mapping[int, str] = dataclasses.field(default_factory=dict)

    def includes(self, timeline: int, lsn: str) -> bool:
        """Whether a copy of that timeline, which is consistent from this position on, can follow the primary."""
        if timeline == self.timeline:
            return True
        return timeline in self.left and position(lsn) <= position(self.left[timeline])


def left(text: str) -> dict[int, str]:
    """Return from TIMELINE_HISTORY's answer where each earlier timeline was left for good.

    Whoever goes back twice leaves the second time before the first: the later, lower position counts for both.
    """
    ends: dict[int, str] = {}
    lowest = ""
    for timeline, lsn in reversed(re.findall(r"(\d+)\t([0-9A-F]+/[0-9A-F]+)\t", text)):
        lowest = min(lowest or lsn, lsn, key=position)
        ends[int(timeline)] = lowest
    return ends


def backup_end(listed: str, began: str) -> tuple[int, str]:
    """Return a backup's timeline and where it ended, from pgBackRest's list and START WAL LOCATION in its label.

    On another timeline one may have begun at the same position: the name of its first segment tells them apart. Raises
    ClusterError for a backup that is not in the list.
    """
    start, _word, segment = began.removesuffix(")").partition(" (file ")
    for stanza in json.loads(listed):
        for backup in stanza["backup"]:
            if backup["archive"]["start"] == segment and position(backup["lsn"]["start"]) == position(start):
                return int(segment[:8], 16), backup["lsn"]["stop"]
    raise ClusterError(f"no list of backups says where the one that began at {began or 'an unknown position'} ended")


def commits(text: str) -> int | None:
    """Return how many transactions pg_waldump's statistics name; None when they name nothing at all."""
    found = re.findall(r"^Transaction/(\w+) +(\d+) ", text, re.MULTILINE)
    return sum(int(count) for name, count in found if name.startswith("COMMIT")) if "Total" in text else None


def initdb_options(version: str) -> list[str]:
    """Return how a cluster of a version is made."""
    # The builtin provider, since 17: what sorts text does not change with the system's libc, and breaks no index.
    provider = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if int(version) >= 17 else []
    places = ["--encoding=UTF8", "--locale=C.UTF-8", *provider]
    return ["--data-checksums", *places, "--auth-local=peer", "--auth-host=reject"]


def control(text: str) -> dict[str, str]:
    """Return what pg_controldata has printed."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def plan_primary(found: Found, beside: str = "") -> list[str]:
    """Return what is to do so that the host holds a primary; raises where that would be a second one."""
    if found.fence:
        raise ClusterError(
            f"this host is fenced: {found.fence}. Where another one is the primary now, describe this one as a standby "
            "and run rebuild_standby.yml; where nobody took its place, unfence_primary.yml lets it serve again"
        )
    if found.data == "standby":
        raise ClusterError(
            "this host holds a standby and is described as the primary: promote_standby.yml makes it one, or "
            "describe it as a standby"
        )
    _refuse_damage(found)
    if found.data == "none" and found.configured:
        raise ClusterError(
            "the cluster is configured, but its data directory is empty or missing: bring the data back "
            "(a mount, or restore_database.yml), or remove the cluster with pg_dropcluster"
        )
    if found.data == "primary" and not found.checksums:
        raise ClusterError("the cluster has no data checksums: stop it and run pg_checksums --enable")
    _refuse_other_versions(found, beside)
    return ["create the cluster"] if found.data == "none" else _configuration(found)


def plan_standby(found: Found, upstream: Upstream, rebuild: bool) -> list[str]:
    """Return what is to do so that the host holds a standby; raises where a primary's data would be lost unasked."""
    if upstream.system and not upstream.is_primary:
        raise ClusterError("the server that is named as primary is a standby itself")
    same = not upstream.system or found.system == upstream.system
    if found.data == "standby" and same and not rebuild:
        return [*_configuration(found), *(["remove the fence"] if found.fence else [])]
    if found.data != "none" and not rebuild:
        _refuse_damage(found)
        raise ClusterError(
            f"the data directory holds a {found.data}'s data (system {found.system}), which the primary's copy would "
            "replace: rebuild_standby.yml does that"
        )
    if not upstream.system:
        raise ClusterError("there is nothing to copy from")
    _refuse_other_versions(found)
    return [_way(found, same), *_configuration(found), *(["remove the fence"] if found.fence else [])]


def plan_unfenced(found: Found, active: bool) -> list[str]:
    """Return what is to do so that a primary that was fenced serves again; raises where it has lost its place."""
    if found.data != "primary":
        raise ClusterError("this host holds no primary's data: rebuild_standby.yml makes a standby of it")
    if found.others:
        raise ClusterError(f"PostgreSQL {found.others[0]} took its place on this host: see upgrade_postgresql.yml")
    return [*(["remove the fence"] if found.fence else []), *([] if active else ["start the primary"])]


def _way(found: Found, same: bool) -> str:
    """Return how the data of a standby come about; 15 rewinds to nothing when its primary was promoted just now."""
    rewinds = found.data == "primary" and same and found.checksums and not found.rewinding and int(found.version) >= 16
    return "rewind to the primary" if rewinds else "copy the primary"


def _configuration(found: Found) -> list[str]:
    return [] if found.configured else ["configure the cluster"]


def _refuse_other_versions(found: Found, beside: str = "") -> None:
    others = [version for version in found.others if version != beside]
    if found.data == "none" and others:
        raise ClusterError(
            f"this host holds data of PostgreSQL {others[0]}, and {found.version} would begin empty beside them: run "
            f"upgrade_postgresql.yml, or describe the version as {others[0]}"
        )


def _refuse_damage(found: Found) -> None:
    if found.data == "damaged":
        raise ClusterError("the data directory is not empty and holds no cluster that pg_controldata can read")


def lost(fenced_at: str, received: str) -> int | None:
    """Return how many bytes of WAL the standby lacks; None when the old primary's last position is not known."""
    if not fenced_at:
        return None
    return max(0, position(fenced_at) - position(received))


def position(lsn: str) -> int:
    """Return a log sequence number as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def last_position(text: str) -> str:
    """Return the last log sequence number that pg_waldump's complaint about the end of WAL names."""
    found = re.findall(r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b", text)
    return found[-1] if found else ""


def conninfo(primary: t.Mapping[str, t.Any]) -> str:
    """Return the connection to the primary without its password."""
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
    """What a running standby says of itself and of whom it follows."""

    host: str
    port: int
    received: str  # how far it has the primary's WAL
    seconds: int | None  # since the last commit that it has; None when it has seen none


def followed(conninfo_text: str) -> tuple[str, int]:
    """Return host and port that a standby's primary_conninfo names."""
    fields = dict(word.split("=", 1) for word in conninfo_text.split() if "=" in word)
    return fields.get("host", ""), int(fields.get("port", "5432"))


def refusal_to_promote(
    standby: Standby, answers: bool, fenced_at: str, gone: bool, lost_bytes: int | None, accepted: int
) -> str:
    """Return why the standby must not be promoted, or nothing."""
    if answers:
        return (
            f"the old primary still answers at {standby.host} port {standby.port}: fence it first, by "
            "promote_standby.yml without promote_old_primary_gone"
        )
    if not fenced_at and not gone:
        return (
            "the old primary was not fenced: its host must be reachable, or be gone and stay away, which "
            "promote_standby.yml -e promote_old_primary_gone=HOST says"
        )
    if lost_bytes is not None and lost_bytes > accepted:
        return (
            f"the old primary has {lost_bytes} bytes of WAL that this standby lacks: it ends at {fenced_at}, here "
            f"it is known up to {standby.received}. promote_standby.yml -e promote_accept_lost_bytes={lost_bytes} "
            "accepts that loss; where the old primary is fenced, unfence_primary.yml lets it serve again"
        )
    return ""
