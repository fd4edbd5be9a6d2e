"""Checkout, certificate and containers; docker, git and openssl are stand-ins."""

from __future__ import annotations

import json
import socket
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import journal
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import settings, stack

CONFIG = settings.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("a", "1", "running"), ("b", "2", "running")], []),
        ([("a", "1", "running")], ["b"]),
        ([("a", "1", "running"), ("b", "9", "running")], ["b"]),
        ([("a", "1", "exited"), ("b", "2", "restarting")], ["a", "b"]),
        ([("a", "1", "running"), ("b", "2", "running"), ("old", "3", "running")], ["old"]),
    ],
)
def test_services_that_do_not_run_as_configured_are_named(found: list[t.Any], expected: list[str]) -> None:
    containers = [stack.Container(*one) for one in found]
    assert stack.find_differences({"a": "1", "b": "2"}, containers) == expected


@pytest.mark.parametrize(
    ("now", "upgrade", "refused"),
    [
        ("", {}, ""),
        ("2026-07a", {}, ""),
        ("2026-03b", {}, r"mailcow runs release 2026-03b.*upgrade_mail\.yml"),
        ("2026-03b", {"to": "2026-07a"}, ""),
        ("2026-07a", {"to": "2026-07a", "begun": time.time() - 60}, ""),
        (
            "2026-07a",
            {"to": "2026-07a", "begun": time.time() - 7200},
            "2026-07a was started over an hour.*vise-mailcow keep",
        ),
    ],
)
def test_another_release_needs_an_upgrade(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: str, upgrade: dict[str, t.Any], refused: str
) -> None:
    monkeypatch.setattr(stack, "release", lambda _of: now)
    monkeypatch.setattr(stack, "require_own", lambda _of, _project: None)
    monkeypatch.setattr(stack, "read_conf", lambda _of: {"COMPOSE_PROJECT_NAME": "mailcowdockerized"})
    record = journal.Journal(str(tmp_path / "upgrade.json"))
    if upgrade:
        record.write(upgrade)
    monkeypatch.setattr(stack, "UPGRADE", record)
    if refused:
        with pytest.raises(settings.Problem, match=refused):
            stack.refuse_other_release(CONFIG)
    else:
        stack.refuse_other_release(CONFIG)


@pytest.mark.parametrize(
    ("greeting", "message"),
    [
        (b"220 mail.example.org ESMTP\r\n", ""),
        (b"", "sends no greeting"),
        (b"554 no\r\n", "sends no greeting"),
        (None, "does not answer"),
    ],
)
def test_mail_service_is_healthy_when_it_sends_its_greeting(
    monkeypatch: pytest.MonkeyPatch, greeting: bytes | None, message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(stack, "read_conf", lambda _of: {"SMTP_PORT": f"127.0.0.1:{port}"})

        def greet() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(greeting or b"")

        if greeting is None:
            server.close()
        else:
            threading.Thread(target=greet, daemon=True).start()
        problem = stack.check_greeting(CONFIG, "SMTP_PORT")
    assert message in problem
    assert bool(problem) == bool(message)


def network(*subnets: str, ipv6: bool = False) -> dict[str, t.Any]:
    """Return a network of a Compose file."""
    return {"name": "mailcow", "enable_ipv6": ipv6, "ipam": {"config": [{"subnet": one} for one in subnets]}}


def found_network(*subnets: str, ipv6: bool = False) -> dict[str, t.Any]:
    """Return a network as Docker describes it."""
    return {"Name": "mailcow", "EnableIPv6": ipv6, "IPAM": {"Config": [{"Subnet": one} for one in subnets]}}


class Checkout:
    """A checkout with its certificate; commands are noted, and answered by a table of their first words."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.stdin = ""
        self.environment: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.release = "2026-07a"
        self.network = network("172.22.1.0/24")
        self.found_network = found_network("172.22.1.0/24")
        self.running = "postfix-mailcow 1 running\nold-mailcow 2 exited\n"
        self.directory = root / "checkout"
        self.directory.mkdir()
        (self.directory / "mailcow.conf").write_text(
            "# a comment\nDBNAME=mailcow\nDBROOT=secret\nCOMPOSE_PROJECT_NAME=mailcowdockerized\n"
        )
        (root / "cert.pem").write_text("certificate")
        (root / "key.pem").write_text("key")
        self.config = settings.Settings(
            self.directory, "https://x", "2026-07a", str(root / "cert.pem"), str(root / "key.pem"), 8080, 0
        )
        self.restart = root / "restart"
        monkeypatch.setattr(stack, "RESTART", self.restart)
        monkeypatch.setattr(stack, "UPGRADE", journal.Journal(str(root / "upgrade.json")))
        monkeypatch.setattr(stack, "release", lambda _config: self.release)
        monkeypatch.setattr(stack, "require_own", lambda _config, _project: None)
        monkeypatch.setattr(stack, "run", self.run)

    def run(self, argv: list[str], stdin: str = "", directory: Path = Path("/"), **environment: str) -> str:
        """Stand in for commands.run."""
        self.calls.append(argv)
        self.stdin, self.environment = stdin, environment
        if argv[:2] == ["docker", "ps"]:
            return self.running
        if argv[2:4] == ["config", "--format"]:
            return json.dumps({"networks": {"mailcow-network": self.network}})
        if argv[:3] == ["docker", "network", "ls"]:
            return "bridge\nmailcow\n"
        if argv[:3] == ["docker", "network", "inspect"]:
            return json.dumps([self.found_network])
        assert argv[:2] != ["docker", "compose"] or directory == self.directory
        return next((text for words, text in self.answers.items() if words in " ".join(argv)), "same")

    def installed(self, name: str) -> Path:
        """Return where mailcow's services read a file of the certificate."""
        return self.directory / "data/assets/ssl" / name


@pytest.fixture(name="checkout")
def fixture_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


def test_new_certificate_is_installed_and_its_running_users_restart(checkout: Checkout) -> None:
    assert stack.update_certificates(checkout.config)
    assert checkout.installed("key.pem").read_text() == "key"
    assert checkout.installed("key.pem").stat().st_mode & 0o777 == 0o600
    assert checkout.installed("").stat().st_mode & 0o777 == 0o755
    assert checkout.calls[-1] == ["docker", "compose", "restart", "postfix-mailcow"]
    assert not checkout.restart.exists()
    assert not stack.update_certificates(checkout.config)


def test_restart_that_was_killed_is_repeated(checkout: Checkout) -> None:
    stack.update_certificates(checkout.config)
    checkout.restart.write_text("")
    assert stack.update_certificates(checkout.config)
    assert checkout.calls[-1][:3] == ["docker", "compose", "restart"]


def test_certificate_waits_for_the_first_checkout(checkout: Checkout) -> None:
    checkout.release = ""
    assert not stack.update_certificates(checkout.config)
    assert not checkout.calls


def test_key_of_another_certificate_is_refused(checkout: Checkout) -> None:
    checkout.answers = {"openssl pkey": "another"}
    with pytest.raises(settings.Problem, match=r"key\.pem is not the key of .*cert\.pem"):
        stack.update_certificates(checkout.config)
    assert not checkout.installed("cert.pem").exists()


def test_missing_certificate_is_named(checkout: Checkout) -> None:
    Path(checkout.config.certificate).unlink()
    with pytest.raises(settings.Problem, match=r"cert\.pem does not exist: create the certificate and its key"):
        stack.update_certificates(checkout.config)


def test_installation_keeps_the_files_that_it_wrote_once(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    switched = []
    monkeypatch.setattr(stack, "fetch", lambda _config, tag: f"commit of {tag}")
    monkeypatch.setattr(stack, "switch", lambda _config, revision: switched.append(revision))
    example = checkout.directory / stack.DHPARAMS.format("ssl-example")
    example.parent.mkdir(parents=True)
    example.write_text("shipped")
    stack.install(checkout.config)
    own = checkout.directory / stack.DHPARAMS.format("ssl")
    assert (own.read_text(), own.stat().st_mode & 0o777) == ("shipped", 0o644)
    assert (checkout.directory / stack.PLACEHOLDER).read_text() == "# Placeholder\n"
    own.write_text("own")
    stack.install(checkout.config)
    assert own.read_text() == "own"
    assert switched == ["commit of 2026-07a"] * 2


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("", ["check out 2026-07a", "install certificate", "start containers"]),
        ("2026-07a", ["install certificate", "start dovecot-mailcow", "start old-mailcow"]),
    ],
)
def test_plan_names_all_actions(checkout: Checkout, release: str, expected: list[str]) -> None:
    checkout.release = release
    checkout.answers = {"config --hash": "postfix-mailcow 1\ndovecot-mailcow 3\n"}
    assert stack.plan(checkout.config) == expected


SIX = "fd4d:6169:6c63:6f77::/64"


@pytest.mark.parametrize(
    ("wanted", "found", "differs"),
    [
        (network("172.22.1.0/24"), found_network("172.22.1.0/24"), False),
        (network("172.22.2.0/24"), found_network("172.22.1.0/24"), True),
        (network("172.22.1.0/24", SIX, ipv6=True), found_network("172.22.1.0/24", ipv6=False), True),
        (network("172.22.1.0/24", SIX), found_network("172.22.1.0/24", SIX, ipv6=True), True),
        (network("172.22.1.0/24", SIX), found_network("172.22.1.0/24"), False),
        (network("172.22.1.0/24", SIX, ipv6=True), found_network(SIX, "172.22.1.0/24", ipv6=True), False),
        (network("172.22.1.0/24", SIX, ipv6=True), found_network("172.22.1.0/24", "fd00::/64", ipv6=True), True),
        (
            network("172.22.1.0/24", "fd4d:6169:6c63:6f77:0::/64", ipv6=True),
            found_network("172.22.1.0/24", SIX, ipv6=True),
            False,
        ),
        ({"name": "mailcow"}, found_network("172.18.0.0/16"), False),
    ],
)
def test_network_is_compared_by_subnets_and_ipv6(wanted: t.Any, found: t.Any, differs: bool) -> None:
    assert stack.network_differs(wanted, found) == differs


def test_changed_network_is_removed_with_its_containers_before_the_start(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.answers = {"config --hash": "postfix-mailcow 1\n"}
    checkout.running = "postfix-mailcow 1 running\n"
    checkout.found_network = found_network("172.22.9.0/24")
    monkeypatch.setattr(stack, "wait_until_healthy", lambda _config: None)
    assert stack.up(checkout.config) == ["install certificate", "recreate network mailcow"]
    assert [call[2] for call in checkout.calls if call[:2] == ["docker", "compose"]][-3:] == ["config", "down", "up"]
    assert stack.up(checkout.config) == ["recreate network mailcow"]


def test_mailcow_waits_for_the_port_of_rspamd(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(stack, "MILTER", ("rspamd-mailcow", server.getsockname()[1]))
        checkout.answers = {"ps --quiet": "id\n", "docker inspect": "127.0.0.1\n"}
        assert stack.check_milter(checkout.config) == ""
        monkeypatch.setattr(stack, "check_api", lambda _config: "")
        checkout.answers["config --hash"] = "postfix-mailcow 1\n"
        checkout.running = "postfix-mailcow 1 running\n"
        server.close()
        assert "rspamd-mailcow port" in stack.check_health(checkout.config)


def test_mailcow_that_does_not_start_is_an_error(checkout: Checkout) -> None:
    checkout.answers = {"config --hash": "postfix-mailcow 1\ndovecot-mailcow 3\n"}
    with pytest.raises(settings.Problem, match="mailcow does not work after 0 s: not running as configured: dovecot"):
        stack.wait_until_healthy(checkout.config)


def test_password_of_the_database_is_no_argument(checkout: Checkout) -> None:
    checkout.answers = {"ps --quiet": "id-of-mysql\n"}
    stack.run_sql(checkout.config, "SELECT 1")
    assert (checkout.stdin, checkout.environment) == ("SELECT 1", {"MYSQL_PWD": "secret"})
    assert checkout.calls[-1][5:] == ["id-of-mysql", "mariadb", "--user=root", "--skip-column-names", "mailcow"]
    assert "secret" not in checkout.calls[-1]


def test_queue_is_queried_in_postfix(checkout: Checkout) -> None:
    checkout.answers = {"ps --quiet": "id\n", "postqueue -j": '{"queue_id": "A"}\n{"queue_id": "B"}\n'}
    assert [message["queue_id"] for message in stack.queue(checkout.config)] == ["A", "B"]
    checkout.answers = {"ps --quiet": ""}
    with pytest.raises(settings.Problem, match="postfix-mailcow does not run"):
        stack.queue(checkout.config)
