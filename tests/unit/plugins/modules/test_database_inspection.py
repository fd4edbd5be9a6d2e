"""Reading a whole cluster: what is counted, and what is told of damage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.verdicts import seal
from ansible_collections.vise.platform.plugins.modules import database_inspection as inspection

WRITTEN = 1_800_000_000_000_000


def marker_rows(count: int) -> str:
    """Markers as psql prints them."""
    rows, previous = [], ""
    for number in range(1, count + 1):
        written = WRITTEN + number * 60_000_000
        sealed = seal(previous, number, written, "payload")
        rows.append(f"{number},{written},payload,{previous},{sealed}\n")
        previous = sealed
    return "".join(rows)


class Cluster:
    """Answers as psql and pg_amcheck do."""

    def __init__(self, **answers: inspection.Answer) -> None:
        self.answers = answers

    def __call__(self, program: str, *arguments: str, query: str = "") -> inspection.Answer:
        if program == "pg_amcheck":
            return self.answers.get("amcheck", (0, "", "12/12 relations (100%), 40/40 pages (100%)\n"))
        kinds = {"to_regclass": "held", "backup_marker ORDER": "markers", "pg_database": "databases"}
        kind = next((name for part, name in kinds.items() if part in query), f"tables_{arguments[-1]}")
        return self.answers[kind]


def whole(**more: inspection.Answer) -> Cluster:
    answers: dict[str, inspection.Answer] = {
        "held": (0, "vise.backup_marker\n", ""),
        "markers": (0, marker_rows(3), ""),
        "databases": (0, "edu\npostgres\n", ""),
        "tables_edu": (0, "public.users,5000,-812\n", ""),
        "tables_postgres": (0, "vise.backup_marker,3,77\n", ""),
    }
    return Cluster(**{**answers, **more})


def test_every_table_of_every_database_is_counted() -> None:
    found = inspection.inspection(whole())
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
def test_damage_is_a_check_that_did_not_pass(damage: dict[str, Any], name: str) -> None:
    checks = inspection.inspection(whole(**damage))["checks"]
    assert [check["name"] for check in checks if not check["passed"]] == [name]


def test_how_recent_it_is_can_be_asked_alone() -> None:
    found = inspection.inspection(whole(tables_edu=(3, "", "ERROR\n"), amcheck=(2, "", "")), all_rows=False)
    assert (found["newest"], found["tables"], len(found["checks"])) == (WRITTEN / 1e6 + 180, [], 1)


def test_table_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(inspection.Unreadable, match="database edu: ERROR: invalid page"):
        inspection.inspection(whole(tables_edu=(3, "", "ERROR: invalid page in block 3\n")))


@pytest.mark.parametrize("program", ["psql", "pg_amcheck"])
def test_names_that_a_databases_owner_has_made_are_found_after_postgresqls_own(program: str) -> None:
    given: dict[str, Any] = {}

    def run_command(argv: list[str], **options: Any) -> inspection.Answer:
        given.update(options, argv=argv)
        return 0, "", ""

    module = SimpleNamespace(params={"version": "17", "port": 5432}, run_command=run_command)
    inspection.runner(cast("AnsibleModule", module))(program)
    assert given["argv"][4] == f"/usr/lib/postgresql/17/bin/{program}"
    assert "-c search_path=pg_catalog,pg_temp" in given["environ_update"]["PGOPTIONS"]
