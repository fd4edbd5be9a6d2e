"""What the steps ask of programs, and what they make of the answers."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

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
        ("pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace\nWHERE c.relkind", (0, "q1\nq2\nq3")),
        ("pg_sequences", (0, "sequence public.s|7")),
        ("pg_database", (0, "edu")),
        ("q1 UNION ALL q2", (0, "table public.a|b|1\ntable public.c|2")),
        ("q3", (0, "table public.d|3")),
    )
    found = upgrade_host.inventory(Cluster("17", "main", programs), "/run", 5432)
    assert found == {
        "edu": {"table public.a|b": 1, "table public.c": 2, "table public.d": 3, "sequence public.s": 7},
    }


def test_15_is_not_asked_for_a_setting_that_17_brought() -> None:
    environments: list[Mapping[str, str]] = []

    def run(_argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        environments.append(environment)
        return 0, "", ""

    for version in ("15", "17"):
        upgrade_host.sql(Cluster(version, "main", run), "/run", 5432, "SELECT 1")
    assert ["transaction_timeout" in one["PGOPTIONS"] for one in environments] == [False, True]


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
