"""Plans for a cluster, and the operations that are refused because they could lose data or make a second primary."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError, HostState, Upstream

EMPTY = HostState()
PRIMARY = HostState(configured=True, data="primary", system="7")
STANDBY = HostState(configured=True, data="standby", system="7")
THE_PRIMARY = Upstream("7")


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (EMPTY, ["create the cluster"]),
        (HostState(installed=False), ["create the cluster"]),
        (PRIMARY, []),
        # State after a restore on a new host.
        (dataclasses.replace(PRIMARY, configured=False), ["configure the cluster"]),
    ],
)
def test_primary_is_created_only_when_missing(found: HostState, steps: list[str]) -> None:
    assert cluster.plan_primary(found) == steps


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (HostState(data="primary", fence="db-2 was promoted"), "fenced: db-2 was promoted"),
        (HostState(data="none", fence="db-2 was promoted"), "run unfence_primary.yml"),
        (STANDBY, "has a standby but is described as the primary"),
        (HostState(configured=True), "empty or missing"),
        (HostState(data="damaged"), "cannot read a cluster"),
        (HostState(configured=True, data="primary", checksums=False), "pg_checksums --enable"),
        (HostState(version="17", others=("15",)), "has data of PostgreSQL 15, and a new cluster of 17 would be empty"),
    ],
)
def test_unsuitable_host_is_refused_as_primary(found: HostState, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        cluster.plan_primary(found)


@pytest.mark.parametrize(
    ("found", "active", "steps"),
    [
        (PRIMARY, True, []),
        (PRIMARY, False, ["start the primary"]),
        (dataclasses.replace(PRIMARY, fence="it"), False, ["remove the fence", "start the primary"]),
    ],
)
def test_fenced_primary_is_put_back_into_service(found: HostState, active: bool, steps: list[str]) -> None:
    assert cluster.plan_unfence(found, active) == steps


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (dataclasses.replace(STANDBY, fence="it"), "run rebuild_standby.yml to make it a standby"),
        (HostState(data="none", fence="it"), "has no data of a primary"),
        (dataclasses.replace(PRIMARY, fence="it", others=("15",)), "PostgreSQL 15 replaced it on this host"),
    ],
)
def test_replaced_primary_stays_fenced(found: HostState, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        cluster.plan_unfence(found, False)


@pytest.mark.parametrize(
    ("found", "upstream", "rebuild", "steps"),
    [
        (EMPTY, THE_PRIMARY, False, ["copy the primary", "configure the cluster"]),
        (HostState(configured=True), THE_PRIMARY, False, ["copy the primary"]),
        (STANDBY, THE_PRIMARY, False, []),
        (STANDBY, Upstream(), False, []),
        (dataclasses.replace(STANDBY, fence="it"), THE_PRIMARY, False, ["remove the fence"]),
        (dataclasses.replace(STANDBY, configured=False), THE_PRIMARY, False, ["configure the cluster"]),
        (dataclasses.replace(PRIMARY, fence="it"), THE_PRIMARY, True, ["rewind to the primary", "remove the fence"]),
        (PRIMARY, THE_PRIMARY, True, ["rewind to the primary"]),
        # pg_rewind is not possible: another cluster, no checksums, an interrupted rewind, PostgreSQL 15.
        (PRIMARY, Upstream("8"), True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, checksums=False), THE_PRIMARY, True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, rewinding=True), THE_PRIMARY, True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, version="15"), THE_PRIMARY, True, ["copy the primary"]),
        (STANDBY, THE_PRIMARY, True, ["copy the primary"]),
        (HostState(configured=True, data="damaged"), THE_PRIMARY, True, ["copy the primary"]),
    ],
)
def test_standby_data_are_copied_or_rewound_when_needed(
    found: HostState, upstream: Upstream, rebuild: bool, steps: list[str]
) -> None:
    assert cluster.plan_standby(found, upstream, rebuild) == steps


@pytest.mark.parametrize(
    ("found", "upstream", "rebuild", "message"),
    [
        (PRIMARY, THE_PRIMARY, False, "contains the data of a primary"),
        (HostState(data="standby", system="8"), THE_PRIMARY, False, "contains the data of a standby"),
        (HostState(data="damaged"), THE_PRIMARY, False, "cannot read a cluster"),
        (EMPTY, Upstream(), False, "nothing to copy"),
        (PRIMARY, Upstream(), True, "nothing to copy"),
        (EMPTY, Upstream("7", is_primary=False), False, "is itself a standby"),
    ],
)
def test_data_are_not_replaced_without_rebuild(
    found: HostState, upstream: Upstream, rebuild: bool, message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        cluster.plan_standby(found, upstream, rebuild)


@pytest.mark.parametrize(
    ("fenced_at", "received", "bytes_lost"),
    [("", "0/3000060", None), ("0/3000060", "0/3000060", 0), ("1/10", "0/FFFFFFF0", 32), ("0/10", "0/20", 0)],
)
def test_missing_wal_bytes_are_counted(fenced_at: str, received: str, bytes_lost: int | None) -> None:
    assert cluster.count_missing_bytes(fenced_at, received) == bytes_lost


HISTORY = '00000004.history|1\t0/3000148\tno recovery target specified\n\n3\t1/A0\tat restore point "x"\n\n'


@pytest.mark.parametrize(
    ("timeline", "lsn", "included"),
    [(4, "9/0", True), (1, "0/3000148", True), (1, "0/3000149", False), (3, "0/FFFFFFFF", True), (2, "0/1", False)],
)
def test_history_includes_copies_on_the_primarys_path(timeline: int, lsn: str, included: bool) -> None:
    assert cluster.History(4, cluster.parse_history(HISTORY)).includes(timeline, lsn) is included


def test_later_restore_to_an_earlier_point_counts_for_both_timelines() -> None:
    text = "1\t0/1109BBC8\tx\n2\t0/11099260\tx\n3\t0/1D000000\tx\n6\t0/1108D7C0\tx\n7\t0/12000000\tx\n"
    assert cluster.parse_history(text) == {**dict.fromkeys((1, 2, 3, 6), "0/1108D7C0"), 7: "0/12000000"}


def list_backups(*backups: tuple[str, str, str]) -> str:
    sets = [{"lsn": {"start": start, "stop": stop}, "archive": {"start": segment}} for segment, start, stop in backups]
    return json.dumps([{"name": "main", "backup": sets}])


FIRST, SECOND = "000000010000000000000004", "000000020000000000000004"


@pytest.mark.parametrize(
    ("history", "ended", "included"),
    [
        # The primary left timeline 1 at 0/5000000; the backup ended before, at and after this LSN.
        ("1\t0/5000000\tx\n", "0/4800000", True),
        ("1\t0/5000000\tx\n", "0/5000000", True),
        ("1\t0/5000000\tx\n", "0/5000001", False),
        # Then the primary left timeline 2, in two cases at a lower LSN.
        ("1\t0/5000000\tx\n2\t0/4400000\tx\n", "0/4300000", True),
        ("1\t0/5000000\tx\n2\t0/4400000\tx\n", "0/4800000", False),
        ("1\t0/5000000\tx\n2\t0/6000000\tx\n", "0/5800000", False),
    ],
)
def test_backup_that_ended_after_its_timeline_was_left_is_rejected(history: str, ended: str, included: bool) -> None:
    # The list also has a backup of another timeline that started at the same LSN.
    text = list_backups((SECOND, "0/4000028", "0/4000100"), (FIRST, "0/4000028", ended))
    timeline, end = cluster.find_backup_end(text, f"0/4000028 (file {FIRST})")
    assert cluster.History(3, cluster.parse_history(history)).includes(timeline, end) is included


@pytest.mark.parametrize("began", ["", f"0/4000030 (file {FIRST})", f"0/4000028 (file {SECOND})"])
def test_backup_that_is_not_listed_is_an_error(began: str) -> None:
    with pytest.raises(ClusterError, match="has no backup that started at"):
        cluster.find_backup_end(list_backups((FIRST, "0/4000028", "0/4800000")), began)


def test_conninfo_verifies_the_primary_and_contains_no_password() -> None:
    primary = {"host": "db-1", "port": 5432, "user": "r", "password": "x y", "slot": "s", "ca_file": "/ca.pem"}
    text = cluster.build_conninfo(primary)
    assert "sslmode='verify-full' sslrootcert='/ca.pem'" in text
    assert "x y" not in text


STOPPED = cluster.Standby("db-1", 5432, "0/3000060", 4)


@pytest.mark.parametrize(
    ("answers", "fenced_at", "gone", "lost", "accepted", "message"),
    [
        (False, "0/3000060", False, 0, 0, ""),
        (False, "", True, None, 0, ""),
        (False, "0/3000080", False, 32, 32, ""),
        (True, "0/3000060", False, 0, 0, "at db-1 port 5432: fence it first, by running promote_standby.yml"),
        (True, "", True, None, 0, "still answers"),
        (False, "", False, None, 0, "-e promote_old_primary_gone=HOST"),
        (False, "0/3000080", False, 32, 0, "32 bytes of WAL that this standby lacks"),
        (False, "0/3000080", False, 32, 0, "-e promote_accept_lost_bytes=32"),
        (False, "0/3000080", False, 32, 0, "run unfence_primary.yml"),
    ],
)
def test_standby_is_promoted_only_when_no_other_host_can_be_primary(
    answers: bool, fenced_at: str, gone: bool, lost: int | None, accepted: int, message: str
) -> None:
    refusal = cluster.refusal_to_promote(STOPPED, answers, fenced_at, gone, lost, accepted)
    assert message in refusal if message else not refusal


def test_end_of_wal_is_read_from_pg_waldumps_error() -> None:
    text = (
        "pg_waldump: error: error in WAL record at 0/1749828: invalid record length at 0/17498A0: expected at least 24"
    )
    assert (cluster.find_last_lsn(text), cluster.find_last_lsn("")) == ("0/17498A0", "")


def test_address_of_the_primary_is_read_from_primary_conninfo() -> None:
    assert cluster.parse_primary_conninfo("host=db-1 port=6000 user=r") == ("db-1", 6000)


def test_new_cluster_of_an_upgrade_is_created_next_to_the_old_one() -> None:
    assert cluster.plan_primary(HostState(version="17", others=("15",)), upgrade_from="15") == ["create the cluster"]


def test_standby_is_refused_next_to_data_of_another_version() -> None:
    with pytest.raises(ClusterError, match="describe the version as 15"):
        cluster.plan_standby(HostState(version="17", others=("15",)), THE_PRIMARY, False)


def test_builtin_collation_provider_is_used_since_17() -> None:
    assert "--locale-provider=builtin" in cluster.initdb_options("17")
    assert "--locale-provider=builtin" not in cluster.initdb_options("15")
