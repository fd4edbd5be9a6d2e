#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_inspection
short_description: Read every row of a running PostgreSQL cluster, and tell how recent it is
version_added: 0.1.0
description:
  - Counts the rows of every table of every database, with a checksum over all of them that does not depend on their
    order, so that two clusters can be compared row by row without moving a row.
  - Holds every index against its table (pg_amcheck), and the markers of the role backup_verify against each other; the
    newest one tells up to which moment the cluster has everything.
  - It reads alone; pg_amcheck installs its extension C(amcheck) where that is missing. What it finds wrong is in
    RV(checks), and no reason to fail.
author:
  - vise.platform contributors (@vise-platform)
options:
  version:
    description: PostgreSQL's major version.
    type: str
    default: "17"
  rows:
    description: Whether all is read; if not, only how recent it is.
    type: bool
    default: true
  port:
    description: Its port; it is asked over the socket, as C(postgres).
    type: int
    default: 5432
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Read the restored cluster
  vise.platform.database_inspection:
  register: restored
"""

RETURN = r"""
newest:
  description: When the newest marker was written, in seconds since the epoch; absent without markers.
  returned: with markers
  type: float
  sample: 1795555260.12
tables:
  description: Every table with its rows; none without O(rows).
  returned: always
  type: list
  elements: dict
  sample: [{name: edu.public.users, rows: 5000, checksum: "-8127364412"}]
checks:
  description: What was held against what.
  returned: always
  type: list
  elements: dict
  sample: [{name: markers of the database, passed: true, detail: "1440 rows, none missing"}]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import verdicts
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.postgresql import (
    MARKERS,
    TABLES,
    TRUSTED_NAMES,
    rows,
)

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
PROGRAMS = "/usr/lib/postgresql/{version}/bin"

Answer = tuple[int, str, str]
# Runs a program of PostgreSQL as the user postgres.
Program = t.Callable[..., Answer]


class Unreadable(Exception):
    """A cluster that does not answer."""


def psql(run: Program, database: str, query: str) -> list[list[str]]:
    """Return the rows of a query."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--csv", "--set", "ON_ERROR_STOP=1", "--dbname", database]
    status, out, err = run("psql", *options, query=query)
    if status or err.strip():
        raise Unreadable(f"database {database}: {err.strip().splitlines()[0] if err.strip() else f'exit {status}'}")
    return rows(out)


def tables(run: Program) -> list[dict[str, t.Any]]:
    """Return every table of every database with its rows."""
    return [
        {"name": f"{database}.{name}", "rows": int(count), "checksum": checksum}
        for (database,) in psql(run, "postgres", DATABASES)
        for name, count, checksum in psql(run, database, TABLES)
    ]


def marker_check(found: t.Sequence[verdicts.Marker]) -> dict[str, t.Any]:
    """Return whether the markers are what was written."""
    problems = verdicts.chain(found) if found else ["there are none; does vise-backup-marker.timer run?"]
    seen = "; ".join(problems) or f"{len(found)} rows, each hashed over the one before"
    return {"name": "markers of the database", "passed": not problems, "detail": seen}


def amcheck(run: Program) -> dict[str, t.Any]:
    """Hold every index against its table, and every table against itself."""
    answer = run("pg_amcheck", "--all", "--heapallindexed", "--parent-check", "--install-missing", "--progress")
    count, problems = verdicts.amcheck(*answer)
    seen = "; ".join(problems) or f"{count} relations"
    return {"name": "pg_amcheck", "passed": not problems, "detail": seen}


def inspection(run: Program, all_rows: bool = True) -> dict[str, t.Any]:
    """Return all that is found."""
    held = psql(run, "postgres", "SELECT to_regclass('vise.backup_marker')")
    found = verdicts.markers(psql(run, "postgres", MARKERS)) if held and held[0][0] else []
    newest = {"newest": found[-1].written_us / 1e6} if found else {}
    if not all_rows:
        return {**newest, "tables": [], "checks": [marker_check(found)]}
    return {**newest, "tables": tables(run), "checks": [marker_check(found), amcheck(run)]}


def runner(module: AnsibleModule) -> Program:
    """Return what runs a program of PostgreSQL as the superuser whom it knows by the socket."""

    def run(program: str, *arguments: str, query: str = "") -> Answer:
        path = f"{PROGRAMS.format(version=module.params['version'])}/{program}"
        argv = ["runuser", "-u", "postgres", "--", path, "--port", str(module.params["port"]), *arguments]
        session = {"PGOPTIONS": f"-c {TRUSTED_NAMES}"}
        status, out, err = module.run_command(argv, data=query, cwd="/", environ_update=session)
        return status, out, err

    return run


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "version": {"type": "str", "default": "17"},
            "port": {"type": "int", "default": 5432},
            "rows": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )

    try:
        found = inspection(runner(module), module.params["rows"])
    except Unreadable as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
