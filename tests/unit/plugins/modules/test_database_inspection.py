"""Inspection of a cluster: counts, and reports of damage."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.verdicts import hash_marker
from ansible_collections.vise.platform.plugins.modules import database_inspection as inspection

WRITTEN = 1_800_000_000_000_000


def marker_rows(count: int) -> str:
    """Return markers in psql's format."""
    rows, previous = [], ""
    for number in range(1, count + 1):
        written = WRITTEN + number * 60_000_000
        row_hash = hash_marker(previous, number, written, "payload")
        rows.append(f"{number},{written},payload,{previous},{row_hash}\n")
        previous = row_hash
    return "".join(rows)


class Cluster:
    """Stub of psql and pg_amcheck."""

    def __init__(self, **answers: inspection.Result) -> None:
        self.answers = answers

    def __call__(self, program: str, *arguments: str, query: str = "") -> inspection.Result:
        if program == "pg_amcheck":
            return self.answers.get("amcheck", (0, "", "12/12 relations (100%), 40/40 pages (100%)\n"))
        kinds = {"to_regclass": "held", "backup_marker ORDER": "markers", "pg_database": "databases"}
        kind = next((name for part, name in kinds.items() if part in query), f"tables_{arguments[-1]}")
        return self.answers[kind]


def intact_cluster(**more: inspection.Result) -> Cluster:
    answers: dict[str, inspection.Result] = {
        "held": (0, "vise.backup_marker\n", ""),
        "markers": (0, marker_rows(3), ""),
        "databases": (0, "edu\npostgres\n", ""),
        "tables_edu": (0, "public.users,5000,-812\n", ""),
        "tables_postgres": (0, "vise.backup_marker,3,77\n", ""),
    }
    return Cluster(**{**answers, **more})


def test_each_table_of_each_database_is_counted() -> None:
    found = inspection.inspect(intact_cluster())
    assert found["tables"] == [
        {"name": "edu.public.users", "rows": 5000, "checksum": "-812"},
        {"name": "postgres.vise.backup_marker", "rows": 3, "checksum": "77"},
    ]
    assert found["newest"] == WRITTEN / 1e6 + 180
    assert [check["passed"] for check in found["checks"]] == [True, True]


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ({"markers": (0, marker_rows(3).replace("payload", "changed", 1), "")}, "markers of the database"),
        ({"held": (0, "", "")}, "markers of the database"),
        ({"amcheck": (2, "btree index edu.public.users_pkey: item order\n", "")}, "pg_amcheck"),
    ],
)
def test_damage_is_a_failed_check(damage: dict[str, Any], name: str) -> None:
    checks = inspection.inspect(intact_cluster(**damage))["checks"]
    assert [check["name"] for check in checks if not check["passed"]] == [name]


def test_only_markers_are_read_without_rows() -> None:
    found = inspection.inspect(intact_cluster(tables_edu=(3, "", "ERROR\n"), amcheck=(2, "", "")), all_rows=False)
    assert (found["newest"], found["tables"], len(found["checks"])) == (WRITTEN / 1e6 + 180, [], 1)


def test_unreadable_table_is_an_error() -> None:
    with pytest.raises(inspection.UnreadableError, match="database edu: ERROR: invalid page"):
        inspection.inspect(intact_cluster(tables_edu=(3, "", "ERROR: invalid page in block 3\n")))


@pytest.mark.parametrize("program", ["psql", "pg_amcheck"])
def test_programs_do_not_use_functions_of_a_databases_owner(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def run(argv: list[str], **options: Any) -> programs.Result:
        given.update(options, argv=argv)
        return programs.Result(0, "")

    monkeypatch.setattr(programs, "run", run)
    inspection.make_runner("17", 5432)(program)
    assert given["argv"][4] == f"/usr/lib/postgresql/17/bin/{program}"
    assert "-c search_path=pg_catalog,pg_temp" in given["environment"]["PGOPTIONS"]
