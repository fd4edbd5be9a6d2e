"""Databases and caches as an application meets them, and the platform rebuilt from its backups."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import machines
from tests.e2e.converge import ADDRESS, ADDRESS6, ARCHIVE, DRILL, MAILS, PHASE1, ROOT, TABLES

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

SECRETS = ROOT / PHASE1.inventory / "group_vars/all/vault.yml"
EDU = ROOT / "examples/edu/database"
CA = "/etc/vise/tls/internal/ca.pem"


@pytest.fixture(scope="module")
def secret() -> Callable[[str], str]:
    """A secret of the development environment."""
    secrets: dict[str, str] = yaml.safe_load(SECRETS.read_text())
    return lambda name: secrets[name]


@pytest.fixture(scope="module")
def sql(on_host: Shell, secret: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run SQL as the application edu, over TLS."""

    def run(text: str, port: int = 6432, mode: str = "verify-full", check: bool = True) -> Any:
        login = f"host={ADDRESS} port={port} dbname=edu user=edu sslmode={mode} sslrootcert={CA}"
        command = f'IFS= read -r PGPASSWORD; export PGPASSWORD; psql -XAtq -v ON_ERROR_STOP=1 "{login}"'
        return on_host(ADDRESS, command, f"{secret('vault_database_edu')}\n{text}", check)

    return run


@pytest.fixture(scope="module")
def courses(
    converged: str,  # noqa: ARG001 - the host has to be converged first
    sql: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The tables of the education platform, with rows."""
    if sql("SELECT to_regclass('progress')").stdout.strip() == "":
        sql((EDU / "schema.sql").read_text() + (EDU / "seed.sql").read_text(), port=5432)


@pytest.mark.parametrize("port", [6432, 5432], ids=["pool", "database"])
@pytest.mark.usefixtures("courses")
def test_application_reads_its_rows_over_tls(sql: Callable[..., subprocess.CompletedProcess[str]], port: int) -> None:
    assert sql("SELECT count(*) FROM progress", port=port).stdout.strip() == "145000"


@pytest.mark.parametrize("port", [6432, 5432], ids=["pool", "database"])
@pytest.mark.usefixtures("courses")
def test_nobody_gets_in_without_tls(sql: Callable[..., subprocess.CompletedProcess[str]], port: int) -> None:
    refused = sql("SELECT 1", port=port, mode="disable", check=False)
    assert refused.returncode == 2
    assert refused.stdout == ""


def test_application_keeps_keys_of_its_own_in_the_cache(
    converged: str, on_host: Shell, secret: Callable[[str], str]
) -> None:
    assert converged
    words = f"read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli --tls --cacert {CA} -h {ADDRESS} --user edu"
    lines = "".join(f"SET edu:{number} {number}\n" for number in range(100))
    answer = on_host(ADDRESS, words, f"{secret('vault_cache_edu')}\n{lines}SET other:1 1\n").stdout
    assert answer.count("OK") == 100
    assert "NOPERM" in answer


def rows(address: str, on_host: Shell) -> dict[str, str]:
    """Every table with its rows and a checksum over them, but the markers that go on being written."""
    listed = on_host(address, "runuser -u postgres -- psql -XAtq -d edu", TABLES).stdout
    return dict(line.split("|", 1) for line in listed.splitlines())


def assert_stale_backup_fails(reports: Path) -> None:
    """On hosts that are there: a drill whose backup is older than the limit ends when it knows, and says how much."""
    limit = 60
    extra = {"drill_reports": str(reports), "drill_create": [], "drill_keep": True, "backup_rpo": limit}
    run = DRILL.play("drill", extra=extra)
    assert run.code != 0
    [report] = reports.glob("*.md")
    verdict = r"drill FAILED: RPO: ([0-9]+) s of data were lost, the limit is ([0-9]+) s"
    [(lost, said)] = re.findall(verdict, report.read_text())
    assert int(lost) > limit == int(said)
    assert f"drill FAILED: RPO: {lost} s" in run.output
    stages = [stage["name"] for stage in json.loads(report.with_suffix(".json").read_text())["stages"]]
    assert stages[-1] == "measure the loss"
    metrics = (reports / "vise_drill.prom").read_text()
    assert "vise_drill_success 0\n" in metrics
    assert f"vise_drill_rpo_seconds {lost}\n" in metrics


def mails(address: str, on_host: Shell) -> set[str]:
    """Return the checksum of every mail of a host."""
    return set(on_host(address, MAILS).stdout.split())


@pytest.fixture
def kept(converged: str, on_host: Shell, world: Shell) -> set[str]:
    """The checksums of the platform's mails, of which there is at least one."""
    assert converged
    recipient = "probe@vln.test"
    world(f"sendmail -f friend@partner.test {recipient}", f"From: friend@partner.test\nTo: {recipient}\n\nhello\n")
    delivered = machines.eventually(lambda: mails(ADDRESS, on_host), seconds=60, pause=1)
    assert delivered
    return delivered


@pytest.mark.deep
@pytest.mark.usefixtures("courses")
def test_platform_is_rebuilt_from_its_backups_with_every_row_and_key(
    kept: set[str],
    on_host: Shell,
    sandbox: Shell,
    sql: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    sets = [f"restic-backup@{name}:first" for name in ("configuration", "redis", "mail")]
    # It takes away nothing that is needed.
    for unit in ("vise-pgbackrest@full", *sets, "restic-prune@host-1-first"):
        on_host(ADDRESS, f"systemctl start {unit}")
    # Younger than any backup: it comes back by the archive alone, which is a minute behind at most.
    sql("INSERT INTO users (email, name) SELECT gen_random_uuid() || '@example.org', 'Late'")
    on_host(ADDRESS, "systemctl start vise-backup-marker")
    on_host(ADDRESS, "bash -s", ARCHIVE)
    wanted = rows(ADDRESS, on_host)
    # From here on nothing of the platform reaches its backups: what they hold grows old while the drill goes on.
    for service in ("s3_a", "s3_b"):
        sandbox("fault", service, "outage", ADDRESS, ADDRESS6)
    try:
        run = DRILL.play("drill", extra={"drill_reports": str(tmp_path), "drill_keep": True})
        report = next(tmp_path.glob("*.md"))
        (ROOT / ".cache/e2e/drill.md").write_text(report.read_text())
        assert run.code == 0, report.read_text() + run.tail
        assert rows("172.30.0.20", on_host) == wanted
        assert kept <= mails("172.30.0.20", on_host)
        found = json.loads(report.with_suffix(".json").read_text())
        names = [check["name"] for check in found["found"]["checks"]]
        assert {"markers of the database", "pg_amcheck", "keys of the cache"} <= set(names)
        assert "drill passed: RPO " in run.output
        # It took nothing over: the platform archives on, and the rebuilt one does not.
        assert on_host("172.30.0.20", "runuser -u postgres -- psql -XAtqc 'SHOW archive_mode'").stdout.strip() == "off"
        assert_stale_backup_fails(tmp_path / "stale")
    finally:
        for service in ("s3_a", "s3_b"):
            sandbox("fault", service, "none", ADDRESS, ADDRESS6)
        DRILL.destroy()
