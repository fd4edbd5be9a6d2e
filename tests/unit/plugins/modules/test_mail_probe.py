"""A round trip through a small mail server, and the error of each step that fails."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import ssl
import typing as t

import dkim
import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils import mail_probe as library
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys
from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.modules import mail_probe

from tests.unit.plugins import mail_server

CA, CA_KEY = x509.make_ca("ours")
HOST, USER, PASSWORD = "mail.example.org", "probe@example.org", "canary secret"
PEM = keys.create("rsa", 2048)
NAME = "s1._domainkey.example.org"


def split(text: str) -> list[str]:
    """As the DNS holds a long string."""
    return [text[start : start + 255] for start in range(0, len(text), 255)]


def sign(raw: bytes, domain: bytes = b"example.org", selector: bytes = b"s1") -> bytes:
    signed: bytes = dkim.sign(raw, selector, domain, PEM.encode(), canonicalize=(b"relaxed", b"relaxed"))
    return signed


@dataclasses.dataclass
class Probe:
    """Runs the module against the mailbox."""

    box: mail_server.Mailbox
    ports: dict[str, int]
    capsys: pytest.CaptureFixture[str]
    said: str = ""

    def call(self, **options: t.Any) -> dict[str, t.Any]:
        basic._ANSIBLE_ARGS = None
        smtp = {"smtp_port": self.ports["smtp"], "submission_port": self.ports["smtp"]}
        given = {"host": HOST, "user": USER, "password": PASSWORD, "ca": CA, "resolvers": ["127.0.0.1"], **smtp}
        given.update(imap_port=self.ports["imap"], delivery_timeout=1, timeout=5)
        with patch_module_args({**given, **options}), contextlib.suppress(SystemExit):
            mail_probe.main()
        self.said = self.capsys.readouterr().out
        answer: dict[str, t.Any] = json.loads(self.said)
        return answer


@pytest.fixture
def probe(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> t.Iterator[Probe]:
    key = x509.make_key()
    chain = x509.sign(x509.make_request(key, [HOST]), CA, CA_KEY, [HOST], 30)
    (tmp_path / "server.pem").write_text(key + chain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")
    box = mail_server.Mailbox(USER, PASSWORD, context, sign, {NAME: split(keys.facts(PEM).txt)}, {HOST: "127.0.0.1"})
    for ports in mail_server.serve(box):
        monkeypatch.setattr(library, "DNS_PORT", ports["dns"])
        yield Probe(box, ports, capsys)


def test_message_is_delivered_and_its_signature_passes(probe: Probe) -> None:
    answer = probe.call(selector="s1")
    assert answer["changed"] is False
    assert answer["signatures"] == [{"domain": "example.org", "selector": "s1", "result": "pass", "problem": ""}]
    assert answer["message_id"].endswith("@example.org>")
    assert probe.box.messages == [], "the message is deleted"


def test_key_in_several_strings_of_the_dns_verifies(probe: Probe) -> None:
    assert len(probe.box.txt[NAME]) == 2
    assert probe.call()["signatures"][0]["result"] == "pass"


def test_message_in_junk_is_found(probe: Probe) -> None:
    probe.box.folder = "Junk"
    assert "failed" not in probe.call()


def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


FAULTS: list[tuple[dict[str, t.Any], dict[str, t.Any], str, str]] = [
    ({}, {"host": "nowhere.example.org"}, "resolve", "nowhere.example.org has no address"),
    ({}, {"smtp_port": 0}, "smtp", "connection refused"),
    ({}, {"submission_port": 0}, "submission", "connection refused"),
    ({}, {"imap_port": 0}, "delivery", "connection refused"),
    ({}, {"ca": ""}, "smtp", "certificate of the server is not trusted"),
    ({}, {"host": "other.example.org", "address": "127.0.0.1"}, "smtp", "certificate is not valid for"),
    ({"encrypts": False}, {}, "smtp", "STARTTLS"),
    ({}, {"password": "wrong canary"}, "submission", "login refused (535"),
    ({"delivers": False}, {}, "delivery", "not in INBOX or Junk after 1 s"),
    ({"sign": lambda _raw: b""}, {}, "signature", "no DKIM signature of example.org"),
    (
        {"sign": lambda raw: sign(raw, b"other.org")},
        {},
        "signature",
        "no DKIM signature of example.org, only of other.org",
    ),
    ({"sign": lambda raw: sign(raw + b"more")}, {}, "signature", "invalid signature with selector s1: "),
    ({"txt": {}}, {}, "signature", f"the DNS has no key at {NAME}"),
    ({"txt": {NAME: split(keys.facts(keys.create("rsa", 2048)).txt)}}, {}, "signature", "does not match the message"),
    ({}, {"selector": "s2"}, "signature", "signed with selector s1 instead of s2"),
]


@pytest.mark.parametrize(("broken", "options", "step", "says"), FAULTS)
def test_each_step_that_fails_is_named(
    probe: Probe, broken: dict[str, t.Any], options: dict[str, t.Any], step: str, says: str
) -> None:
    for name, value in broken.items():
        setattr(probe.box, name, value)
    answer = probe.call(**{name: value if value != 0 else closed() for name, value in options.items()})
    assert answer["failed"] is True
    assert answer["step"] == step
    assert says in answer["msg"]
    assert "canary" not in probe.said


def test_login_that_only_imap_refuses_is_named(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "submit", lambda *_given: None)
    answer = probe.call(password="wrong canary")  # noqa: S106  # the one that must be refused
    assert (answer["step"], "login refused" in answer["msg"]) == ("delivery", True)
    assert "canary" not in probe.said


def test_port_25_can_be_skipped(probe: Probe) -> None:
    assert "failed" not in probe.call(smtp_port=0)


def test_timeout_of_port_25_mentions_blocked_networks() -> None:
    assert "port 25" in library.explain(TimeoutError(), "smtp")
    assert "port 25" not in library.explain(TimeoutError(), "submission")


def test_check_mode_sends_nothing(probe: Probe) -> None:
    answer = probe.call(_ansible_check_mode=True)
    assert (answer["changed"], probe.box.logins) == (False, 0)


def test_missing_libraries_are_named(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "HAS_LIBRARIES", False)
    assert "run the module on the controller" in probe.call()["msg"]
