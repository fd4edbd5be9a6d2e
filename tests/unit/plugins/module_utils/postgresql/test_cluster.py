"""What may be done to a host's data, and what never."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import cluster
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError, Found, Upstream

EMPTY = Found()
PRIMARY = Found(configured=True, data="primary", system="7")
STANDBY = Found(configured=True, data="standby", system="7")
THE_PRIMARY = Upstream("7")


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (EMPTY, ["create the cluster"]),
        (Found(installed=False), ["create the cluster"]),
        (PRIMARY, []),
        # As a restore on a fresh host leaves it.
        (dataclasses.replace(PRIMARY, configured=False), ["configure the cluster"]),
    ],
)
def test_primary_is_made_once(found: Found, steps: list[str]) -> None:
    assert cluster.plan_primary(found) == steps


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Found(data="primary", fence="db-2 was promoted"), "fenced: db-2 was promoted"),
        (Found(data="none", fence="db-2 was promoted"), "unfence_primary.yml lets it serve again"),
        (STANDBY, "holds a standby and is described as the primary"),
        (Found(configured=True), "empty or missing"),
        (Found(data="damaged"), "holds no cluster"),
        (Found(configured=True, data="primary", checksums=False), "pg_checksums --enable"),
        (Found(version="17", others=("15",)), "holds data of PostgreSQL 15, and 17 would begin empty beside them"),
    ],
)
def test_what_is_no_primary_does_not_become_one(found: Found, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        cluster.plan_primary(found)


@pytest.mark.parametrize(
    ("found", "active", "steps"),
    [
        (PRIMARY, True, []),
        (PRIMARY, False, ["start the primary"]),
        (dataclasses.replace(PRIMARY, fence="it"), False, ["remove the fence", "start the primary"]),
    ],
)
def test_fenced_primary_serves_again(found: Found, active: bool, steps: list[str]) -> None:
    assert cluster.plan_unfenced(found, active) == steps


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (dataclasses.replace(STANDBY, fence="it"), "rebuild_standby.yml makes a standby of it"),
        (Found(data="none", fence="it"), "holds no primary's data"),
        (dataclasses.replace(PRIMARY, fence="it", others=("15",)), "PostgreSQL 15 took its place on this host"),
    ],
)
def test_who_has_lost_its_place_stays_fenced(found: Found, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        cluster.plan_unfenced(found, False)


@pytest.mark.parametrize(
    ("found", "upstream", "rebuild", "steps"),
    [
        (EMPTY, THE_PRIMARY, False, ["copy the primary", "configure the cluster"]),
        (Found(configured=True), THE_PRIMARY, False, ["copy the primary"]),
        (STANDBY, THE_PRIMARY, False, []),
        (STANDBY, Upstream(), False, []),
        (dataclasses.replace(STANDBY, fence="it"), THE_PRIMARY, False, ["remove the fence"]),
        (dataclasses.replace(STANDBY, configured=False), THE_PRIMARY, False, ["configure the cluster"]),
        (dataclasses.replace(PRIMARY, fence="it"), THE_PRIMARY, True, ["rewind to the primary", "remove the fence"]),
        (PRIMARY, THE_PRIMARY, True, ["rewind to the primary"]),
        # Another cluster's data, pages without checksums, what a cut-off rewind has left, and what rewinds to nothing.
        (PRIMARY, Upstream("8"), True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, checksums=False), THE_PRIMARY, True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, rewinding=True), THE_PRIMARY, True, ["copy the primary"]),
        (dataclasses.replace(PRIMARY, version="15"), THE_PRIMARY, True, ["copy the primary"]),
        (STANDBY, THE_PRIMARY, True, ["copy the primary"]),
        (Found(configured=True, data="damaged"), THE_PRIMARY, True, ["copy the primary"]),
    ],
)
def test_standby_is_copied_where_there_is_none(
    found: Found, upstream: Upstream, rebuild: bool, steps: list[str]
) -> None:
    assert cluster.plan_standby(found, upstream, rebuild) == steps


@pytest.mark.parametrize(
    ("found", "upstream", "rebuild", "says"),
    [
        (PRIMARY, THE_PRIMARY, False, "holds a primary's data"),
        (Found(data="standby", system="8"), THE_PRIMARY, False, "holds a standby's data"),
        (Found(data="damaged"), THE_PRIMARY, False, "holds no cluster"),
        (EMPTY, Upstream(), False, "nothing to copy from"),
        (PRIMARY, Upstream(), True, "nothing to copy from"),
        (EMPTY, Upstream("7", is_primary=False), False, "is a standby itself"),
    ],
)
def test_data_are_not_replaced_unasked(found: Found, upstream: Upstream, rebuild: bool, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        cluster.plan_standby(found, upstream, rebuild)


@pytest.mark.parametrize(
    ("fenced_at", "received", "bytes_lost"),
    [("", "0/3000060", None), ("0/3000060", "0/3000060", 0), ("1/10", "0/FFFFFFF0", 32), ("0/10", "0/20", 0)],
)
def test_lost_wal_is_counted(fenced_at: str, received: str, bytes_lost: int | None) -> None:
    assert cluster.lost(fenced_at, received) == bytes_lost


HISTORY = '00000004.history|1\t0/3000148\tno recovery target specified\n\n3\t1/A0\tat restore point "x"\n\n'


@pytest.mark.parametrize(
    ("timeline", "lsn", "included"),
    [(4, "9/0", True), (1, "0/3000148", True), (1, "0/3000149", False), (3, "0/FFFFFFFF", True), (2, "0/1", False)],
)
def test_copies_follow_only_along_the_primarys_history(timeline: int, lsn: str, included: bool) -> None:
    assert cluster.History(4, cluster.left(HISTORY)).includes(timeline, lsn) is included


def test_who_goes_back_twice_has_left_for_good_where_it_went_furthest() -> None:
    text = "1\t0/1109BBC8\tx\n2\t0/11099260\tx\n3\t0/1D000000\tx\n6\t0/1108D7C0\tx\n7\t0/12000000\tx\n"
    assert cluster.left(text) == {**dict.fromkeys((1, 2, 3, 6), "0/1108D7C0"), 7: "0/12000000"}


def listed(*backups: tuple[str, str, str]) -> str:
    sets = [{"lsn": {"start": start, "stop": stop}, "archive": {"start": segment}} for segment, start, stop in backups]
    return json.dumps([{"name": "main", "backup": sets}])


FIRST, SECOND = "000000010000000000000004", "000000020000000000000004"


@pytest.mark.parametrize(
    ("history", "ended", "included"),
    [
        # The primary left the first timeline at 0/5000000: before the backup's end, while it was made, after it.
        ("1\t0/5000000\tx\n", "0/4800000", True),
        ("1\t0/5000000\tx\n", "0/5000000", True),
        ("1\t0/5000000\tx\n", "0/5000001", False),
        # And then the second one, further back.
        ("1\t0/5000000\tx\n2\t0/4400000\tx\n", "0/4300000", True),
        ("1\t0/5000000\tx\n2\t0/4400000\tx\n", "0/4800000", False),
        ("1\t0/5000000\tx\n2\t0/6000000\tx\n", "0/5800000", False),
    ],
)
def test_backup_that_had_not_ended_where_its_timeline_was_left_is_no_standby(
    history: str, ended: str, included: bool
) -> None:
    # Of another timeline there is one that began at the same position.
    text = listed((SECOND, "0/4000028", "0/4000100"), (FIRST, "0/4000028", ended))
    timeline, end = cluster.backup_end(text, f"0/4000028 (file {FIRST})")
    assert cluster.History(3, cluster.left(history)).includes(timeline, end) is included


@pytest.mark.parametrize("began", ["", f"0/4000030 (file {FIRST})", f"0/4000028 (file {SECOND})"])
def test_backup_that_is_not_listed_has_no_known_end(began: str) -> None:
    with pytest.raises(ClusterError, match="no list of backups says"):
        cluster.backup_end(listed((FIRST, "0/4000028", "0/4800000")), began)


def test_control_data_are_read() -> None:
    text = "Database system identifier:           77\nTime of latest checkpoint:            Tue Nov 24 21:37:28 2026\n"
    assert cluster.control(text) == {
        "Database system identifier": "77",
        "Time of latest checkpoint": "Tue Nov 24 21:37:28 2026",
    }


def test_connection_verifies_the_primary_and_names_no_password() -> None:
    primary = {"host": "db-1", "port": 5432, "user": "r", "password": "x y", "slot": "s", "ca_file": "/ca.pem"}
    text = cluster.conninfo(primary)
    assert "sslmode='verify-full' sslrootcert='/ca.pem'" in text
    assert "x y" not in text


STOPPED = cluster.Standby("db-1", 5432, "0/3000060", 4)


@pytest.mark.parametrize(
    ("answers", "fenced_at", "gone", "lost", "accepted", "says"),
    [
        (False, "0/3000060", False, 0, 0, ""),
        (False, "", True, None, 0, ""),
        (False, "0/3000080", False, 32, 32, ""),
        (True, "0/3000060", False, 0, 0, "still answers at db-1 port 5432: fence it first, by promote_standby.yml"),
        (True, "", True, None, 0, "still answers"),
        (False, "", False, None, 0, "-e promote_old_primary_gone=HOST"),
        (False, "0/3000080", False, 32, 0, "32 bytes of WAL that this standby lacks"),
        (False, "0/3000080", False, 32, 0, "-e promote_accept_lost_bytes=32"),
        (False, "0/3000080", False, 32, 0, "unfence_primary.yml lets it serve again"),
    ],
)
def test_a_standby_is_promoted_only_when_nobody_else_can_be_primary(
    answers: bool, fenced_at: str, gone: bool, lost: int | None, accepted: int, says: str
) -> None:
    refusal = cluster.refusal_to_promote(STOPPED, answers, fenced_at, gone, lost, accepted)
    assert says in refusal if says else not refusal


def test_end_of_wal_is_read_from_the_complaint_about_it() -> None:
    text = (
        "pg_waldump: error: error in WAL record at 0/1749828: invalid record length at 0/17498A0: expected at least 24"
    )
    assert (cluster.last_position(text), cluster.last_position("")) == ("0/17498A0", "")


def test_the_followed_primary_is_read_from_its_connection() -> None:
    assert cluster.followed("host=db-1 port=6000 user=r") == ("db-1", 6000)


def test_cluster_that_takes_over_begins_beside_the_old_one() -> None:
    assert cluster.plan_primary(Found(version="17", others=("15",)), beside="15") == ["create the cluster"]


def test_standby_does_not_begin_beside_data_of_another_version() -> None:
    with pytest.raises(ClusterError, match="describe the version as 15"):
        cluster.plan_standby(Found(version="17", others=("15",)), THE_PRIMARY, False)


def test_builtin_collation_comes_with_17() -> None:
    assert "--locale-provider=builtin" in cluster.initdb_options("17")
    assert "--locale-provider=builtin" not in cluster.initdb_options("15")
