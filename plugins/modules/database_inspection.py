#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_inspection
short_description: Read and verify every row of a running PostgreSQL cluster, and report its age
version_added: 0.1.0
description:
  - Counts the rows of every table in every database, with a checksum that does not depend on their order, so that two
    clusters can be compared without transferring rows.
  - Verifies every index against its table by pg_amcheck, and the chain of markers of the role backup_verify; the newest
    marker shows up to which time the cluster is complete.
  - It only reads, except that pg_amcheck installs its extension C(amcheck) if it is missing. Problems are reported in
    RV(checks) and do not fail the module.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  version:
    description: PostgreSQL's major version.
    type: str
    default: "17"
  rows:
    description: Whether all rows and indexes are read; if not, only the markers are read.
    type: bool
    default: true
  port:
    description: Port of the server; it is queried over its socket as user C(postgres).
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Read the restored cluster
  vise.platform.database_inspection:
  register: restored
"""

RETURN = r"""
newest:
  description: Time of the newest marker, in seconds since 1970; missing without markers.
  returned: with markers
  type: float
  sample: 1795555260.12
tables:
  description: Each table with its number of rows and checksum; empty with O(rows=false).
  returned: always
  type: list
  elements: dict
  sample: [{name: edu.public.users, rows: 5000, checksum: "-8127364412"}]
checks:
  description: The verifications, each with its result.
  returned: always
  type: list
  elements: dict
  sample: [{name: markers of the database, passed: true, detail: "1440 rows, none missing"}]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.postgresql import session
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import verdicts
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.postgresql import (
    MARKERS,
    TABLES,
    parse_rows,
)

DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY 1"
PROGRAMS = "/usr/lib/postgresql/{version}/bin"

Result = tuple[int, str, str]
# Runs a PostgreSQL program as user postgres
RunProgram = t.Callable[..., Result]


class UnreadableError(Exception):
    """A cluster that does not answer or a table that cannot be read."""


def run_query(run: RunProgram, database: str, query: str) -> list[list[str]]:
    """Run a query; return its rows, raise UnreadableError for any error."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--csv", "--set", "ON_ERROR_STOP=1", "--dbname", database]
    status, out, err = run("psql", *options, query=query)
    if status or err.strip():
        raise UnreadableError(
            f"database {database}: {err.strip().splitlines()[0] if err.strip() else f'exit {status}'}"
        )
    return parse_rows(out)


def count_tables(run: RunProgram) -> list[dict[str, t.Any]]:
    """Return each table of each database with its number of rows and checksum."""
    return [
        {"name": f"{database}.{name}", "rows": int(count), "checksum": checksum}
        for (database,) in run_query(run, "postgres", DATABASES)
        for name, count, checksum in run_query(run, database, TABLES)
    ]


def check_markers(markers: t.Sequence[verdicts.Marker]) -> dict[str, t.Any]:
    """Return the verification of the chain of markers."""
    problems = (
        verdicts.find_marker_problems(markers) if markers else ["there are no markers: check vise-backup-marker.timer"]
    )
    detail = "; ".join(problems) or f"{len(markers)} rows, each with the hash of the row before"
    return {"name": "markers of the database", "passed": not problems, "detail": detail}


def check_indexes(run: RunProgram) -> dict[str, t.Any]:
    """Verify every index against its table, and the structure of every table, by pg_amcheck."""
    answer = run("pg_amcheck", "--all", "--heapallindexed", "--parent-check", "--install-missing", "--progress")
    count, problems = verdicts.parse_amcheck(*answer)
    detail = "; ".join(problems) or f"{count} relations"
    return {"name": "pg_amcheck", "passed": not problems, "detail": detail}


def inspect(run: RunProgram, all_rows: bool = True) -> dict[str, t.Any]:
    """Return the module's result."""
    answer = run_query(run, "postgres", "SELECT to_regclass('vise.backup_marker')")
    markers = verdicts.parse_markers(run_query(run, "postgres", MARKERS)) if answer and answer[0][0] else []
    newest = {"newest": markers[-1].written_us / 1e6} if markers else {}
    if not all_rows:
        return {**newest, "tables": [], "checks": [check_markers(markers)]}
    return {**newest, "tables": count_tables(run), "checks": [check_markers(markers), check_indexes(run)]}


def make_runner(version: str, port: int) -> RunProgram:
    """Return a function that runs a PostgreSQL program as user postgres, authenticated through the socket."""

    def run(program: str, *arguments: str, query: str = "") -> Result:
        path = f"{PROGRAMS.format(version=version)}/{program}"
        argv = ["runuser", "-u", "postgres", "--", path, "--port", str(port), *arguments]
        return programs.run(argv, stdin=query, environment=session.build_environment(version)).parts

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
        found = inspect(make_runner(module.params["version"], module.params["port"]), module.params["rows"])
    except UnreadableError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
