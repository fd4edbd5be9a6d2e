"""What the steps ask of programs, and what they make of the answers."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import upgrade_host
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.module_utils.postgresql.host import Cluster

CHECK = """Performing Consistency Checks
-----------------------------
Checking cluster versions                                     ok
Checking data type usage                                      failed
"""


class Programs:
    """Programs that answer from a list, by a word of their command."""

    def __init__(self, *answers: tuple[str, tuple[int, str]]) -> None:
        self.answers, self.calls = answers, list[str]()

    def __call__(self, argv: Sequence[str], _environment: Mapping[str, str]) -> tuple[int, str, str]:
        line = " ".join(argv)
        self.calls.append(line)
        return next(((status, out, "") for word, (status, out) in self.answers if word in line), (0, "", ""))


def test_note_is_there_until_it_is_forgotten(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "lib/note.json")
    assert upgrade_host.noted(path) == {}
    upgrade_host.note(path, {"stage": "prepared"})
    assert upgrade_host.noted(path) == {"stage": "prepared"}
    upgrade_host.forget(path)
    upgrade_host.forget(path)
    assert upgrade_host.noted(path) == {}


def test_inventory_counts_tables_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade_host, "COUNT_AT_A_TIME", 2)
    programs = Programs(
        ("pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace\nWHERE c.relkind", (0, "q1\0q2\0q3\0")),
        ("pg_sequences", (0, "sequence public.s|7\0")),
        ("pg_database", (0, "edu")),
        ("q1 UNION ALL q2", (0, "table public.a|b|1\0table public.c\nd|2\0")),
        ("q3", (0, "table public.d|3\0")),
    )
    found = upgrade_host.inventory(Cluster("17", "main", programs), "/run", 5432)
    assert found == {
        "edu": {"table public.a|b": 1, "table public.c\nd": 2, "table public.d": 3, "sequence public.s": 7},
    }


def test_15_is_not_asked_for_a_setting_that_17_brought() -> None:
    environments: list[Mapping[str, str]] = []

    def run(_argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        environments.append(environment)
        return 0, "", ""

    for version in ("15", "17"):
        upgrade_host.sql(Cluster(version, "main", run), "/run", 5432, "SELECT 1")
    assert ["transaction_timeout" in one["PGOPTIONS"] for one in environments] == [False, True]


@pytest.mark.parametrize("version", ["15", "17"])
def test_names_that_a_databases_owner_has_made_are_found_after_postgresqls_own(version: str) -> None:
    programs = list[tuple[str, str]]()

    def run(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        programs.append((argv[4].rpartition("/")[2], environment.get("PGOPTIONS", "")))
        return 0, "edu" if "pg_database" in argv[-1] else "", ""

    cluster = Cluster(version, "main", run)
    upgrade_host.inventory(cluster, "/run", 5432)
    upgrade_host.health(cluster, 5432)
    assert len(programs) > 5
    assert {name for name, options in programs if "-c search_path=pg_catalog,pg_temp" in options} == {"psql"}
    assert all("search_path" in options for _name, options in programs)


def test_complaint_leaves_out_what_went_well() -> None:
    assert (
        upgrade_host.complaint(CHECK) == "Performing Consistency Checks Checking data type usage" + " " * 38 + "failed"
    )


def test_lists_of_pg_upgrade_are_in_its_complaint(tmp_path: pathlib.Path) -> None:
    lists = tmp_path / "var/lib/postgresql/17/.vise-check/pg_upgrade_output.d/now"
    lists.mkdir(parents=True)
    (lists / "tables_using_aclitem.txt").write_text("In database: edu\n  public.rights\n")
    programs = Programs(("systemd-run", (1, CHECK)))
    old, new = (Cluster(version, "main", programs, str(tmp_path)) for version in ("15", "17"))
    with pytest.raises(ClusterError, match=r"usage +failed In database: edu public\.rights"):
        upgrade_host.pg_upgrade(old, new, "/new", "--check")


def test_removed_cluster_leaves_no_directory_but_another_clusters(tmp_path: pathlib.Path) -> None:
    cluster = Cluster("15", "main", Programs(), str(tmp_path))
    for place in (cluster.data, cluster.config, f"{tmp_path}/var/lib/postgresql/15/other"):
        pathlib.Path(place).mkdir(parents=True)
    upgrade_host.drop(cluster)
    assert not (tmp_path / "etc/postgresql/15").exists()
    assert (tmp_path / "var/lib/postgresql/15/other").is_dir()


class Switched:
    """A host on which the new cluster serves, whose numbers are as given; what is done to it is kept."""

    def __init__(self, root: pathlib.Path, asked: int, stopped: int) -> None:
        control_file = (0, f"Latest checkpoint's NextXID: 0:{stopped}\n")
        answers = (("pg_controldata", control_file), ("pg_snapshot_xmax", (0, str(asked))), ("sum", (0, "3")))
        self.programs = Programs(*answers)
        self.old, self.new = (Cluster(version, "main", self.programs, str(root)) for version in ("15", "17"))
        self.path = str(root / "note.json")
        self.state = {"stage": "proven", "transaction": 100, "before": {}, "switched": 0.0}
        for cluster in (self.old, self.new):
            pathlib.Path(cluster.config).mkdir(parents=True)

    def go_back(self, accepted: bool) -> dict[str, Any]:
        state = {**self.state, "gained": upgrade_host.gained(self.new, 5432, self.state)}
        return upgrade_host.go_back(self.old, self.new, 5432, state, accepted, self.path)


def test_what_was_written_while_it_was_counted_is_lost_too_and_told(tmp_path: pathlib.Path) -> None:
    machine = Switched(tmp_path, asked=107, stopped=109)
    state = machine.go_back(accepted=True)
    assert "up to 9 transactions" in state["lost"]
    assert state["stage"] == "back"
    assert machine.programs.calls[-1] == "systemctl start postgresql@15-main.service"


def test_transactions_are_counted_although_a_crash_has_made_the_control_file_old(tmp_path: pathlib.Path) -> None:
    assert "up to 7 " in Switched(tmp_path, asked=107, stopped=104).go_back(accepted=True)["lost"]


def test_new_cluster_serves_on_when_something_came_that_nobody_has_accepted(tmp_path: pathlib.Path) -> None:
    machine = Switched(tmp_path, asked=100, stopped=101)
    with pytest.raises(ClusterError, match=r"17 serves on. While it was counted something was written: .*up to 1 "):
        machine.go_back(accepted=False)
    assert machine.programs.calls[-1] == "systemctl start postgresql@17-main.service"
    assert not pathlib.Path(machine.new.fence).exists()
    assert upgrade_host.noted(machine.path)["stage"] == "proven"


def test_going_back_before_anything_was_written_needs_no_word(tmp_path: pathlib.Path) -> None:
    assert Switched(tmp_path, asked=100, stopped=100).go_back(accepted=False)["lost"] == ""
