"""Queries of the restored cluster: owners of its databases can neither inject code nor limit the duration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host, postgresql, report
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import Settings


class StubDirectory:
    """A stub scratch directory: it runs nothing and records the environments."""

    def __init__(self) -> None:
        self.environments = list[str]()

    def path(self, *names: str) -> str:
        return "/".join(names)

    def run(self, _command: list[str], env: dict[str, str], text: str = "") -> programs.Result:
        self.environments.append(env["PGOPTIONS"])
        return programs.Result(0, "0", text)


@pytest.mark.parametrize("setting", ["search_path=pg_catalog,pg_temp", "statement_timeout=0"])
def test_objects_and_settings_of_owners_have_no_effect(setting: str) -> None:
    scratch = StubDirectory()
    postgresql.psql(cast("host.ScratchDirectory", scratch), "app", postgresql.TABLES)
    postgresql.amcheck(cast("host.ScratchDirectory", scratch), "/bin", Outcome("postgresql", "1"))
    assert len(scratch.environments) == 2
    assert all(f"-c {setting}" in options for options in scratch.environments)


def test_row_is_not_converted_by_a_cast_of_its_owner() -> None:
    statements: Any = postgresql.TABLES.replace(
        "::numeric", ""
    )  # the cast of a bigint is safe, because owners cannot create casts between PostgreSQL's own types
    assert "::" not in statements


def test_database_of_an_interrupted_drop_is_named_and_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    rows = "app,f\nhalf,t\npostgres,f\n"
    monkeypatch.setattr(postgresql, "psql", lambda *_: programs.Result(0, rows))
    monkeypatch.setattr(postgresql, "read_tables", lambda _scratch, _outcome, database: read.append(database))
    outcome = Outcome("yearly", "1")
    settings = SimpleNamespace(rpo_seconds=0)
    postgresql.read_all(cast("Settings", settings), cast("host.ScratchDirectory", StubDirectory()), outcome, 0.0)
    assert read == ["app", "postgres"]
    assert outcome.problems == []
    assert ["database half was left by an interrupted DROP DATABASE" in text for text in outcome.warnings] == [True]
    assert "- warning: database half" in report.format_markdown("db", 0.0, [outcome])
