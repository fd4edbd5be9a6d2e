"""Commands of the upgrade steps, and how their output is used."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host.journal import Journal
from ansible_collections.vise.platform.plugins.module_utils.postgresql import upgrade_host
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.module_utils.postgresql.host import Cluster

CHECK = """Performing Consistency Checks
-----------------------------
Checking cluster versions                                     ok
Checking data type usage                                      failed
"""


class Programs:
    """Stub programs; the answer is chosen by a word of the command line."""

    def __init__(self, *answers: tuple[str, tuple[int, str]]) -> None:
        self.answers, self.calls = answers, list[str]()

    def __call__(self, argv: Sequence[str], _environment: Mapping[str, str]) -> tuple[int, str, str]:
        line = " ".join(argv)
        self.calls.append(line)
        return next(((status, out, "") for word, (status, out) in self.answers if word in line), (0, "", ""))


def test_inventory_counts_tables_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade_host, "COUNT_AT_A_TIME", 2)
    programs = Programs(
        ("pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace\nWHERE c.relkind", (0, "q1\0q2\0q3\0")),
        ("pg_sequences", (0, "sequence public.s|7\0")),
        ("pg_database", (0, "edu")),
        ("q1 UNION ALL q2", (0, "table public.a|b|1\0table public.c\nd|2\0")),
        ("q3", (0, "table public.d|3\0")),
    )
    found = upgrade_host.count_inventory(Cluster("17", "main", programs), "/run", 5432)
    assert found == {
        "edu": {"table public.a|b": 1, "table public.c\nd": 2, "table public.d": 3, "sequence public.s": 7},
    }


def test_setting_of_17_is_not_used_with_15() -> None:
    environments: list[Mapping[str, str]] = []

    def run(_argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        environments.append(environment)
        return 0, "", ""

    for version in ("15", "17"):
        upgrade_host.query_server(Cluster(version, "main", run), "/run", 5432, "SELECT 1")
    assert ["transaction_timeout" in one["PGOPTIONS"] for one in environments] == [False, True]


@pytest.mark.parametrize("version", ["15", "17"])
def test_queries_do_not_use_functions_of_a_databases_owner(version: str) -> None:
    programs = list[tuple[str, str]]()

    def run(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        programs.append((argv[4].rpartition("/")[2], environment.get("PGOPTIONS", "")))
        return 0, "edu" if "pg_database" in argv[-1] else "", ""

    cluster = Cluster(version, "main", run)
    upgrade_host.count_inventory(cluster, "/run", 5432)
    upgrade_host.find_health_problems(cluster, 5432)
    assert len(programs) > 5
    assert {name for name, options in programs if "-c search_path=pg_catalog,pg_temp" in options} == {"psql"}
    assert all("search_path" in options for _name, options in programs)


def test_passed_checks_are_removed_from_pg_upgrades_output() -> None:
    assert (
        upgrade_host.filter_failures(CHECK)
        == "Performing Consistency Checks Checking data type usage" + " " * 38 + "failed"
    )


def test_reports_of_pg_upgrade_are_in_the_error(tmp_path: pathlib.Path) -> None:
    lists = tmp_path / "var/lib/postgresql/17/.vise-check/pg_upgrade_output.d/now"
    lists.mkdir(parents=True)
    (lists / "tables_using_aclitem.txt").write_text("In database: edu\n  public.rights\n")
    programs = Programs(("systemd-run", (1, CHECK)))
    old, new = (Cluster(version, "main", programs, str(tmp_path)) for version in ("15", "17"))
    with pytest.raises(ClusterError, match=r"usage +failed In database: edu public\.rights"):
        upgrade_host.run_pg_upgrade(old, new, "/new", "--check")


def test_removal_keeps_only_directories_of_other_clusters(tmp_path: pathlib.Path) -> None:
    cluster, other = (Cluster(version, "main", Programs(), str(tmp_path)) for version in ("15", "17"))
    for place in (cluster.data, cluster.config, f"{tmp_path}/var/lib/postgresql/15/other"):
        pathlib.Path(place).mkdir(parents=True)
    upgrade_host.remove_cluster(cluster, other)
    assert not (tmp_path / "etc/postgresql/15").exists()
    assert (tmp_path / "var/lib/postgresql/15/other").is_dir()


class Switched:
    """A host after the switch, with the next transaction numbers of the running and of the stopped new cluster."""

    def __init__(self, root: pathlib.Path, running: int, stopped: int) -> None:
        control_file = (0, f"Latest checkpoint's NextXID: 0:{stopped}\n")
        answers = (("pg_controldata", control_file), ("pg_snapshot_xmax", (0, str(running))), ("sum", (0, "3")))
        self.programs = Programs(*answers)
        self.old, self.new = (Cluster(version, "main", self.programs, str(root)) for version in ("15", "17"))
        self.journal = Journal(str(root / "note.json"))
        self.state = {"stage": "proven", "transaction": 100, "before": {}, "switched": 0.0}
        for cluster in (self.old, self.new):
            pathlib.Path(cluster.config).mkdir(parents=True)

    def go_back(self, accepted: bool) -> dict[str, Any]:
        state = {**self.state, "writes": upgrade_host.count_new_writes(self.new, 5432, self.state)}
        return upgrade_host.roll_back(self.old, self.new, 5432, state, accepted, self.journal)


def test_writes_during_the_count_are_reported_as_lost(tmp_path: pathlib.Path) -> None:
    machine = Switched(tmp_path, running=107, stopped=109)
    state = machine.go_back(accepted=True)
    assert "up to 9 transactions" in state["lost"]
    assert state["stage"] == "rolled_back"
    assert machine.programs.calls[-1] == "systemctl start postgresql@15-main.service"


def test_transactions_are_counted_although_a_crash_left_an_old_control_file(tmp_path: pathlib.Path) -> None:
    assert "up to 7 " in Switched(tmp_path, running=107, stopped=104).go_back(accepted=True)["lost"]


def test_new_cluster_stays_in_service_when_an_unaccepted_write_arrived(tmp_path: pathlib.Path) -> None:
    machine = Switched(tmp_path, running=100, stopped=101)
    with pytest.raises(ClusterError, match=r"17 still runs. Something was written during the count: .*up to 1 "):
        machine.go_back(accepted=False)
    assert machine.programs.calls[-1] == "systemctl start postgresql@17-main.service"
    assert not pathlib.Path(machine.new.fence_file).exists()
    assert machine.journal.read()["stage"] == "proven"


def test_rollback_without_writes_needs_no_consent(tmp_path: pathlib.Path) -> None:
    assert Switched(tmp_path, running=100, stopped=100).go_back(accepted=False)["lost"] == ""


@pytest.mark.parametrize("linked", ["15", "17"])
def test_removal_of_one_version_keeps_the_tablespaces_of_the_other(tmp_path: pathlib.Path, linked: str) -> None:
    clusters = {version: Cluster(version, "main", Programs(), str(tmp_path)) for version in ("15", "17")}
    location = tmp_path / "srv/ts"
    for name in ("PG_15_202209061", "PG_17_202406281"):
        (location / name / "5").mkdir(parents=True)
    # A new cluster whose creation was interrupted has no link yet.
    links = pathlib.Path(clusters[linked].data) / "pg_tblspc"
    links.mkdir(parents=True)
    (links / "16384").symlink_to(location)
    upgrade_host.remove_cluster(clusters["17"], clusters["15"])
    assert [path.name for path in location.iterdir()] == ["PG_15_202209061"]


def test_removal_includes_wal_behind_a_link(tmp_path: pathlib.Path) -> None:
    old, new = (Cluster(version, "main", Programs(), str(tmp_path)) for version in ("15", "17"))
    wal = tmp_path / "srv/wal"
    (wal / "archive_status").mkdir(parents=True)
    (wal / "000000010000000000000001").touch()
    pathlib.Path(old.data).mkdir(parents=True)
    (pathlib.Path(old.data) / "pg_wal").symlink_to(wal)
    upgrade_host.remove_cluster(old, new)
    # It may be a mount point.
    assert list(wal.iterdir()) == []


@pytest.mark.parametrize("existed", [True, False])
def test_check_of_compatibility_leaves_no_directory(tmp_path: pathlib.Path, existed: bool) -> None:
    programs = Programs()
    old, new = (Cluster(version, "main", programs, str(tmp_path)) for version in ("15", "17"))
    parent = tmp_path / "var/lib/postgresql/17"
    if existed:
        parent.mkdir(parents=True)

    def run(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        if argv[0] == "install":
            parent.mkdir(parents=True, exist_ok=True)
        if "initdb" in " ".join(argv):
            (parent / ".vise-check").mkdir()
        return programs(argv, environment)

    old, new = (Cluster(cluster.version, "main", run, str(tmp_path)) for cluster in (old, new))
    upgrade_host.check_compatibility(old, new, 5432)
    assert parent.is_dir() is existed
    assert not (parent / ".vise-check").exists()
    # Both servers run on a host that is sized for one.
    assert any("shared_buffers=128MB -c huge_pages=off" in call for call in programs.calls)
