"""The program that queries and changes PgBouncer; psql and systemctl are stand-ins that note their calls."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import certificates, programs, servers
from ansible_collections.vise.platform.plugins.module_utils.pgbouncer import (
    isolated,
    limits,
    lookup,
    program,
    queries,
    state,
)
from ansible_collections.vise.platform.plugins.module_utils.pgbouncer.settings import PgbouncerError, Settings

CONFIG = "[pgbouncer]\nlisten_addr = localhost,192.0.2.1\nunix_socket_dir = /run/pgbouncer\n[users]\njobs = a=b\n"
SYSTEMCTL = {"is-active": "active\n", "reset-failed": "", "restart": ""}


class Host:
    """A host with the live and the isolated instance of PgBouncer, with PostgreSQL and with systemd."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.live = {"port": "6432", "client_tls_cert_file": "/chain", "syslog_ident": "0123456789ab"}
        self.wanted = dict(self.live)
        self.answers = {lookup.GRANT_CHECK.format(user="pool"): lookup.LOOKUP, "SELECT pg_is_in_recovery()": "f"}
        self.rejected = ""  # a query that fails
        self.systemctl = dict(SYSTEMCTL)
        self.calls: list[str] = []
        self.psql: list[list[str]] = []

    def run(self, argv: list[str], *, stdin: str = "", user: str = "", **_options: object) -> programs.Result:
        """Stand in for programs.run."""
        if argv[:2] == ["systemctl", "show"]:
            return programs.Result(0, f"{os.getpid()}\n")
        if argv[0] == "systemctl":
            self.calls.append(argv[1])
            answer = self.systemctl[argv[1]]
            return programs.Result(0, answer) if not answer.startswith("!") else programs.Result(1, "", answer[1:])
        assert (argv[0], user) == ("psql", "postgres")
        self.psql.append(argv)
        if stdin == self.rejected:
            return programs.Result(1, "", "rejected\n")
        stdin = stdin.removeprefix(queries.UNLIMITED)
        if stdin != state.QUERY:
            self.calls.append(stdin)
            return programs.Result(0, self.answers.get(stdin, "") + "\n" * ("-t" in argv))
        live = argv[argv.index("-h") + 1] == "/run/pgbouncer"
        more = {"listen_addr": "localhost,192.0.2.1", "unix_socket_dir": "/run/pgbouncer", "conffile": str(self.config)}
        settings = {**self.live, **more} if live else {**self.wanted, "listen_addr": "", "conffile": "/tmp/x"}
        rows = "".join(f'{key},"{value}"\n' for key, value in settings.items())
        return programs.Result(0, f"key,value\n{rows}-- next --\nname\n-- next --\nname\n")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose PgBouncer has the wanted state."""
    config = tmp_path / "pgbouncer.ini"
    config.write_text(CONFIG)
    path = tmp_path / "settings.json"
    path.write_text(
        json.dumps(
            {"port": 6432, "auth_user": "pool", "server_host": "/run/postgresql", "server_port": 5432, "open_files": 9}
        )
    )
    settings = dataclasses.replace(Settings.load(str(path)), config=str(config))
    found = Host(config)

    @contextlib.contextmanager
    def run_isolated(_settings: Settings, text: str) -> Iterator[str]:
        assert text == CONFIG
        yield "/isolated"

    def read_served(address: str, port: int, prepare: object) -> bytes:
        assert (address, port, prepare) == ("localhost", 6432, program.request_tls)
        return b"/chain"

    monkeypatch.setattr(Settings, "load", lambda: settings)
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(isolated, "run_isolated", run_isolated)
    monkeypatch.setattr(certificates, "read_served", read_served)
    monkeypatch.setattr(certificates, "read_first", str.encode)
    return found


def use_remote_server(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(Settings.load(), server_host="db-1.internal")
    monkeypatch.setattr(Settings, "load", lambda: settings)


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["console"], ["console", "SHOW", "POOLS"], ["verify", "more"], ["load"]]
)
def test_other_usage_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert "vise-pgbouncer verify" in capsys.readouterr().err


def test_missing_settings_name_the_role(tmp_path: Path) -> None:
    with pytest.raises(PgbouncerError, match="run the role pgbouncer"):
        Settings.load(str(tmp_path / "nowhere"))


@pytest.mark.usefixtures("host")
def test_live_state_is_verified_and_its_generation_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["verify"]) == 0
    assert capsys.readouterr().out == "0123456789ab\n"


def test_changed_setting_is_named(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.live["port"] = "1"
    assert program.main(["verify"]) == 1
    assert capsys.readouterr().err == "the live state differs from the files in port\n"


def test_changed_function_is_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers.clear()
    assert program.main(["verify"]) == 1
    assert "the function pgbouncer.lookup" in capsys.readouterr().err


def test_old_certificate_is_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.live["client_tls_cert_file"] = host.wanted["client_tls_cert_file"] = "/renewed"
    assert program.main(["verify"]) == 1
    assert "not the certificate on disk" in capsys.readouterr().err


def test_missing_configuration_is_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.config.unlink()
    assert program.main(["verify"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_server_elsewhere_is_not_queried(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    use_remote_server(monkeypatch)
    host.answers.clear()
    assert [program.main([command]) for command in ("check", "verify", "apply")] == [0, 0, 0]
    assert not any("db-1.internal" in argv for argv in host.psql)


@pytest.mark.parametrize(("answer", "code"), [("1", 0), ("", 1)])
def test_pool_needs_its_user(host: Host, answer: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers[lookup.USER_CHECK.format(user="pool")] = answer
    assert program.main(["check"]) == code
    assert ("PostgreSQL has no user pool" in capsys.readouterr().err) == bool(code)


def test_rejected_files_are_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.rejected = state.QUERY
    assert program.main(["check"]) == 1
    assert capsys.readouterr().err == "rejected\n"


def test_changed_files_are_loaded_without_a_restart(host: Host) -> None:
    assert program.main(["apply"]) == 0
    grant = lookup.GRANT.format(lookup=lookup.LOOKUP, user="pool")
    assert host.calls == ["SELECT pg_is_in_recovery()", grant, "is-active", "RELOAD"]


def test_standby_gets_the_function_from_its_primary(host: Host) -> None:
    host.answers["SELECT pg_is_in_recovery()"] = "t"
    assert program.main(["apply"]) == 0
    assert host.calls == ["SELECT pg_is_in_recovery()", "is-active", "RELOAD"]


def test_stopped_unit_stays_stopped(host: Host) -> None:
    host.systemctl["is-active"] = "inactive\n"
    assert program.main(["apply"]) == 0
    assert host.calls[2:] == ["is-active"]


def test_setting_that_needs_a_restart_gets_one(host: Host) -> None:
    host.live["port"] = "1"
    assert program.main(["apply"]) == 0
    assert host.calls[2:] == ["is-active", "RELOAD", "reset-failed", "restart"]


def test_console_that_does_not_answer_gets_a_restart(host: Host) -> None:
    host.rejected = "RELOAD"
    assert program.main(["apply"]) == 0
    assert host.calls[-2:] == ["reset-failed", "restart"]


def test_failed_restart_names_the_journal(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.rejected = "RELOAD"
    host.systemctl["restart"] = "!Job failed\n"
    assert program.main(["apply"]) == 1
    assert capsys.readouterr().err == ("PgBouncer does not start: Job failed; see journalctl -u pgbouncer.service\n")


def test_console_prints_the_answer(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers["SHOW POOLS"] = "a,b\n"
    assert program.main(["console", "SHOW POOLS"]) == 0
    assert capsys.readouterr().out == "a,b\n"
    assert host.psql[-1][host.psql[-1].index("-h") :] == [
        *("-h", "/run/pgbouncer", "-p", "6432", "-U", "postgres", "-d", "pgbouncer", "--csv")
    ]


@pytest.mark.usefixtures("host")
def test_limits_of_the_server_do_not_end_a_query_to_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, str]] = []

    def run(_argv: list[str], *, stdin: str, environment: dict[str, str], **_options: object) -> programs.Result:
        given.append((stdin, environment.get("PGOPTIONS", "")))
        return programs.Result(0, "")

    monkeypatch.setattr(programs, "run", run)
    queries.run_query("SHOW POOLS", "/run/pgbouncer", 6432, "pgbouncer")
    settings = Settings.load()
    queries.query_postgresql(settings, "SELECT 1")
    console, server = given
    # PgBouncer itself does not know these settings.
    assert console == ("SHOW POOLS", "")
    assert server[0].splitlines()[0].startswith("SELECT set_config('transaction_timeout', '0', false) WHERE")
    assert "-c statement_timeout=0 " in server[1]


def test_value_of_postgresql_keeps_its_lines(host: Host) -> None:
    host.answers["SELECT"] = "\na\n"
    assert queries.query_postgresql(Settings.load(), "SELECT") == "\na\n"


@pytest.mark.parametrize(("answer", "refused"), [(b"S", False), (b"N", True), (b"", True)])
def test_tls_is_requested_as_clients_of_postgresql_do(answer: bytes, refused: bool) -> None:
    client, server = socket.socketpair()
    with client, server:
        server.sendall(answer)
        server.shutdown(socket.SHUT_WR)
        with pytest.raises(PgbouncerError) if refused else contextlib.nullcontext():
            program.request_tls(client)
        assert server.recv(100) == bytes.fromhex("0000000804d2162f")


class TestIsolated:
    """The isolated instance, for which a shell script stands in."""

    @pytest.fixture(autouse=True)
    def account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The test's own account, and no group of readers of keys."""
        real, user = servers.run_server, getpass.getuser()

        def run_server(argv: list[str], **_options: object) -> contextlib.AbstractContextManager[servers.Server]:
            return real(self.argv(argv), user=user)

        monkeypatch.setattr(isolated, "ACCOUNT", user)
        monkeypatch.setattr(servers, "run_server", run_server)

    def argv(self, argv: list[str]) -> list[str]:
        """Return the command that stands in for PgBouncer."""
        assert argv[0] == "pgbouncer"
        return ["sh", "-c", self.script, "sh", argv[1], os.path.dirname(argv[1])]  # noqa: PTH120

    script = ""

    def run(self, script: str) -> tuple[str, str]:
        """Return the directory of the socket and the configuration that the instance got."""
        self.script = script
        settings = Settings(6432, "pool", "/run/postgresql", 5432, 9)
        with isolated.run_isolated(settings, "[pgbouncer]\nlisten_addr = *") as directory:
            return directory, (Path(directory) / "seen").read_text()

    def test_it_listens_only_in_its_own_directory(self) -> None:
        directory, seen = self.run('cp $1 $2/seen; touch "$2/.s.PGSQL.6432"; exec sleep 60')
        assert seen == f"[pgbouncer]\nlisten_addr = *\nlisten_addr =\nunix_socket_dir = {directory}\n"
        assert not Path(directory).exists()

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("echo '2026 LOG fine'; echo '2026 ERROR no_such_setting'; exit 1", "2026 ERROR no_such_setting"),
            ('echo "2026 WARNING ignored" >&2; touch $2/.s.PGSQL.6432; exec sleep 60', "2026 WARNING ignored"),
            ("exit 1", "PgBouncer does not start"),
        ],
    )
    def test_errors_and_warnings_are_raised(self, script: str, message: str) -> None:
        with pytest.raises(PgbouncerError) as raised:
            self.run(script)
        assert str(raised.value) == message

    def test_it_must_listen_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(isolated, "PATIENCE", 0)
        with pytest.raises(PgbouncerError, match="does not start"):
            self.run("exec sleep 60")


@pytest.mark.usefixtures("host")
def test_more_clients_than_the_kernel_permits_are_refused_with_the_maximum() -> None:
    maximum = int(Path(limits.MAXIMUM).read_text())
    settings = dataclasses.replace(Settings.load(), open_files=maximum + 1)
    with pytest.raises(PgbouncerError, match=r"pgbouncer_max_clients needs .* open files.*write [0-9]+ or fewer"):
        limits.check_limit(settings)


@pytest.mark.usefixtures("host")
def test_process_with_a_lower_limit_of_files_is_reported() -> None:
    with pytest.raises(PgbouncerError, match="pgbouncer_max_clients needs 1000000000: remove LimitNOFILE"):
        limits.verify_limit(dataclasses.replace(Settings.load(), open_files=10**9))


def test_limit_of_another_process_is_read() -> None:
    argv = ["sh", "-c", "ulimit -Sn 77; echo set; read _"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"set\n"
        found = limits.read_limit(process.pid)
        process.kill()
    assert found == 77
