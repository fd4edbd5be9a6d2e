"""One execution of the module on a stub host."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import foreign_state
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host, session
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.modules import postgresql_cluster

PRIMARY = {"host": "db-1", "port": 5432, "user": "follow", "password": "word", "slot": "b", "ca_file": "/ca.pem"}


CONTROL = """\
Database system identifier:           7
Data page checksum version:           1
Database cluster state:               shut down
Latest checkpoint location:           0/3000000
Latest checkpoint's TimeLineID:       1
"""
ALONE = CONTROL.replace("0/3000000", "0/3000100")


class Host:
    """A stub host: its file system is a directory, its programs answer from a table."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.calls, self.environments = root, list[str](), list[dict[str, str]]()
        self.queries = list[str]()
        self.answers: dict[str, tuple[int, str, str]] = {
            "pg_controldata": (0, CONTROL, ""),
            "dpkg-query": (0, "installed", ""),
            "psql": (0, "7|2|0/3000060|\noff\n", ""),
            "psql SELECT": (0, "", ""),
            "psql TIMELINE_HISTORY": (0, "00000002.history|1\t0/3000000\tno recovery target specified\n\n", ""),
            "psql READ_REPLICATION_SLOT": (0, "physical|0/3000000|1\n", ""),
            # The last of the settings that recovery needs
            "psql SHOW max_locks_per_transaction": (0, "100\n8\n10\n0\n64\n", ""),
            "pg_ctl": (3, "no server running", ""),
        }
        self.cluster = host.Cluster("17", "main", self.run, str(root))

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        words = [word.rsplit("/", 1)[-1] for word in argv if word not in ("runuser", "-u", "postgres", "--")]
        self.calls.append(words[0])
        self.environments.append(dict(environment))
        if words[0] == "pg_createcluster":
            self.write("etc/postgresql/17/main/postgresql.conf")
        self.queries.append(words[-1])
        keys = (f"{words[0]} {words[-1]}", f"{words[0]} {words[-1].split()[0]}", words[0])
        return next((self.answers[key] for key in keys if key in self.answers), (0, "", ""))

    def write(self, path: str, text: str = "") -> pathlib.Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def install(self) -> None:
        self.write("usr/lib/postgresql/17/bin/postgres")

    def converge(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        given = {
            "state": "primary",
            "packages": ["postgresql-17"],
            "primary": None,
            "rebuild": False,
            "upgrade_from": "",
            "take_over": [],
            **options,
        }
        result: dict[str, Any] = postgresql_cluster.converge(self.cluster, given, check_mode)
        return result


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(foreign_state, "run", lambda *_argv: "")
    return Host(tmp_path)


def test_check_mode_on_an_empty_host_changes_nothing(machine: Host) -> None:
    result = machine.converge(check_mode=True)
    assert result["actions"] == ["install postgresql-17", "create the cluster"]
    assert list(machine.root.iterdir()) == []


def test_packages_are_requested_and_do_not_create_a_cluster(machine: Host) -> None:
    assert machine.converge()["needs"] == ["postgresql-17"]
    text = (machine.root / host.CREATECLUSTER_FILE.lstrip("/")).read_text()
    assert "create_main_cluster = false" in text


def test_cluster_is_created_once(machine: Host) -> None:
    machine.install()
    assert machine.converge()["actions"] == ["create the cluster"]
    machine.write("etc/postgresql/17/main/postgresql.conf")
    machine.write("var/lib/postgresql/17/main/PG_VERSION")
    assert machine.converge()["changed"] is False
    assert machine.calls.count("pg_createcluster") == 1


def test_data_that_were_there_before_are_used_only_with_permission(machine: Host) -> None:
    machine.install()
    machine.write("etc/postgresql/17/main/postgresql.conf")
    machine.write("var/lib/postgresql/17/main/PG_VERSION")
    machine.write("var/lib/postgresql/17/main/base/16385/1")
    expected = r"/var/lib/postgresql/17/main has data \(save it.*`preflight_take_over: \[postgresql\]`"
    for check_mode in (True, False):
        with pytest.raises(ClusterError, match=expected):
            machine.converge(check_mode)
    assert machine.converge(take_over=["postgresql"])["changed"] is False
    # A component of the collection has configured it.
    machine.write("var/lib/vise/components/postgresql-17/manifest.json", "{}")
    assert machine.converge()["changed"] is False


def test_resources_of_the_host_are_reported(machine: Host) -> None:
    resources = machine.converge()["resources"]
    assert all(resources[name] > 0 for name in ("memory_mb", "cores", "disk_mb"))


def test_replicating_standby_is_not_changed(machine: Host) -> None:
    machine.install()
    machine.write("var/lib/postgresql/17/main/standby.signal")
    machine.write("etc/postgresql/17/main/postgresql.conf")
    assert machine.converge(state="standby", primary=PRIMARY)["actions"] == []
    assert machine.environments[machine.calls.index("psql")] == {
        "PGPASSWORD": "word",
        **session.build_environment("17"),
    }


def test_error_of_the_primary_connection_is_reported(machine: Host) -> None:
    machine.install()
    machine.answers["psql"] = (2, "", "connection refused")
    with pytest.raises(ClusterError, match="connection refused"):
        machine.converge(state="standby", primary=PRIMARY)
    assert "pg_basebackup" not in machine.calls


def test_unreadable_data_are_not_changed(machine: Host) -> None:
    machine.install()
    machine.write("var/lib/postgresql/17/main/precious")
    machine.answers["pg_controldata"] = (1, "", "could not open file")
    with pytest.raises(ClusterError, match="not empty"):
        machine.converge()
    assert "pg_createcluster" not in machine.calls


def test_package_that_is_being_unpacked_counts_as_missing(machine: Host) -> None:
    machine.install()
    machine.answers["dpkg-query"] = (0, "unpacked", "")
    assert machine.converge()["needs"] == ["postgresql-17"]


def test_incomplete_cluster_is_created_again(machine: Host) -> None:
    machine.install()
    machine.answers["pg_createcluster"] = (1, "", "killed")
    with pytest.raises(ClusterError, match="killed"):
        machine.converge()
    half = machine.write("var/lib/postgresql/17/main/half-made")
    machine.write("etc/postgresql/17/main/half-made")
    del machine.answers["pg_createcluster"]
    assert machine.converge()["actions"] == ["create the cluster"]
    assert not half.exists()
    assert not pathlib.Path(machine.cluster.creation_marker).exists()


def test_fence_disables_the_start_until_it_is_removed(machine: Host) -> None:
    machine.write("etc/postgresql/17/main/start.conf", "auto\n")
    host.fence(machine.cluster, "db-2 was promoted")
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "disabled\n"
    assert host.inspect(machine.cluster).fence == "db-2 was promoted"
    host.unfence(machine.cluster)
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "auto\n"
    assert host.inspect(machine.cluster).fence == ""


def test_symbolic_link_in_place_of_a_file_is_replaced_and_not_followed(machine: Host) -> None:
    roots, place = machine.root / "roots", machine.root / "etc/postgresql/17/main/start.conf"
    roots.write_text("root's")
    place.parent.mkdir(parents=True)
    place.symlink_to(roots)
    host.fence(machine.cluster, "why")
    assert (roots.read_text(), place.is_symlink(), place.read_text()) == ("root's", False, "disabled\n")


def test_data_of_another_version_count_until_they_are_fenced(machine: Host) -> None:
    machine.write("var/lib/postgresql/15/main/PG_VERSION")
    assert host.inspect(machine.cluster).others == ("15",)
    machine.write("etc/vise/postgresql-15-main.fenced", "upgraded")
    assert host.inspect(machine.cluster).others == ()


class Standby(Host):
    """A former primary that will become a standby, with a command that restores a backup."""

    def __init__(self, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self.add_backups("0/2FFFFF0")
        monkeypatch.setattr("shutil.chown", lambda *_: None)
        monkeypatch.setattr("pwd.getpwnam", lambda _: type("User", (), {"pw_uid": -1, "pw_gid": -1}))
        self.install()
        self.write("var/lib/postgresql/17/main/PG_VERSION")
        self.write("etc/postgresql/17/main/postgresql.conf")

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        answer = super().run(argv, environment)
        if self.calls[-1] in ("install", "pg_basebackup"):
            fresh = pathlib.Path(self.cluster.data + ".vise-new")
            fresh.mkdir(exist_ok=True)
            (fresh / "backup_label").write_text("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n")
        return answer

    def add_backups(self, until: str, start: str = "0/2000028") -> None:
        """List a backup of timeline 1 that ended at `until`, and one of timeline 2 with the same start."""
        self.answers["pgbackrest info"] = (
            0,
            json.dumps(
                [
                    {
                        "name": "main",
                        "backup": [
                            {
                                "lsn": {"start": "0/2000028", "stop": "0/9000000"},
                                "archive": {"start": "000000020000000000000002"},
                            },
                            {"lsn": {"start": start, "stop": until}, "archive": {"start": "000000010000000000000002"}},
                        ],
                    }
                ]
            ),
            "",
        )

    def rebuild(self, **primary: Any) -> list[str]:
        given = {**PRIMARY, "restore": [], "backups": ["pgbackrest", "--output=json", "info"], **primary}
        return list(self.converge(state="standby", primary=given, rebuild=True)["actions"])


@pytest.fixture
def former(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Standby:
    return Standby(tmp_path, monkeypatch)


def test_former_primary_is_rewound(former: Standby) -> None:
    assert former.rebuild() == ["rewind to the primary"]
    assert "pg_basebackup" not in former.calls
    assert not pathlib.Path(former.cluster.rewind_marker).exists()


def test_copy_replaces_a_failed_rewind(former: Standby) -> None:
    former.answers["pg_rewind"] = (1, "", "could not find common ancestor")
    actions = former.rebuild()
    assert "could not find common ancestor" in actions[0]
    assert actions[1:] == ["copy the primary"]
    assert "pg_basebackup" in former.calls
    assert not pathlib.Path(former.cluster.rewind_marker).exists()


def test_data_of_an_interrupted_rewind_are_copied(former: Standby) -> None:
    pathlib.Path(former.cluster.rewind_marker).write_text("")
    assert former.rebuild() == ["copy the primary"]


def test_copy_is_restored_from_an_available_backup(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    assert former.rebuild(restore=["pgbackrest", "--pg1-path={data}", "restore"]) == ["copy the primary"]
    assert "pgbackrest" in former.calls
    assert "pg_basebackup" not in former.calls


def test_primary_is_copied_without_a_usable_backup(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    former.answers["pgbackrest"] = (56, "", "no backup set found to restore")
    actions = former.rebuild(restore=["pgbackrest", "restore"])
    assert actions[0] == "copy the primary"
    assert "no backup set found to restore" in actions[1]
    assert "pg_basebackup" in former.calls


def test_backup_of_another_cluster_is_not_used(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    former.answers["psql"] = (0, "8|2|0/3000060|\noff\n", "")
    assert "the backup belongs to another cluster" in former.rebuild(restore=["pgbackrest", "restore"])[1]


def test_backup_with_wal_that_a_restore_discarded_is_not_used(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    # The backup started before the restore's target and ended after it.
    former.add_backups("0/3000001")
    actions = former.rebuild(restore=["pgbackrest", "restore"])
    assert "contains WAL that a restore discarded" in actions[1]
    assert "pg_basebackup" in former.calls


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_connections setting:              300", "max_connections is 100, and the WAL needs 300"),
        ("max_prepared_xacts setting:           5", "max_prepared_transactions is 0, and the WAL needs 5"),
        ("max_connections setting:              100", ""),
    ],
)
def test_backup_with_higher_settings_than_the_primary_is_not_used(former: Standby, setting: str, message: str) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    former.answers["pg_controldata"] = (0, f"{CONTROL}{setting}\n", "")
    actions = former.rebuild(restore=["pgbackrest", "restore"])
    # A standby from it would not start.
    assert ("pg_basebackup" in former.calls) == bool(message)
    assert message in " ".join(actions)


def test_backup_with_an_unknown_end_is_not_used(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    former.add_backups("0/2FFFFF0", start="0/2000030")
    actions = former.rebuild(restore=["pgbackrest", "restore"])
    assert "the list of backups has no backup that started at 0/2000028" in actions[1]
    assert "pg_basebackup" in former.calls


def test_missing_slot_is_created_on_the_primary(former: Standby) -> None:
    former.rebuild()
    assert not any("CREATE" in words for words in former.queries)
    former.answers["psql READ_REPLICATION_SLOT"] = (0, "||\n", "")
    former.rebuild()
    assert "CREATE_REPLICATION_SLOT b PHYSICAL (RESERVE_WAL)" in former.queries


STATS = """\
Type                                           N      (%)
Transaction/COMMIT                             3 ( 60.00)
Transaction/COMMIT_PREPARED                    1 ( 20.00)
Transaction/ABORT                              1 ( 20.00)
                                        --------
Total                                          5
"""


@pytest.mark.parametrize(
    ("stats", "message"),
    [
        (STATS, "discard 4 transactions that only this host has committed, after 0/3000000"),
        ("", "discard an unknown number of transactions that only this host has committed, after 0/3000000"),
    ],
)
def test_transactions_of_a_former_primary_are_counted_before_they_are_discarded(
    former: Standby, stats: str, message: str
) -> None:
    former.answers["pg_controldata"] = (0, ALONE, "")
    former.answers["pg_waldump"] = (1, stats, "error in WAL record at 0/3000100")
    assert former.rebuild() == ["rewind to the primary", message]
    assert former.calls.index("pg_waldump") < former.calls.index("pg_rewind")


def test_no_loss_is_reported_without_commits(former: Standby) -> None:
    former.answers["pg_controldata"] = (0, ALONE, "")
    former.answers["pg_waldump"] = (1, "Total                        0\n", "error in WAL record")
    assert former.rebuild() == ["rewind to the primary"]


def test_server_that_was_started_without_its_unit_is_stopped(former: Standby) -> None:
    former.answers["pg_ctl"] = (0, "server is running", "")
    former.rebuild()
    assert former.queries[former.calls.index("pg_ctl") + 1] == "fast"


def test_replicating_standby_releases_its_slot_before_the_copy(former: Standby) -> None:
    former.write("var/lib/postgresql/17/main/standby.signal")
    former.rebuild()
    assert former.calls.index("systemctl") < former.calls.index("pg_basebackup")


@pytest.mark.parametrize("restore", [[], ["pgbackrest", "--pg1-path={data}", "{tablespaces}", "restore"]])
def test_tablespaces_of_a_standby_are_replaced_with_its_data(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, restore: list[str]
) -> None:
    standby = Standby(tmp_path, monkeypatch)
    # A space and an equals sign are valid in a path.
    location = tmp_path / "srv/the ts=1"
    old = location / "PG_17_202406281/5/old"
    old.parent.mkdir(parents=True)
    old.touch()
    (location / "PG_16_202307071").mkdir()
    links = pathlib.Path(standby.cluster.data) / "pg_tblspc"
    links.mkdir()
    (links / "16384").symlink_to(location)
    commands: list[list[str]] = []
    run = standby.run

    def copy(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        answer = run(argv, environment)
        commands.append(list(argv))
        if "pg_basebackup" in " ".join(argv) or argv[-1:] == ["restore"]:
            fresh = pathlib.Path(standby.cluster.data + ".vise-new/pg_tblspc")
            fresh.mkdir(parents=True, exist_ok=True)
            (fresh / "16384").symlink_to(location / "vise-new")
            (location / "vise-new/PG_17_202406281").mkdir()
            (location / "vise-new/PG_17_202406281/new").touch()
        return answer

    standby.cluster = dataclasses.replace(standby.cluster, run=copy)
    standby.answers["psql SELECT"] = (0, f"16384|{location}\n", "")
    primary = {**PRIMARY, "restore": restore, "backups": ["pgbackrest", "info"]}
    host.copy_primary(standby.cluster, primary, "7", host.read_history(standby.cluster, primary))
    assert sorted(path.name for path in location.iterdir()) == ["PG_16_202307071", "PG_17_202406281"]
    assert [path.name for path in (location / "PG_17_202406281").iterdir()] == ["new"]
    assert (links / "16384").readlink() == location
    mapping = (
        f"--tablespace-map=16384={location}/vise-new"
        if restore
        else f"--tablespace-mapping={location}={location}/vise-new".replace("ts=1", "ts\\=1")
    )
    assert any(mapping in command for command in commands)


def test_backup_is_not_used_when_its_command_cannot_place_tablespaces(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby = Standby(tmp_path, monkeypatch)
    standby.answers["psql SELECT"] = (0, f"16384|{tmp_path}/ts\n", "")
    primary = {**PRIMARY, "restore": ["restore", "{data}"], "backups": ["pgbackrest", "info"]}
    reason = host.copy_primary(standby.cluster, primary, "7", host.read_history(standby.cluster, primary))
    assert reason == "the restore command has no place for tablespaces"
    assert "pg_basebackup" in standby.calls
