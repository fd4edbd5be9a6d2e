"""Checkout, certificate and containers; docker, git and openssl are stand-ins."""

from __future__ import annotations

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


class Checkout:
    """A checkout with its certificate; commands are noted, and answered by a table of their first words."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.stdin = ""
        self.environment: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.release = "2026-07a"
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
        monkeypatch.setattr(stack, "run", self.run)

    def run(self, argv: list[str], stdin: str = "", directory: Path = Path("/"), **environment: str) -> str:
        """Stand in for commands.run."""
        self.calls.append(argv)
        self.stdin, self.environment = stdin, environment
        if argv[:2] == ["docker", "ps"]:
            return self.running
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


def test_checkout_replaces_changed_files_and_keeps_those_that_it_wrote_once(checkout: Checkout) -> None:
    example = checkout.directory / stack.DHPARAMS.format("ssl-example")
    example.parent.mkdir(parents=True)
    example.write_text("shipped")
    stack.checkout(checkout.config)
    assert checkout.calls[-1][3:] == ["checkout", "--quiet", "--force", "2026-07a"]
    own = checkout.directory / stack.DHPARAMS.format("ssl")
    assert (own.read_text(), own.stat().st_mode & 0o777) == ("shipped", 0o644)
    assert (checkout.directory / stack.PLACEHOLDER).read_text() == "# Placeholder\n"
    own.write_text("own")
    stack.checkout(checkout.config)
    assert own.read_text() == "own"


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
