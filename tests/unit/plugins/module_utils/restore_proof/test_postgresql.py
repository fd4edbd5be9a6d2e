"""How the restored cluster is asked: its databases' owners decide neither what runs nor for how long."""

from __future__ import annotations

from typing import Any, cast

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host, postgresql
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome


class Bench:
    """A bench on which nothing runs; it keeps the environments of what should."""

    def __init__(self) -> None:
        self.environments = list[str]()

    def path(self, *names: str) -> str:
        return "/".join(names)

    def run(self, _command: list[str], env: dict[str, str], text: str = "") -> host.Answer:
        self.environments.append(env["PGOPTIONS"])
        return host.Answer(0, "0", text)


@pytest.mark.parametrize("setting", ["search_path=pg_catalog,pg_temp", "statement_timeout=0"])
def test_what_owners_have_made_or_set_decides_nothing(setting: str) -> None:
    bench = Bench()
    postgresql.psql(cast("host.Bench", bench), "app", postgresql.TABLES)
    postgresql.amcheck(cast("host.Bench", bench), "/bin", Outcome("postgresql", "1"))
    assert len(bench.environments) == 2
    assert all(f"-c {setting}" in options for options in bench.environments)


def test_row_is_not_converted_by_a_cast_that_its_owner_can_make() -> None:
    statements: Any = postgresql.TABLES.replace(
        "::numeric", ""
    )  # of a bigint: PostgreSQL's own types are nobody else's
    assert "::" not in statements
