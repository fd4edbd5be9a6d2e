"""Backups reach both repositories and can be restored; failing repositories are reported and the database goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from testinfra.host import Host

from tests import machines, storage
from tests.databases import query, wait_until_archived
from tests.scenario import ADDRESS, NAME, Role

INCREMENTAL = "vise-pgbackrest@incr"
METRICS = "cat /var/lib/prometheus/node-exporter/vise_*.prom"
CONFIGURATION = "/etc/pgbackrest/pgbackrest.conf"
CHECK = "runuser -u postgres -- pgbackrest --stanza=main check"
KINDS = ("full", "diff", "incr", "yearly")
WRONG = {"key": "AKIACANARYCANARY0001", "key_secret": "canary-of-a-secret", "cipher_pass": "canary-of-a-passphrase"}


def metric(host: Host, name: str, kind: str = "", repository: int = 0) -> float:
    """Return a metric's value, 0 when it is absent."""
    labels = f'{{tool="pgbackrest",kind="{kind}",repository="{repository}"}}' if kind else ""
    found = re.search(rf"^{name}{re.escape(labels)} ([0-9.e+]+)$", host.check_output(METRICS), re.MULTILINE)
    return float(found[1]) if found else 0.0


def labels(host: Host, config: str, repository: int) -> list[str]:
    """Return the labels of the backups in a repository."""
    info = f"runuser -u postgres -- pgbackrest --config={config} --stanza=main --output=json --repo={repository} info"
    return [backup["label"] for backup in json.loads(host.check_output(info))[0]["backup"]]


@pytest.mark.parametrize("repository", [1, 2])
def test_first_converge_leaves_a_full_and_a_yearly_backup(host: Host, repository: int) -> None:
    assert [label[-1] for label in labels(host, CONFIGURATION, repository)][:1] == ["F"]
    assert [label[-1] for label in labels(host, f"/etc/pgbackrest/yearly-{repository}.conf", 1)][:1] == ["F"]


@pytest.mark.parametrize("kind", ["incr", "yearly", pytest.param("diff", marks=pytest.mark.deep)])
def test_backup_reaches_both_repositories(host: Host, kind: str) -> None:
    began = time.time() - 1
    host.check_output(f"systemctl start vise-pgbackrest@{kind}")
    for repository in (1, 2):
        assert metric(host, "vise_backup_last_success_timestamp_seconds", kind, repository) >= began
    host.check_output(CHECK)


# Limits of an administrator that end each session which does not set its own.
LIMITS = {
    "statement_timeout": "1ms",
    "transaction_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "lock_timeout": "1ms",
}
UNLIMITED = "cd /; export PGOPTIONS='-c statement_timeout=0 -c transaction_timeout=0 -c idle_session_timeout=0'"


@pytest.fixture
def limits(host: Host) -> Iterator[None]:
    """The account of the backups has time limits that end a query at once."""
    query(host, *(f"ALTER ROLE postgres SET {name} = '{value}'" for name, value in LIMITS.items()))
    yield
    machines.script(host, f"{UNLIMITED}\nrunuser -u postgres -- psql -Xc 'ALTER ROLE postgres RESET ALL'")


@pytest.mark.usefixtures("limits")
def test_time_limits_of_the_server_do_not_end_a_backup(host: Host) -> None:
    began = time.time() - 1
    host.check_output(f"systemctl start {INCREMENTAL}")
    assert metric(host, "vise_backup_last_success_timestamp_seconds", "incr", 1) >= began


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_backup_is_scheduled(host: Host, kind: str) -> None:
    assert host.check_output(f"systemctl is-active vise-pgbackrest@{kind}.timer") == "active"
    assert host.check_output(f"systemctl is-enabled vise-pgbackrest@{kind}.timer") == "enabled"


def test_configuration_is_readable_by_postgres_only(host: Host) -> None:
    assert host.check_output(f"stat -c '%a %U %G' {CONFIGURATION}") == "640 root postgres"
    assert host.run(f"runuser -u nobody -- cat {CONFIGURATION}").rc != 0


def test_restored_backup_has_every_row(role: Role, host: Host) -> None:
    query(host, "CREATE TABLE lesson AS SELECT g AS id FROM generate_series(1, 1000) AS g")
    host.check_output(f"systemctl start {INCREMENTAL}")
    query(host, "INSERT INTO lesson VALUES (1001)", "SELECT pg_switch_wal()")
    wait_until_archived(host)
    machines.script(host, "systemctl stop postgresql@17-main; rm -r /var/lib/postgresql/17/main/base")
    task = {"name": "Restore", "vise.platform.database_restore": {}, "register": "restore"}
    [result] = role.results([task]).values()
    assert result["report"]["repository"] in (1, 2)
    assert query(host, "SELECT count(*) FROM lesson") == "1001"
    host.check_output("rm -r /var/lib/postgresql/17/main.before-*")
    host.check_output(CHECK)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param(["key", "key_secret", "cipher_pass"], "InvalidAccessKeyId", id="key"),
        pytest.param(["cipher_pass"], "cannot be read with this `cipher_pass`", id="passphrase"),
    ],
)
def test_wrong_credential_is_refused_and_is_in_no_output(role: Role, host: Host, names: list[str], reason: str) -> None:
    wrong = {name: WRONG[name] for name in names}
    path = role.scratch / "wrong.json"
    path.write_text(
        json.dumps({"pgbackrest_repositories": ["{{ first_repository | combine(wrong) }}"], "wrong": wrong})
    )
    run = role.play(role.folder / "converge.yml", "-vvv", f"--extra-vars=@{path}")
    assert run.code != 0
    for message in ("nothing was changed", "repository 1 (s3-a.vln.test) cannot be used", reason):
        assert message in run.output
    assert "canary" not in run.output.lower()
    # The brackets keep the search from finding itself.
    assert host.run("journalctl | grep -i '[c]anary'").rc == 1
    assert host.run("grep -ri '[c]anary' /var/log /etc/pgbackrest /var/lib/vise").rc == 1
    host.check_output(CHECK)


def test_drift_is_reported_and_corrected(role: Role, host: Host) -> None:
    before = host.check_output(f"sha256sum {CONFIGURATION}")
    machines.script(
        host,
        f"systemctl disable --now vise-pgbackrest@incr.timer vise-archive-queue.timer; rm {CONFIGURATION}\n"
        "echo '{}' >/etc/vise/pgbackrest.json",
    )
    role.correct()
    assert host.check_output(f"sha256sum {CONFIGURATION}") == before
    for timer in ("vise-pgbackrest@incr.timer", "vise-archive-queue.timer"):
        assert host.check_output(f"systemctl is-active {timer}") == "active"
        assert host.check_output(f"systemctl is-enabled {timer}") == "enabled"
    host.check_output("systemctl start vise-archive-queue")


# Links that a program with postgres' account can make, where root once wrote.
LINKS = """
job=/usr/local/sbin/vise-pgbackrest
echo untouched >/srv/roots
cd /var/lib/vise/pgbackrest
for name in failures.json .outcome-incr.json.vise-new outcome-incr.json; do
  rm -f $name
  runuser -u postgres -- ln -s /srv/roots $name
done
SERVICE_RESULT=signal $job finished incr
grep -x untouched /srv/roots
test "$(stat -c '%U %a' /srv/roots)" = 'root 644'
test ! -e outcome-incr.json
grep -q 'failure_timestamp_seconds.*kind="incr",repository="1"' /var/lib/prometheus/node-exporter/vise_pgbackrest.prom
rm failures.json .outcome-incr.json.vise-new
# As root by hand
$job backup incr
test -z "$(find . ! -user postgres)"
systemctl start vise-pgbackrest@incr
"""


@pytest.mark.deep
def test_links_of_postgres_redirect_no_file_of_root(host: Host) -> None:
    machines.script(host, LINKS)


@dataclass(frozen=True)
class Outcome:
    """The result of a backup during which the first repository failed."""

    failed: bool
    seconds: float
    message: str
    failure_is_noted: bool
    other_repository_has_it: bool
    queue_bytes: float
    write_seconds: float


# A commit and its whole segment, which the archive is to take.
WRITE = "INSERT INTO under_fault SELECT g, md5(random()::text) FROM generate_series(1, 100) AS g"
SWITCH = "SELECT pg_switch_wal()"
# Starts a backup and halts it when it has read its repository and begins to copy.
BEGIN_BACKUP = """
systemctl reset-failed vise-pgbackrest@incr || true
systemctl start --no-block vise-pgbackrest@incr
session="SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest%backup%'"
cd /; until runuser -u postgres -- psql -XAtqc "$session" | grep -q 1; do :; done
systemctl kill --signal=STOP vise-pgbackrest@incr
test "$(systemctl is-active vise-pgbackrest@incr)" = activating
"""


def back_up_under(host: Host, kind: str) -> Outcome:
    """Let the first repository fail while a backup and WAL go to it, until the backup has ended there."""
    began = time.time()
    query(host, "CREATE TABLE IF NOT EXISTS under_fault (id int, body text)")
    query(host, "INSERT INTO under_fault SELECT 0, md5(random()::text) FROM generate_series(1, 60000)")
    machines.script(host, BEGIN_BACKUP)
    journal = f"journalctl -u {INCREMENTAL} -o cat --since=@{began:.0f}"
    with storage.fault("s3_a", kind):
        host.check_output(f"systemctl kill --signal=CONT {INCREMENTAL}")
        moment = time.monotonic()
        query(host, WRITE, SWITCH)
        write_seconds = time.monotonic() - moment
        assert machines.eventually(lambda: host.run(f"{journal} | grep 'repository 1 '").rc == 0, 150)
        seconds = time.time() - began
        host.check_output("systemctl start vise-archive-queue")
        queue_bytes = metric(host, "vise_archive_queue_bytes")
    # PostgreSQL gives up for a minute, and tries again with the next segment.
    query(host, WRITE, SWITCH)
    wait_until_archived(host, 150)
    # Neither activating nor deactivating
    assert machines.eventually(lambda: "activating" not in host.run(f"systemctl is-active {INCREMENTAL}").stdout, 150)
    return Outcome(
        failed=host.run(f"systemctl is-failed {INCREMENTAL}").rc == 0,
        seconds=seconds,
        message=[line for line in host.check_output(journal).splitlines() if "repository 1 " in line][-1],
        failure_is_noted=metric(host, "vise_backup_last_failure_timestamp_seconds", "incr", 1) >= began - 1,
        other_repository_has_it=metric(host, "vise_backup_last_success_timestamp_seconds", "incr", 2) >= began - 1,
        queue_bytes=queue_bytes,
        write_seconds=write_seconds,
    )


def assert_recovers(host: Host) -> None:
    """The next backup succeeds, and every row is there."""
    host.check_output(f"systemctl start {INCREMENTAL}")
    assert query(host, "SELECT count(*) FROM under_fault WHERE id > 0") == "200"
    query(host, "DROP TABLE under_fault")


@pytest.mark.deep
def test_slow_repository_delays_a_backup_which_succeeds(host: Host) -> None:
    outcome = back_up_under(host, "slow")
    assert not outcome.failed
    assert "is complete" in outcome.message
    assert outcome.seconds > 10
    assert outcome.other_repository_has_it
    assert outcome.write_seconds < 10
    assert_recovers(host)


@pytest.fixture(scope="module")
def impatient(role: Role) -> Iterator[None]:
    """PgBackRest reports a failure sooner than on a real host."""
    role.apply(pgbackrest_settings={"io-timeout": "500ms"})
    yield
    role.apply()


@pytest.mark.deep
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("403", "repository 1 .* failed. .*AccessDenied.*systemctl start vise-pgbackrest@incr"),
        ("500", "repository 1 .* failed. .*500"),
        ("outage", "repository 1 .* failed. "),
    ],
)
def test_failing_repository_is_reported_and_harms_nothing_else(host: Host, kind: str, message: str) -> None:
    outcome = back_up_under(host, kind)
    assert outcome.failed
    assert outcome.failure_is_noted
    assert re.search(message, outcome.message), outcome.message
    # At least the segment that was written meanwhile waits.
    assert outcome.queue_bytes >= 16777216
    assert outcome.other_repository_has_it
    assert outcome.write_seconds < 10
    assert_recovers(host)


# Each request commits a row and reads it back.
SITE = """
import http.server, subprocess
PSQL = ["runuser", "-u", "postgres", "--", "psql", "-XAtqc", "INSERT INTO visits DEFAULT VALUES RETURNING number"]
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        done = subprocess.run(PSQL, cwd="/", capture_output=True, text=True)
        self.send_response(503 if done.returncode else 200)
        self.end_headers()
        self.wfile.write(done.stdout.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()
"""
VISITS = f"""
rm -f /tmp/visited.{NAME}
until [ -e /tmp/visited.{NAME} ]; do
  curl --max-time 10 --silent --output /dev/null --write-out '%{{http_code}}\n' http://{ADDRESS}:8080/ || true
  sleep 0.2
done
"""


@pytest.fixture
def visits(host: Host, world: Host) -> Iterator[Callable[[], list[str]]]:
    """A site that commits a row for each visit is visited from outside; call it for the status of all visits so far."""
    query(host, "CREATE TABLE visits (number serial)")
    host.check_output("printf %%s %s >/srv/site.py", SITE)
    host.check_output("systemd-run --quiet --collect --unit=site python3 /srv/site.py")
    assert machines.eventually(lambda: world.run(f"curl --silent --fail http://{ADDRESS}:8080/").rc == 0, 20)

    def end() -> list[str]:
        world.check_output(f"touch /tmp/visited.{NAME}")
        return visitor.communicate(timeout=60)[0].split()

    with machines.session(["docker", "exec", machines.WORLD, "bash", "-c", VISITS]) as visitor:
        yield end
    world.check_output(f"touch /tmp/visited.{NAME}")
    host.check_output("systemctl stop site; rm /srv/site.py")
    query(host, "DROP TABLE visits")


@pytest.mark.deep
@pytest.mark.usefixtures("impatient")
def test_outage_of_both_repositories_fails_the_backup_while_a_site_commits_every_visit(
    host: Host, visits: Callable[[], list[str]]
) -> None:
    began = time.time()
    journal = f"journalctl -u {INCREMENTAL} -o cat --since=@{began:.0f}"
    query(host, "CREATE TABLE under_fault AS SELECT 0 AS id, md5(g::text) AS body FROM generate_series(1, 60000) AS g")
    machines.script(host, BEGIN_BACKUP)
    with storage.fault("s3_a", "outage"), storage.fault("s3_b", "outage"):
        host.check_output(f"systemctl kill --signal=CONT {INCREMENTAL}")
        # Within the limit of the queue, which is six segments.
        for _segment in range(2):
            query(host, WRITE, SWITCH)
        assert machines.eventually(lambda: host.run(f"systemctl is-failed {INCREMENTAL}").rc == 0, 300)
        host.check_output("systemctl start vise-archive-queue")
        assert metric(host, "vise_archive_queue_bytes") >= 2 * 16777216
        query(host, WRITE)
    messages = host.check_output(journal)
    for number, name in ((1, "a"), (2, "b")):
        reported = rf"repository {number} \(s3-{name}.vln.test\) failed: .*The database continues to run; its WAL stays"
        assert re.search(reported, messages), messages
        assert metric(host, "vise_backup_last_failure_timestamp_seconds", "incr", number) >= began - 1
    statuses = visits()
    assert len(statuses) > 20
    assert set(statuses) == {"200"}
    # By itself: PostgreSQL tries again after a minute, and the timer starts the next backup.
    wait_until_archived(host, 150)
    began = time.time()
    host.check_output(f"systemctl start {INCREMENTAL}")
    for number in (1, 2):
        assert metric(host, "vise_backup_last_success_timestamp_seconds", "incr", number) >= began - 1
    assert int(query(host, "SELECT count(*) FROM visits")) > len(statuses)
    assert query(host, "SELECT count(*) FROM under_fault WHERE id > 0") == "300"
    query(host, "DROP TABLE under_fault")
    host.check_output(CHECK)


# A link that a program with postgres' account can make, so that root overwrites a file and makes it readable.
LINK_TO_ROOTS = """
echo untouched >/srv/roots
chmod 600 /srv/roots
runuser -u postgres -- ln -s /srv/roots /etc/postgresql/17/main/conf.d/.zz-archive-queue.conf.vise-new
"""


@pytest.mark.deep
@pytest.mark.usefixtures("impatient")
def test_full_archive_queue_stops_writes_until_it_is_drained(host: Host) -> None:
    machines.script(host, LINK_TO_ROOTS)
    query(host, "CREATE TABLE meanwhile (id int)")
    refused = "cd /; runuser -u postgres -- psql -qc 'INSERT INTO meanwhile VALUES (9)'"
    with storage.fault("s3_a", "outage"):
        for _segment in range(8):
            query(host, "INSERT INTO meanwhile VALUES (1)", SWITCH)
        host.check_output("systemctl start vise-archive-queue")
        assert host.check_output("stat -c '%U %a' /srv/roots; cat /srv/roots") == "root 600\nuntouched"
        assert "guard_active 1" in host.check_output(METRICS)
        assert host.run(refused).rc != 0
        assert query(host, "SELECT count(*) FROM meanwhile") == "8"

    def is_drained() -> bool:
        host.check_output("systemctl start vise-archive-queue")
        return "guard_active 0" in host.check_output(METRICS)

    # PostgreSQL tries again each minute by itself.
    assert machines.eventually(is_drained, 90, 1)
    query(host, "INSERT INTO meanwhile VALUES (9)")
    assert query(host, "SELECT count(*) FROM meanwhile") == "9"


KILLED_BACKUP = """
systemctl start --no-block vise-pgbackrest@diff
timeout 20 bash -c 'until pgrep -u postgres -f "^pgbackrest.*backup"; do sleep 0.1; done'
systemctl kill --signal=KILL vise-pgbackrest@diff
timeout 60 bash -c 'until systemctl is-failed vise-pgbackrest@diff; do sleep 0.2; done'
systemctl start vise-pgbackrest@diff
journalctl -u vise-pgbackrest@diff -o cat | grep 'ended with signal'
"""


@pytest.mark.deep
@pytest.mark.usefixtures("impatient")
def test_killed_backup_is_reported_and_the_next_one_succeeds(host: Host) -> None:
    machines.script(host, KILLED_BACKUP)


def test_variables_of_a_login_have_no_effect(role: Role, host: Host) -> None:
    role.assert_login_environment_has_no_effect(host, "vise-pgbackrest check", "vise-pgbackrest ready")
