"""Applications share few connections over TLS, stay connected across changes, and reach nothing but their database."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from tests import machines
from tests.databases import TLS, login
from tests.scenario import ADDRESS, NAME, SECOND_ADDRESS, Role

SERVER = f"host={NAME} hostaddr={ADDRESS} port=6432"
PASSWORD, POOL_PASSWORD = "canary-edu-password-1", "canary-pgbouncer-password"
CONNINFO = f"{SERVER} {TLS} connect_timeout=10 dbname=edu user=edu password={PASSWORD}"
OUTSIDE = "python3 /srv/outside.py"
PID = "systemctl show -P MainPID pgbouncer"
STATE = "sha256sum /etc/pgbouncer/*; vise-pgbouncer verify"


def log_in(second: Host, options: str = "", password: str = PASSWORD, statement: str = "SELECT 1") -> CommandResult:
    """Log in as the application, or with other options, from the clients' host."""
    return login(second, f"{SERVER} dbname=edu user=edu {options}", password, statement)


def console(host: Host, command: str) -> str:
    """Return what PgBouncer's console prints."""
    return str(host.check_output("vise-pgbouncer console %s", command))


def serial(second: Host) -> str:
    """Return the serial number of the served certificate."""
    connect = f"openssl s_client -starttls postgres -connect {ADDRESS}:6432 </dev/null 2>/dev/null"
    return str(second.check_output(f"{connect} | openssl x509 -noout -serial"))


@contextlib.contextmanager
def open_connection(second: Host) -> Iterator[None]:
    """A client that is connected, and that uses its connection again afterwards."""
    second.check_output("rm -f /tmp/opened /tmp/enough")
    command = f"{OUTSIDE} open {shlex.quote(CONNINFO)}"
    with machines.session([*machines.ssh_command(SECOND_ADDRESS), command]) as session:
        assert machines.eventually(lambda: second.file("/tmp/opened").exists)
        yield
        second.check_output("touch /tmp/enough")
        assert session.communicate(timeout=20)[0] == "2\n"


def test_application_logs_in_over_modern_tls(second: Host) -> None:
    assert log_in(second, statement="SELECT current_user").stdout == "edu\n"
    assert "TLSv1.3" in log_in(second, statement=r"\conninfo").stdout


@pytest.mark.parametrize(
    ("options", "password", "message"),
    [
        ("", "wrong", "SASL authentication failed"),
        ("user=nobody", PASSWORD, "no such user"),
        ("sslmode=disable", PASSWORD, "SSL required"),
        ("sslrootcert=/etc/ssl/certs/ca-certificates.crt", PASSWORD, "certificate verify failed"),
        ("user=postgres", "", "FATAL"),
        *[
            (f"dbname={database} user={user}", POOL_PASSWORD, "FATAL")
            for database, user in itertools.product(
                ("postgres", "pgbouncer", "other"), ("edu", "postgres", "pgbouncer")
            )
        ],
    ],
)
def test_other_access_is_refused(second: Host, options: str, password: str, message: str) -> None:
    done = log_in(second, options, password)
    assert (done.rc != 0, message in done.stderr) == (True, True), done.stderr


def test_many_clients_share_few_connections(second: Host) -> None:
    assert 1 <= int(second.check_output(f"{OUTSIDE} pooling %s", CONNINFO)) <= 3


PGBENCH = f"""
echo 'SELECT :client_id + 1' >/tmp/one.sql
export PGPASSWORD={PASSWORD} PGSSLMODE=verify-full PGSSLROOTCERT=/etc/vise/tls/internal/ca.pem
pgbench=/usr/lib/postgresql/17/bin/pgbench
$pgbench -h {NAME} -p 6432 -U edu -n -M prepared -c 20 -t 50 -f /tmp/one.sql edu
"""


def test_prepared_statements_work_through_the_pool(host: Host) -> None:
    report = machines.script(host, PGBENCH)
    assert "actually processed: 1000/1000" in report
    assert "failed transactions: 0" in report
    assert console(host, "SHOW SERVERS").count(",edu,edu,") <= 3
    assert "edu,edu" in console(host, "SHOW POOLS")


def test_open_connection_survives_a_reload(host: Host, second: Host) -> None:
    with open_connection(second):
        before = host.check_output(PID)
        host.check_output("systemctl reload pgbouncer")
        console(host, "RELOAD")
    assert host.check_output(PID) == before


def test_killed_process_comes_back(host: Host, second: Host) -> None:
    host.check_output(f"kill -9 $({PID})")
    assert machines.eventually(lambda: host.run("vise-pgbouncer verify").rc == 0)
    assert log_in(second).rc == 0


def test_password_of_the_pool_is_in_one_file_of_root(host: Host) -> None:
    assert host.check_output("stat -c '%U %a' /etc/pgbouncer/userlist.txt") == "root 640"
    assert host.run("grep -r canary-edu /etc /var/lib/vise").rc == 1


def test_other_account_has_no_console(host: Host) -> None:
    command = "runuser -u nobody -- psql -h /run/pgbouncer -p 6432 -U postgres pgbouncer -c 'SHOW POOLS'"
    assert host.run(command).rc != 0


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT left(secret, 13) FROM pgbouncer.lookup('edu')", "SCRAM-SHA-256"),
        ("SELECT name FROM pgbouncer.lookup('postgres')", ""),
    ],
)
def test_pool_reads_verifiers_of_applications_only(host: Host, statement: str, answer: str) -> None:
    done = login(host, "host=/var/run/postgresql user=pgbouncer dbname=postgres", POOL_PASSWORD, statement, "")
    assert (done.rc, done.stdout.strip()) == (0, answer)


def test_pool_reads_no_table_of_passwords(host: Host) -> None:
    read = "SELECT rolpassword FROM pg_authid"
    done = login(host, "host=/var/run/postgresql user=pgbouncer dbname=postgres", POOL_PASSWORD, read, "")
    assert "permission denied" in done.stderr


def test_invalid_input_is_refused_and_changes_nothing(role: Role, host: Host) -> None:
    before, process = host.check_output(STATE), host.check_output(PID)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"pgbouncer_settings": {"no_such_setting": 1}}, "nothing was changed.*no_such_setting"),
        ({"pgbouncer_settings": {"max_user_connections": "lots"}}, "nothing was changed.*max_user_connections"),
        ({"pgbouncer_auth_user": "nobody_knows"}, "nothing was changed.*nobody_knows"),
        ({"pgbouncer_auth_user": "postgres"}, "nothing was changed.*no user postgres"),
        ({"pgbouncer_tls_certificate": "/etc/vise/tls/internal/nowhere.pem"}, "nothing was changed.*nowhere"),
        ({"pgbouncer_databases": [{"name": "edu"}, {"name": "pgbouncer"}]}, "is a database of the pool itself"),
        ({"pgbouncer_databases": [{"name": "edu = host=elsewhere"}]}, "is not a valid name.*use letters"),
        ({"pgbouncer_users": [{"name": False}]}, r"pgbouncer_users\[0\].name: the name is not text.*quote it"),
        ({"pgbouncer_settings": {"client_tls_sslmode": "disable"}}, "must not contain settings that the role controls"),
        ({"pgbouncer_auth_password": "canary"}, "password must have 16"),
        ({"pgbouncer_max_clients": 2000000000}, "nothing was changed.*pgbouncer_max_clients needs.*or fewer"),
        ({"pgbouncer_port": "several"}, "pgbouncer_port.*int"),
    ]
    role.assert_refused(cases, hosts="pool", secret="canary")  # noqa: S106
    assert host.check_output(STATE) == before
    assert host.check_output(PID) == process


def test_port_of_another_program_is_refused_and_the_old_configuration_is_live(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    role.assert_refused([({"pgbouncer_port": 22}, "Rolled back to the previous configuration")], hosts="pool")
    assert host.check_output(STATE) == before


# By id: the fault, its proof, and whether its correction restarts PgBouncer.
DRIFT = {
    "live setting": (
        "vise-pgbouncer console 'SET default_pool_size = 77'",
        "vise-pgbouncer console 'SHOW CONFIG' | grep default_pool_size,77",
        False,
    ),
    "access rule": (
        "sed -i 's/scram-sha-256/trust/' /etc/pgbouncer/hba.conf && systemctl reload pgbouncer",
        "grep trust /etc/pgbouncer/hba.conf",
        False,
    ),
    "file that PgBouncer has read": (
        "sed -i 's/^pool_mode = .*/pool_mode = session/' /etc/pgbouncer/pgbouncer.ini && systemctl reload pgbouncer",
        "vise-pgbouncer console 'SHOW CONFIG' | grep pool_mode,session",
        False,
    ),
    "function that answers every user": (
        "runuser -u postgres -- psql -c 'GRANT EXECUTE ON FUNCTION pgbouncer.lookup(text) TO PUBLIC'",
        "runuser -u postgres -- psql -Atc \"SELECT proacl FROM pg_proc WHERE proname = 'lookup'\" | grep '[{,]=X'",
        False,
    ),
    "stopped and disabled": (
        "systemctl disable --now pgbouncer",
        'test "$(systemctl is-active pgbouncer)" = inactive',
        True,
    ),
}


@pytest.mark.parametrize(
    ("fault", "proof", "restarts"),
    [pytest.param(*values, id=name) for name, values in DRIFT.items()],
)
def test_drift_is_reported_and_corrected(role: Role, host: Host, fault: str, proof: str, restarts: bool) -> None:
    machines.script(host, f"{fault}\n{proof}")
    before = host.check_output(PID)
    role.correct(hosts="pool")
    assert host.run(proof).rc != 0
    assert restarts or host.check_output(PID) == before


def test_change_is_live_and_keeps_open_connections(role: Role, host: Host, second: Host) -> None:
    before = serial(second)
    # Keywords of access rules
    keywords = [{"name": name, "dbname": "edu"} for name in ("replication", "all", "sameuser", "samerole")]
    jobs = {"name": "edu_jobs", "dbname": "edu", "pool_mode": "session", "pool_size": 2}
    with open_connection(second):
        role.tasks("renew_certificate.yml", hosts="pool")
        role.apply(
            hosts="pool",
            pgbouncer_pool_size=5,
            pgbouncer_max_clients=8000,
            pgbouncer_databases=[{"name": "edu"}, jobs, *keywords],
            pgbouncer_users=[{"name": "edu", "max_user_connections": 9}],
        )
        assert serial(second) != before
    assert int(host.check_output(f"awk '/Max open files/ {{print $4}}' /proc/$({PID})/limits")) >= 2 * 8000
    for database in keywords:
        assert log_in(second, f"dbname={database['name']}", statement="SELECT current_database()").stdout == "edu\n"
    assert "FATAL" in log_in(second, "dbname=other").stderr
    assert any("edu_jobs" in line and "session" in line for line in console(host, "SHOW DATABASES").splitlines())
    assert "default_pool_size,5" in console(host, "SHOW CONFIG")


def test_new_password_is_in_no_output(role: Role, host: Host) -> None:
    # PostgreSQL does not know that password, so no login works afterwards.
    new = "pgbouncer_auth_password=canary-shown-nowhere"
    run = role.play(role.folder / "converge.yml", "-vvv", "--extra-vars", new)
    assert run.code == 0
    assert "vise-pgbouncer apply" in run.output
    assert "canary-" not in run.output
    assert "canary-shown" not in host.check_output("journalctl --no-pager")
    host.check_output("grep canary-shown /etc/pgbouncer/userlist.txt")
