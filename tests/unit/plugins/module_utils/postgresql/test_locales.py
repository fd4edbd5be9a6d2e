"""Locale, encoding and template of a database: they are used when it is created, and compared when it exists."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import catalog, locales, objects
from ansible_collections.vise.platform.plugins.module_utils.postgresql.locales import Locale

BUILTIN = Locale("b", "C.UTF-8", "C.UTF-8", "C.UTF-8", "UTF8")
C = Locale("c", "C", "C", "", "UTF8")
PRISTINE = ' TEMPLATE "template0"'


def described(**options: Any) -> dict[str, Any]:
    empty = {"read_write": [], "read_only": [], "extensions": [], "connection_limit": -1}
    return {"name": "synapse", "owner": "synapse", **empty, **options}


@pytest.mark.parametrize(
    ("options", "clauses"),
    [
        ({}, ""),
        ({"locale": "", "encoding": "", "template": "", "locale_provider": ""}, ""),
        ({"locale": "C"}, f"{PRISTINE} LOCALE_PROVIDER libc LOCALE 'C'"),
        ({"locale": "C", "encoding": "UTF8"}, f"{PRISTINE} ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"),
        ({"locale": "de-DE", "locale_provider": "icu"}, f"{PRISTINE} LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
        ({"locale": "C", "locale_provider": "builtin"}, f"{PRISTINE} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C'"),
        ({"encoding": "UTF8", "template": "template0"}, f"{PRISTINE} ENCODING 'UTF8'"),
        ({"template": "blank"}, ' TEMPLATE "blank"'),
    ],
)
def test_new_database_is_created_as_described(options: dict[str, Any], clauses: str) -> None:
    steps = objects.plan(objects.DesiredState([described(**options)]), objects.CurrentState())
    [step] = [one for one in steps if one.autocommit]
    assert step.sql == f'CREATE DATABASE "synapse" OWNER "synapse"{clauses}'


@pytest.mark.parametrize(
    ("options", "existing", "expected"),
    [
        ({}, BUILTIN, []),
        ({"locale": "C"}, C, []),
        ({"locale": "C.utf8"}, Locale("c", "C.UTF-8", "C.UTF-8"), []),
        ({"encoding": "utf-8"}, C, []),
        ({"locale": "C.UTF-8", "locale_provider": "builtin"}, BUILTIN, []),
        ({"locale": "C"}, BUILTIN, ["synapse: its locale is C.UTF-8 of builtin, not C of libc; PostgreSQL cannot"]),
        ({"locale": "C"}, Locale("c", "C", "de_DE"), ["synapse: its locale is C and de_DE of libc, not C of libc;"]),
        ({"locale": "de-DE", "locale_provider": "icu"}, C, ["synapse: its locale is C of libc, not de-DE of icu;"]),
        ({"encoding": "UTF8"}, C._replace(encoding="LATIN1"), ["synapse: its encoding is LATIN1, not UTF8;"]),
    ],
)
def test_existing_database_that_differs_is_refused(
    options: dict[str, Any], existing: Locale, expected: list[str]
) -> None:
    database = dataclasses.replace(objects.Database("synapse"), locale=existing)
    current = objects.CurrentState(databases={"synapse": database}, available={})
    found = objects.find_problems(objects.DesiredState([described(**options)]), current)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"locale": "C", "template": "template1"}, "is a copy of template0: remove `template`"),
        ({"locale_provider": "icu"}, "locale_provider without a locale: write `locale`"),
        ({"encoding": "LATIN1"}, "needs a locale that can use it: write `locale: C`"),
    ],
)
def test_contradiction_is_refused(options: dict[str, Any], expected: str) -> None:
    [problem] = locales.find_contradictions(described(**options))
    assert expected in problem


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"locale": "xx_XX.UTF-8"}, ["synapse: the host has no locale xx_XX.UTF-8: add it to base_locales"]),
        ({"locale": "xx_XX.UTF-8", "locale_provider": "icu"}, []),
        ({"template": "blank"}, ["synapse: its template blank does not exist: create that database first"]),
        ({"template": "stored"}, []),
    ],
)
def test_what_the_host_does_not_have_is_refused(options: dict[str, Any], expected: list[str]) -> None:
    current = objects.CurrentState(
        available={},
        missing_locales=frozenset({"xx_XX.UTF-8"}),
        holdings=frozenset({("DATABASE", "stored", "postgres")}),
    )
    assert objects.find_problems(objects.DesiredState([described(**options)]), current) == expected


def test_locale_of_the_host_is_found() -> None:
    assert catalog.is_locale("C")
    assert not catalog.is_locale("xx_XX.UTF-8")
