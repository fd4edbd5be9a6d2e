"""Described users reach their databases over TLS, a standby follows, and neither crash nor promotion loses a row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from tests import machines
from tests.databases import TLS, login, query
from tests.scenario import ADDRESS, NAME, SECOND, SECOND_ADDRESS, Role

FILES = Path(__file__).resolve().parents[1] / "files"
UNIT = "postgresql@17-main"
LIVE = "/usr/local/sbin/vise-postgresql-17 live"
# The files, the live settings, and the process.
STATE = f"cd /etc/postgresql/17/main; sha256sum *.conf conf.d/*; {LIVE}; systemctl show -P MainPID {UNIT}"
PID = f"systemctl show -P MainPID {UNIT}"
RESTART = f"systemctl daemon-reload; systemctl restart {UNIT}"
APP = "user=edu_app dbname=edu"
STANDBY = {"hosts": "database_standby", "postgresql_standby": "{{ follows }}"}


def app(machine: Host, server: str, statement: str) -> Any:
    """Run a statement of the application, whatever the result is."""
    return login(machine, f"host={server} {APP}", "app-word", statement)


@pytest.fixture(scope="module", autouse=True)
def table(second: Host) -> None:
    """The owner's table with a row of the application."""
    create = "CREATE TABLE written (writer int, number int, PRIMARY KEY (writer, number))"
    assert login(second, f"host={ADDRESS} user=edu dbname=edu", "the owner's word", create).rc == 0
    assert app(second, ADDRESS, "INSERT INTO written VALUES (-1, 1)").rc == 0


@pytest.fixture(scope="module")
def superusers(host: Host) -> Iterator[None]:
    """Two superusers with passwords, as a person with a shell on the host can make them."""
    query(host, "ALTER ROLE postgres PASSWORD 'root-word'", "CREATE ROLE rogue SUPERUSER LOGIN PASSWORD 'root-word'")
    yield
    query(host, "ALTER ROLE postgres PASSWORD NULL", "DROP ROLE rogue")


@pytest.mark.parametrize(
    ("conninfo", "password", "statement", "answer"),
    [
        (APP, "app-word", "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "TLSv1.3"),
        (APP, "app-word", "SELECT inet_client_addr()", SECOND_ADDRESS),
        (f"{APP} require_auth=scram-sha-256", "app-word", "SELECT 1", "1"),
        ("user=edu_report dbname=edu", "report-word", "SELECT count(*) FROM written", "1"),
    ],
)
def test_described_user_works_over_tls(second: Host, conninfo: str, password: str, statement: str, answer: str) -> None:
    done = login(second, f"host={ADDRESS} {conninfo}", password, statement)
    assert (done.rc, done.stdout.strip()) == (0, answer), done.stderr


@pytest.mark.parametrize(
    ("conninfo", "password", "statement", "reason"),
    [
        ("user=edu_report dbname=edu", "report-word", "DELETE FROM written", "permission denied"),
        (APP, "app-word", "CREATE TABLE mine ()", "permission denied"),
        (f"{APP} sslmode=disable", "app-word", "SELECT 1", "no encryption"),
        (f"{APP} ssl_max_protocol_version=TLSv1.2", "app-word", "SELECT 1", "protocol version"),
        (APP, "wrong-word", "SELECT 1", "password authentication failed"),
        ("user=edu_app dbname=postgres", "app-word", "SELECT 1", "rejects connection"),
        ("user=postgres dbname=edu", "root-word", "SELECT 1", "rejects connection"),
        ("user=postgres dbname=edu sslmode=disable", "root-word", "SELECT 1", "rejects connection"),
        ("user=rogue dbname=edu", "root-word", "SELECT 1", "rejects connection"),
        ("user=rogue dbname=edu sslmode=disable", "root-word", "SELECT 1", "rejects connection"),
    ],
)
@pytest.mark.usefixtures("superusers")
def test_other_access_is_refused(second: Host, conninfo: str, password: str, statement: str, reason: str) -> None:
    done = login(second, f"host={ADDRESS} {conninfo}", password, statement)
    assert (done.rc != 0, reason in done.stderr) == (True, True), done.stdout + done.stderr


def test_passwords_are_neither_in_the_journal_nor_in_statistics(host: Host) -> None:
    modules = host.check_output("journalctl -o short | grep 'ansible-vise.platform.*Invoked with'")
    server = host.check_output(f"journalctl -u {UNIT} -o cat")
    text = modules + server + query(host, "SELECT query FROM pg_stat_statements")
    assert "edu_app" in text
    assert [one for one in ("app-word", "report-word", "owner's word", "SCRAM-SHA-256") if one in text] == []


def test_invalid_configuration_is_refused_and_the_old_one_stays(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"postgresql_settings": {"no_such_setting": 1}}, "no_such_setting"),
        (
            {"postgresql_settings": {"shared_preload_libraries": "no_such_library"}},
            "nothing was changed.*no_such_library",
        ),
        ({"postgresql_settings": {"ssl_key_file": "/etc/no-such-key.pem"}}, "nothing was changed.*no-such-key"),
        ({"postgresql_settings": {"shared_buffers": "4TB"}}, "nothing was changed.*reduce shared_buffers"),
        ({"postgresql_settings": {"huge_pages": "on"}}, "nothing was changed.*set vm.nr_hugepages"),
        ({"postgresql_port": "five"}, "unable to convert to int"),
        ({"postgresql_hba": [{"type": "local", "method": "trust"}]}, "must be one of.*trust|trust"),
        (
            {"postgresql_hba": [{"type": "host", "addresses": ["0.0.0.0/0"], "method": "cert"}]},
            "only allowed with method reject",
        ),
        ({"postgresql_users": []}, "owner edu is not in the list of users"),
        ({"postgresql_extensions": ["postgis"]}, "extension postgis is not available"),
        ({"postgresql_standby": "{{ follows }}"}, "contains the data of a primary"),
    ]
    role.assert_refused(cases, hosts="database")
    assert host.check_output(STATE) == before


def test_standby_has_the_last_row_and_takes_no_write(second: Host) -> None:
    assert app(second, ADDRESS, "INSERT INTO written VALUES (-2, 1)").rc == 0
    count = "SELECT count(*) FROM written WHERE writer = -2"
    assert machines.eventually(lambda: app(second, SECOND_ADDRESS, count).stdout.strip() == "1")
    assert "read-only transaction" in app(second, SECOND_ADDRESS, "INSERT INTO written VALUES (-3, 1)").stderr


def test_standby_that_is_described_as_the_primary_is_refused(role: Role) -> None:
    role.assert_refused([({"postgresql_standby": {}}, "has a standby but is described")], hosts="database_standby")


def test_standby_is_not_promoted_while_the_primary_runs(role: Role) -> None:
    promote = {"vise.platform.postgresql_failover": {"state": "promoted", "gone": True}}
    task = {"name": "Promote", **promote, "register": "promotion", "failed_when": False}
    [refused] = role.results([task], hosts="database_standby").values()
    assert "still answers" in refused["msg"]


def test_memory_score_of_the_server_does_not_reach_its_sessions(host: Host) -> None:
    # A container may not lower the score, so the test raises it.
    drop_in = f"/run/systemd/system/{UNIT}.service.d"
    machines.script(
        host, f"mkdir -p {drop_in}; printf '[Service]\\nOOMScoreAdjust=300\\n' >{drop_in}/score.conf\n{RESTART}"
    )
    assert host.check_output(f"cat /proc/$({PID})/oom_score_adj") == "300"
    assert query(host, r"SELECT trim(E'\n' FROM pg_read_file('/proc/self/oom_score_adj'))") == "0"
    machines.script(host, f"rm -r {drop_in}\n{RESTART}")


DRIFT = f"""
cd /
runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 edu <<'SQL'
ALTER ROLE edu_app PASSWORD 'another-word' SUPERUSER;
ALTER ROLE edu_report CONNECTION LIMIT 0 VALID UNTIL '2020-01-01';
ALTER ROLE edu_app NOINHERIT;
ALTER ROLE edu_app SET default_transaction_read_only = on;
ALTER ROLE edu IN DATABASE edu SET role = edu_read_only;
REVOKE CONNECT ON DATABASE edu FROM edu;
GRANT DELETE ON written TO edu_read_only;
REVOKE INSERT ON written FROM edu_read_write;
CREATE SCHEMA own AUTHORIZATION edu;
CREATE TABLE own.notes (id int);
ALTER TABLE own.notes OWNER TO edu;
REVOKE ALL ON own.notes FROM edu;
REVOKE ALL ON SCHEMA own FROM edu;
GRANT edu_read_write TO edu_report;
ALTER SYSTEM SET random_page_cost = 9;
SQL
runuser -u postgres -- psql -Xqc 'ALTER DATABASE edu ALLOW_CONNECTIONS false'
sed -i 's/^random_page_cost.*/max_files_per_process = 700/' /etc/postgresql/17/main/conf.d/vise.conf
echo 'host all all all trust' >>/etc/postgresql/17/main/pg_hba.conf
systemctl restart {UNIT}
"""
EXPECTED = {
    "SELECT rolsuper FROM pg_roles WHERE rolname = 'edu_app'": "f",
    "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'edu_report'": "-1",
    "SELECT pg_has_role('edu_report', 'edu_read_write', 'member')": "f",
    "SELECT has_table_privilege('edu_report', 'written', 'DELETE')": "f",
    "SELECT has_table_privilege('edu_app', 'written', 'INSERT')": "t",
    "SELECT has_table_privilege('edu', 'own.notes', 'SELECT')": "t",
    "SELECT has_schema_privilege('edu', 'own', 'USAGE')": "t",
    "SELECT current_setting('random_page_cost')": "1.1",
    "SELECT current_setting('max_files_per_process')": "1000",
    "SELECT current_setting('data_checksums')": "on",
}


def test_drift_is_reported_and_corrected(role: Role, host: Host, second: Host) -> None:
    machines.script(host, DRIFT)
    assert app(second, ADDRESS, "SELECT 1").rc != 0
    role.correct(hosts="database")
    assert query(host, *EXPECTED, database="edu").split() == list(EXPECTED.values())
    assert not host.file("/etc/postgresql/17/main/pg_hba.conf").contains("trust")
    assert app(second, ADDRESS, "INSERT INTO written VALUES (-4, 1)").rc == 0
    report = f"host={ADDRESS} user=edu_report dbname=edu"
    assert login(second, report, "report-word", "SELECT count(*) FROM written").rc == 0
    owner = f"host={ADDRESS} user=edu dbname=edu"
    assert login(second, owner, "the owner's word", "SELECT current_user").stdout == "edu\n"


def test_new_owner_reads_the_tables_and_the_former_one_logs_in_no_more(role: Role, host: Host, second: Host) -> None:
    former, password = f"host={ADDRESS} user=edu dbname=edu", "the owner's word"
    new = {"name": "edu2", "password": "word-of-edu2", "addresses": ["172.30.0.0/24"]}
    users = "{{ users | rejectattr('name', 'eq', 'edu') | list + [" + str(new) + "] }}"
    database = {"name": "edu", "owner": "edu2", "read_write": ["edu_app"], "read_only": ["edu_report"]}
    query(host, "CREATE DATABASE other OWNER edu")
    missing = {"postgresql_databases": [{**database, "extensions": ["pg_trgm", "earthdistance"]}]}
    role.assert_refused([({"postgresql_users": users, **missing}, "earthdistance requires cube")], hosts="database")
    # The first of the extensions requires the second one.
    synapse = {"name": "synapse", "owner": "edu2", "locale": "C", "encoding": "UTF8"}
    described = [{**database, "extensions": ["earthdistance", "cube"]}, synapse]
    role.apply(hosts="database", postgresql_users=users, postgresql_databases=described)
    change = "INSERT INTO written VALUES (-5, 1); ALTER TABLE written ADD note text; SELECT count(*) > 0 FROM written"
    done = login(second, f"host={ADDRESS} user=edu2 dbname=edu", "word-of-edu2", change)
    assert done.stdout.split()[-1:] == ["t"], done.stderr
    assert app(second, ADDRESS, "SELECT count(*) FROM written").rc == 0
    assert "rejects connection" in login(second, former, password, "SELECT 1").stderr
    assert query(host, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'other'") == "edu"
    role.apply(hosts="database")
    assert login(second, former, password, "DELETE FROM written WHERE writer = -5").rc == 0
    query(host, "DROP DATABASE other")


def test_locale_of_a_database_is_what_its_description_says(role: Role, host: Host) -> None:
    """The test before has created the database."""
    assert query(host, "SELECT datcollate || datctype FROM pg_database WHERE datname = 'synapse'") == "CC"
    other = {"name": "synapse", "owner": "edu", "locale": "C.UTF-8", "locale_provider": "builtin"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"postgresql_databases": [other]}, "synapse: its locale is C of libc, not C.UTF-8 of builtin"),
        (
            {"postgresql_databases": [{"name": "new", "owner": "edu", "locale": "xx_XX"}]},
            "the host has no locale",
        ),
    ]
    role.assert_refused(cases, hosts="database")
    query(host, "DROP DATABASE synapse")


def test_reload_keeps_the_process_and_a_restart_happens_only_where_it_is_needed(role: Role, host: Host) -> None:
    before = host.check_output(PID)
    role.apply(hosts="database", postgresql_settings={"max_connections": 60, "work_mem": "5MB"})
    assert query(host, "SHOW work_mem") == "5MB"
    assert host.check_output(PID) == before
    role.apply(
        hosts="database",
        postgresql_settings={"max_connections": 60, "work_mem": "6MB", "max_files_per_process": 900},
        postgresql_users="{{ users | rejectattr('name', 'eq', 'leaver') }}",
    )
    assert query(host, "SHOW work_mem", "SHOW max_files_per_process").split() == ["6MB", "900"]
    assert host.check_output(PID) != before
    # A user that is no longer described is locked and stays.
    assert query(host, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'leaver'") == "f"


# Each time the server must have written before, be another process, and write again without help. The last two kills
# happen while systemd still counts the restart before.
KILLS = """
cd /
rows() { runuser -u postgres -- psql -XAtc 'SELECT count(*) FROM written' edu 2>/dev/null || echo 0; }
for round in 1 2 3 4 5; do
  before=$(rows)
  for _try in $(seq 300); do [ "$(rows)" -le "$before" ] || break; sleep 0.1; done
  [ "$(rows)" -gt "$before" ]
  sleep 0.3
  main=$(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)
  [ "$(cat /proc/$main/comm)" = postgres ]
  kill -9 "$main"
  began=$(date +%s%N)
  before=0
  for _try in $(seq 600); do before=$(rows); [ "$before" = 0 ] || break; sleep 0.05; done
  [ "$before" -gt 0 ]
  [ "$(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)" != "$main" ]
  echo "round $round: back after $(( ($(date +%s%N) - began) / 1000000 )) ms with $before rows"
done
"""
# A file system that is too small, and that grows again afterwards.
FULL_DISK = """
cd /
wal=/var/lib/postgresql/17/main/pg_wal
systemctl stop postgresql@17-main
mv $wal $wal.kept
install -d -o postgres -g postgres -m 0700 $wal
mount -t tmpfs -o "size=$(( $(du -sm $wal.kept | cut -f1) + 64 ))M,uid=postgres,gid=postgres,mode=0700" tmpfs $wal
cp -a $wal.kept/. $wal
systemctl start postgresql@17-main
began=$(date '+%F %T')
fill='AS SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 600000) AS n'
runuser -u postgres -- psql -Xq edu -c "CREATE TABLE filler $fill" 2>&1 | head -n 3 || true
full() { journalctl -u postgresql@17-main --since "$began" -o cat | grep -m 1 'PANIC.*No space left on device'; }
for _try in $(seq 300); do ! full >/dev/null || break; sleep 0.1; done
full
df --output=avail $wal | tail -n 1
(! runuser -u postgres -- psql -Xq edu -c "CREATE TABLE does_not_fit $fill")
mount -o remount,size=2G $wal
for _try in $(seq 600); do
  ! runuser -u postgres -- psql -Xq edu -c 'DROP TABLE IF EXISTS filler' 2>/dev/null || break; sleep 0.1
done
runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_amcheck --install-missing --heapallindexed -d edu
systemctl stop postgresql@17-main
rm -rf $wal.kept && install -d -o postgres -g postgres -m 0700 $wal.kept
cp -a $wal/. $wal.kept && umount $wal && rmdir $wal && mv $wal.kept $wal
systemctl start postgresql@17-main
"""


@pytest.fixture
def writers(host: Host, second: Host) -> Iterator[None]:
    """Four processes on the other host that write rows and note each acknowledged one."""
    query(host, "TRUNCATE written", database="edu")
    second.check_output("rm -f /srv/acknowledged*; printf %%s %s >/srv/writers.py", (FILES / "writers.py").read_text())
    conninfo = f"host={ADDRESS} {APP} connect_timeout=2 {TLS}"
    run = "systemd-run --unit=writers --setenv=PGPASSWORD=app-word /usr/bin/python3 /srv/writers.py"
    second.check_output(f"{run} %s /srv/acknowledged 4", conninfo)
    yield
    second.run("systemctl stop writers")


def lost_rows(second: Host, server: str) -> tuple[int, int]:
    """Return how many rows were acknowledged, and how many of them the server does not have."""
    second.run("systemctl stop writers")
    second.check_output("sort -u /srv/acknowledged.* >/srv/acknowledged")
    rows = "SELECT writer || ' ' || number FROM written"
    kept = login(second, f"host={server} user=edu_report dbname=edu", "report-word", rows).stdout.splitlines()
    acknowledged = second.check_output("cat /srv/acknowledged").splitlines()
    return len(acknowledged), len({*acknowledged} - {*kept})


@pytest.mark.deep
@pytest.mark.usefixtures("writers")
@pytest.mark.parametrize(
    "fault", [pytest.param(FULL_DISK, id="full disk of the WAL"), pytest.param(KILLS, id="killed postmaster")]
)
def test_crashed_server_comes_back_with_every_acknowledged_row(host: Host, second: Host, fault: str) -> None:
    print(machines.script(host, fault))
    acknowledged, lost = lost_rows(second, ADDRESS)
    assert acknowledged > 100
    assert lost == 0


@pytest.mark.deep
def test_wiped_standby_is_built_again_by_the_role(role: Role, second: Host) -> None:
    # The directory itself stays, as a mount point does.
    machines.script(second, f"systemctl stop {UNIT}; find /var/lib/postgresql/17/main -mindepth 1 -delete")
    role.apply(**STANDBY)
    second.check_output(LIVE)


# An application that verifies the server and opens a new connection each time; it reads the authorities of its host.
VISITOR = f"""
export PGPASSWORD=app-word
while :; do
  if psql -XAtqw 'host=SERVER connect_timeout=5 {TLS} {APP}' -c 'SELECT 1'; then echo yes; else echo no; fi
done >/root/visits 2>/root/visits.errors
"""


@pytest.fixture
def visitors(host: Host, second: Host) -> Iterator[None]:
    """Applications on both hosts, each of which connects to the other host until the end; none of them may fail."""
    for machine, server in ((second, ADDRESS), (host, SECOND_ADDRESS)):
        machine.check_output("systemd-run --unit=visitor bash -c %s", VISITOR.replace("SERVER", server))
    yield
    for machine in (host, second):
        machine.check_output("systemctl stop visitor")
        assert machine.run("grep -c yes /root/visits").stdout.strip() not in ("", "0")
        assert machine.run("grep -c no /root/visits").stdout.strip() == "0", machine.run(
            "cat /root/visits.errors"
        ).stdout


def write_inventory(folder: Path) -> Path:
    """Write the inventory of an operator, with the authority of the scenario in a file of secrets."""
    connection = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(machines.ROOT / ".cache/sandbox/id_ed25519"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    # Variables of hosts override the description of the clone.
    own = {**connection, "domain": "example.org", "sites": {}, "preflight_plaintext_secrets": True}
    hosts = {name: {**own, "ansible_host": at} for name, at in ((NAME, ADDRESS), (SECOND, SECOND_ADDRESS))}
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    scratch = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    pair = {"vault_internal_ca": "ca.pem", "vault_internal_ca_key": "ca.key"}
    secrets = {name: (scratch / file).read_text() for name, file in pair.items()}
    (folder / "group_vars/all/vault.yml").write_text(yaml.safe_dump(secrets))
    return folder


def rotate(inventory: Path, stage: str, *options: str) -> subprocess.Popen[str]:
    """Start a stage of the runbook."""
    playbook = str(machines.ROOT / "playbooks/rotate_certificates.yml")
    argv = [
        "ansible-playbook",
        "-i",
        str(inventory / "hosts.json"),
        playbook,
        "-e",
        f"rotate_authority={stage}",
        *options,
    ]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(argv, cwd=machines.ROOT, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload, no-any-return]


def finish(run: subprocess.Popen[str], code: int = 0) -> str:
    """Return the output of a run as one line."""
    output = " ".join(run.communicate(timeout=300)[0].split())
    assert run.returncode == code, output
    return output


ISSUER = "openssl x509 -in /etc/vise/tls/internal/fullchain.pem -noout -issuer_hash"
TRUSTED = "grep -c BEGIN /etc/vise/tls/internal/ca.pem"


@pytest.mark.deep
@pytest.mark.usefixtures("visitors")
def test_authority_is_replaced_in_stages_without_a_failed_connection(host: Host, second: Host, tmp_path: Path) -> None:
    inventory, old = write_inventory(tmp_path / "company"), host.check_output(ISSUER)
    vault = inventory / "group_vars/all/vault.yml"
    before = vault.read_bytes()
    assert "first: -e rotate_authority=trust" in finish(rotate(inventory, "issue"), 2)
    assert f"--limit excludes {SECOND}" in finish(rotate(inventory, "trust", "--limit", NAME), 2)
    assert "Nothing was changed." in finish(rotate(inventory, "trust", "--check", "--diff"))
    assert (vault.read_bytes(), host.check_output(TRUSTED)) == (before, "1")
    assert "Next: -e rotate_authority=issue." in finish(rotate(inventory, "trust"))
    assert [machine.check_output(f"{TRUSTED}; {ISSUER}") for machine in (host, second)] == [f"2\n{old}"] * 2
    assert "changed=0" in finish(rotate(inventory, "trust"))

    # Killed after the first host: both authorities are in use, and all connections are verified.
    killed = rotate(inventory, "issue")
    assert machines.eventually(lambda: host.check_output(ISSUER) != old, 120)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    new = host.check_output(ISSUER)
    assert "presents a certificate of another authority; first run -e rotate_authority=issue" in finish(
        rotate(inventory, "retire"), 2
    )
    assert "connect: -e rotate_authority=retire." in finish(rotate(inventory, "issue"))
    assert [machine.check_output(f"{TRUSTED}; {ISSUER}") for machine in (host, second)] == [f"2\n{new}"] * 2
    assert "Nothing is left to do" in finish(rotate(inventory, "retire"))
    assert [machine.check_output(f"{TRUSTED}; {ISSUER}") for machine in (host, second)] == [f"1\n{new}"] * 2
    assert "vault_internal_ca_previous" not in vault.read_text()
    assert query(host, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"


@pytest.fixture(scope="module")
def promoted(role: Role) -> None:
    """The standby is the primary; the old primary is fenced."""
    run = role.runbook("promote_standby")
    assert run.code == 0, run.tail


# In every way, and then without its locks.
START_FENCED = f"""
(! systemctl -q is-active {UNIT})
(! systemctl start {UNIT})
(! pg_ctlcluster 17 main start)
systemctl unmask {UNIT}
(! systemctl start {UNIT})
mv /etc/vise/postgresql-17-main.fenced /root/fenced
echo auto >/etc/postgresql/17/main/start.conf
(! timeout 20 systemctl start {UNIT})
systemctl stop {UNIT}
journalctl -u {UNIT} -o cat | grep 'on timeline 2; this host is on timeline 1'
grep 'promoted, to timeline 2' /etc/vise/postgresql-17-main.fenced
(! pgrep -x postgres)
mv /root/fenced /etc/vise/postgresql-17-main.fenced
"""


@pytest.mark.deep
@pytest.mark.usefixtures("promoted")
def test_fenced_primary_starts_in_no_way_after_a_reboot(host: Host) -> None:
    started = machines.started_at(NAME)
    # A moment later, so that this command can end first.
    host.check_output("systemd-run --on-active=1s --timer-property=AccuracySec=100ms systemctl --no-block reboot")
    assert machines.eventually(lambda: machines.started_at(NAME) != started, 60)
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 60)
    machines.script(host, START_FENCED)


@pytest.mark.deep
@pytest.mark.usefixtures("promoted")
def test_role_refuses_a_fenced_primary(role: Role) -> None:
    role.assert_refused([({}, "host is fenced.*was promoted")], hosts="database")


@pytest.mark.deep
@pytest.mark.usefixtures("promoted")
def test_old_primary_without_its_locks_stops_when_the_promoted_one_runs(host: Host, second: Host) -> None:
    second.check_output(f"systemctl stop {UNIT}")
    machines.script(host, f"rm /etc/vise/postgresql-17-main.fenced; systemctl start {UNIT}")
    assert query(host, "SELECT pg_is_in_recovery()") == "f"
    # As when both hosts boot. It was promoted, so it does not stop.
    second.check_output(f"systemctl start {UNIT}")
    # The unit is not active as soon as its stop begins; the server writes its last checkpoint after that.
    assert machines.eventually(lambda: host.run("pgrep -x postgres").rc == 1, 30)
    assert host.run(f"systemctl -q is-active {UNIT}").rc != 0
    host.check_output("grep 'promoted, to timeline 2' /etc/vise/postgresql-17-main.fenced")
    assert host.run(f"systemctl start {UNIT}").rc != 0
    assert host.run("pgrep -x postgres").rc == 1
    second.check_output(f"/usr/local/sbin/vise-postgresql-17 yield && systemctl is-active {UNIT}")


@pytest.mark.deep
@pytest.mark.usefixtures("promoted")
def test_promoted_standby_has_every_acknowledged_row(role: Role, second: Host) -> None:
    role.apply(hosts="database_standby", postgresql_slots=["first"])
    acknowledged, lost = lost_rows(second, SECOND_ADDRESS)
    assert acknowledged > 100
    assert lost == 0


@pytest.mark.deep
@pytest.mark.usefixtures("promoted")
def test_old_primary_becomes_a_standby_of_the_new_one(role: Role, host: Host) -> None:
    primary = "{{ follows | combine({'host': hostvars[second].ansible_host, 'slot': 'first'}) }}"
    role.apply(hosts="database", postgresql_standby=primary, postgresql_rebuild=True)
    host.check_output(LIVE)
    assert not host.file("/etc/vise/postgresql-17-main.fenced").exists
    assert host.check_output(f"systemctl show -P LoadState {UNIT}") == "loaded"
    host.check_output("grep -x auto /etc/postgresql/17/main/start.conf")


def test_variables_of_a_login_have_no_effect(role: Role, host: Host) -> None:
    role.assert_login_environment_has_no_effect(host, LIVE, "vise-postgresql-17 check")
