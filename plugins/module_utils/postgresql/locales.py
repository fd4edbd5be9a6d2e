# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locale, encoding and template of databases: PostgreSQL fixes them when it creates a database. Pure."""

from __future__ import annotations

import typing as t

Entry = t.Mapping[str, t.Any]
# Provider -> its letter in pg_database, and the option of CREATE DATABASE
PROVIDERS = {"libc": ("c", "LOCALE"), "icu": ("i", "ICU_LOCALE"), "builtin": ("b", "BUILTIN_LOCALE")}
# Without sessions and without text in an encoding: only this one can be copied with another locale or encoding.
PRISTINE = "template0"


class Locale(t.NamedTuple):
    """The locale and the encoding of an existing database."""

    provider: str = "c"
    collate: str = ""
    ctype: str = ""
    locale: str = ""  # of the providers icu and builtin
    encoding: str = "UTF8"

    def describe(self) -> str:
        """Return the locale with its provider."""
        name = next((name for name, (letter, _option) in PROVIDERS.items() if letter == self.provider), self.provider)
        text = self.collate if self.collate == self.ctype else f"{self.collate} and {self.ctype}"
        return f"{text if self.provider == 'c' else self.locale} of {name}"


def normalize(name: str) -> str:
    """Return a locale or an encoding in one spelling: C.UTF-8 and C.utf8 are the same one."""
    return name.lower().replace("-", "").replace("_", "")


def choose_template(database: Entry) -> str:
    """Return the database that is copied; empty for the default of PostgreSQL."""
    if database.get("template"):
        return str(database["template"])
    return PRISTINE if database.get("locale") or database.get("encoding") else ""


def write_clauses(database: Entry, quote_ident: t.Callable[[str], str], quote_literal: t.Callable[[str], str]) -> str:
    """Return the clauses of CREATE DATABASE, each one after a space."""
    clauses = []
    if template := choose_template(database):
        clauses.append(f"TEMPLATE {quote_ident(template)}")
    if database.get("encoding"):
        clauses.append(f"ENCODING {quote_literal(database['encoding'])}")
    if database.get("locale"):
        provider = database.get("locale_provider") or "libc"
        clauses.append(f"LOCALE_PROVIDER {provider} {PROVIDERS[provider][1]} {quote_literal(database['locale'])}")
    return "".join(f" {clause}" for clause in clauses)


def find_contradictions(database: Entry) -> list[str]:
    """Return one message for each combination that PostgreSQL cannot create."""
    name, template = database["name"], database.get("template")
    found = []
    if template and template != PRISTINE and (database.get("locale") or database.get("encoding")):
        found.append(f"{name}: a database with its own locale or encoding is a copy of template0: remove `template`")
    if database.get("locale_provider") and not database.get("locale"):
        found.append(f"{name}: locale_provider without a locale: write `locale`, such as C")
    if normalize(database.get("encoding") or "UTF8") != "utf8" and not database.get("locale"):
        found.append(f"{name}: an encoding other than UTF8 needs a locale that can use it: write `locale: C`")
    return found


def find_differences(database: Entry, existing: Locale) -> list[str]:
    """Return one message for each attribute in which an existing database differs: it cannot be changed."""
    name, advice = (
        database["name"],
        "PostgreSQL cannot change it: load a dump into a new database, or write",
    )
    found = []
    wanted, provider = database.get("locale") or "", database.get("locale_provider") or "libc"
    letter = PROVIDERS[provider][0]
    names = {existing.collate, existing.ctype} if letter == "c" else {existing.locale}
    if wanted and (letter != existing.provider or {normalize(one) for one in names} != {normalize(wanted)}):
        found.append(f"{name}: its locale is {existing.describe()}, not {wanted} of {provider}; {advice} that locale")
    encoding = database.get("encoding") or ""
    if encoding and normalize(encoding) != normalize(existing.encoding):
        found.append(f"{name}: its encoding is {existing.encoding}, not {encoding}; {advice} `{existing.encoding}`")
    return found


def find_missing(databases: t.Iterable[Entry], existing: t.Collection[str], absent: t.Collection[str]) -> list[str]:
    """Return one message for each locale of libc that a new database needs and the host does not have."""
    return [
        f"{one['name']}: the host has no locale {one['locale']}: add it to base_locales"
        for one in databases
        if one["name"] not in existing
        and one.get("locale") in absent
        and (one.get("locale_provider") or "libc") == "libc"
    ]
