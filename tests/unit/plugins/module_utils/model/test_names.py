"""A name is text of one pattern for its kind; every other value is refused with what to write."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.model import names


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("database", "edu"),
        ("database", "a" * 51),
        ("pool", "edu-Jobs_1"),
        ("pool", "replication"),
        ("pool", "all"),
        ("postgresql", "replication"),
        ("site", "docs"),
        ("site", "a-1"),
        ("virtual_host", "docs.internal"),
        ("cache", "edu.app"),
        ("set", "2024"),
        ("person", "alice"),
        ("slot", "db_2"),
        ("certificate", "docs.internal"),
        ("extension", "uuid-ossp"),
    ],
)
def test_name_of_its_kind_is_valid(kind: str, value: str) -> None:
    assert names.find_problem(kind, value) is None


@pytest.mark.parametrize("kind", sorted(set(names.KINDS) - {"text"}))
@pytest.mark.parametrize(
    "value",
    ["", "a b", "a\n", "../x", "a:b", "a,b", "a=b", 'a"b', "a'b", "a#b", "$a", "%a", "*", "-".join("é"), "a" * 200],
)
def test_text_that_another_format_reads_differently_is_no_name(kind: str, value: str) -> None:
    if kind == "label" and value == "a" * 200:
        return
    assert names.find_problem(kind, value) is not None


@pytest.mark.parametrize("kind", sorted(names.KINDS))
@pytest.mark.parametrize("value", [True, False, 7, 2024, 1.5, None, datetime.date(2024, 1, 1), [], {}])
def test_value_that_is_not_text_is_no_name(kind: str, value: Any) -> None:
    assert names.find_problem(kind, value) is not None


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("database", "postgres", "reserved by PostgreSQL"),
        ("database", "pg_catalog", "reserved by PostgreSQL"),
        ("database", "template1", "reserved by PostgreSQL"),
        ("database", "edu_read_only", "name of a group"),
        ("database", "all", "keyword of access rules"),
        ("database", "samerole", "keyword of access rules"),
        ("database", "replication", "user of the platform"),
        ("database", "pgbouncer", "user of the platform"),
        ("pool", "pgbouncer", "database of the pool itself"),
        ("cache", "default", "user of the role"),
        ("set", "prune", "name of a job"),
        ("certificate", "internal", "internal CA"),
    ],
)
def test_name_with_another_meaning_is_refused(kind: str, value: str, reason: str) -> None:
    found = names.find_problem(kind, value)
    assert found is not None
    assert reason in found.fault
