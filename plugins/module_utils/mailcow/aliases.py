# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Aliases."""

from __future__ import annotations

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

ALIAS = {
    "address": sync.NAME,
    "goto": sync.STRINGS,
    "active": sync.FLAG,
    "internal": sync.FLAG,
    "sender_allowed": sync.FLAG,
    "webmail": sync.FLAG,
    "comment": sync.TEXT,
}
NAMES = {"webmail": "sogo_visible", "comment": "private_comment"}
SPECIAL = {f"{name}@localhost": f"goto_{name}" for name in ("null", "spam", "ham")}


def attributes(options: Row) -> Row:
    """Return options by the API's names; each special target is a separate attribute."""
    values = {NAMES.get(k, k): sync.to_api(v) for k, v in options.items() if k not in ("address", "goto")}
    goto = options.get("goto", [])
    if len(goto) == 1 and goto[0] in SPECIAL:
        return {**values, SPECIAL[goto[0]]: 1}
    return {**values, "goto": ",".join(goto)} if goto else values


def create(options: Row) -> Row:
    """Return the API's attributes of a new alias."""
    return {"address": options["address"], "active": 1, "sender_allowed": 1, "sogo_visible": 1, **attributes(options)}


def update(changes: Row, current: sync.Current) -> Row:
    """Return the API's attributes of a change, always with targets: mailcow treats a special one as an address."""
    return attributes({"goto": current.values["goto"], **changes})


def normalize(entry: Row) -> Row:
    """Return an entry with its addresses as mailcow stores them, and its targets in order."""
    goto = entry["goto"] and sorted({sync.normalize_address(target, lower=False) for target in entry["goto"]})
    return {**entry, "address": sync.normalize_address(entry["address"]), "goto": goto}


def read(rows: sync.Rows) -> dict[str, sync.Current]:
    """Return mailcow's aliases by address."""
    # An alias that is deleted while mailcow lists the aliases has a row without values
    aliases = [(row["id"], read_row(row)) for row in rows["alias"] if row.get("id")]
    return {values["address"]: sync.Current(number, values) for number, values in aliases}


def read_row(row: Row) -> Row:
    """Return an alias's values by the option names."""
    return {
        # MariaDB and Postfix ignore the case of addresses
        "address": str(row["address"]).lower(),
        "goto": sorted(part.strip() for part in str(row.get("goto") or "").split(",") if part.strip()),
        "active": sync.to_flag(row.get("active")),
        "internal": sync.to_flag(row.get("internal")),
        "sender_allowed": sync.to_flag(row.get("sender_allowed")),
        "webmail": sync.to_flag(row.get("sogo_visible")),
        "comment": row.get("private_comment") or "",
    }


def find_problems(wanted: t.Sequence[Row], _current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the reasons for which mailcow would refuse the aliases."""
    problems = []
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        name, goto = f"alias {entry['address']}", entry["goto"] or []
        problems += sync.find_text_problems(name, entry, {"comment": 160})
        special = ", ".join(sorted(set(goto) & SPECIAL.keys()))
        if entry["address"].count("@") != 1 or entry["address"].endswith("@"):
            problems.append(
                f"{name}: the address must be name@domain, or @domain for all other addresses of the domain"
            )
        if not goto:
            problems.append(f"{name}: goto is missing")
        if len(goto) > 1 and special:
            problems.append(f"{name}: {special} must be the only target")
        problems += [f"{name}: {target} in goto is not an address" for target in goto if not all(target.partition("@"))]
    return problems


def needs(entry: Row) -> list[tuple[str, str]]:
    """Return the domain that an alias is in."""
    return [("alias domain", entry["address"].rpartition("@")[2])] if entry["state"] == "present" else []


KIND = sync.Kind(
    "alias",
    "address",
    create,
    update,
    option="aliases",
    normalize=normalize,
    read=read,
    problems=find_problems,
    needs=needs,
)
