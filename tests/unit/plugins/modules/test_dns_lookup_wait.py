"""Every authoritative server is queried until it returns the wanted records."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import dns.flags
import dns.message
import dns.query
import dns.rrset
import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.modules import dns_lookup_wait

LONG = "v=DKIM1; p=" + "A" * 700
MX = {"type": "MX", "name": "@", "value": "Mail.example.test", "priority": 10}
TXT = {"type": "TXT", "name": "key._domainkey", "value": LONG}
RECORDS: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "value": "192.0.2.1"},
    {"type": "AAAA", "name": "www", "value": "2001:db8:0::1"},
    {"type": "CNAME", "name": "alias", "value": "www.example.test"},
    {"type": "SRV", "name": "_imaps._tcp", "value": "mail.example.test", "priority": 0, "weight": 1, "port": 993},
    {"type": "CAA", "name": "@", "value": "letsencrypt.org", "flags": 0, "tag": "issue"},
    {"type": "TLSA", "name": "_25._tcp.mail", "value": "AB" * 32, "usage": 3, "selector": 1, "matching_type": 1},
    {"type": "HTTPS", "name": "www", "value": ".", "priority": 1, "params": "alpn=h3,h2"},
    {"type": "NS", "name": "below", "value": "ns.example.org"},
    MX,
    TXT,
]
ANSWERS = {
    ("www", "A"): ["192.0.2.1", "192.0.2.2"],
    ("www", "AAAA"): ["2001:db8::1"],
    ("alias", "CNAME"): ["www.example.test."],
    ("_imaps._tcp", "SRV"): ["0 1 993 MAIL.example.test."],
    ("", "CAA"): ['0 issue "letsencrypt.org"'],
    ("_25._tcp.mail", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("www", "HTTPS"): ['1 . alpn="h3,h2"'],
    ("below", "NS"): ["ns.example.org."],
    ("", "MX"): ["10 mail.example.test."],
    ("key._domainkey", "TXT"): [f'"{LONG[:255]}" "{LONG[255:510]}" "{LONG[510:]}"'],
}


class Answers(dict[tuple[str, str], list[str]]):
    """The answers of a server, and the types that were queried."""

    def __init__(self, answers: dict[tuple[str, str], list[str]]) -> None:
        super().__init__(answers)
        self.queries: list[str] = []

    def reply(self, raw: bytes, by_tcp: bool) -> bytes:
        query = dns.message.from_wire(raw)
        question = query.question[0]
        assert not query.flags & dns.flags.RD
        response = dns.message.make_response(query)
        kind = question.rdtype.name
        self.queries.append(kind)
        rows = self.get((question.name.to_text().removesuffix("example.test.").rstrip("."), kind), [])
        if rows:
            # The server of the parent zone returns a delegation in the authority section.
            section = response.authority if kind == "NS" else response.answer
            section.append(dns.rrset.from_text(question.name, 60, "IN", kind, *rows))
        if not by_tcp and len(response.to_wire()) > 512:
            response.answer.clear()
            response.flags |= dns.flags.TC
        wire: bytes = response.to_wire()
        return wire


class Udp(socketserver.BaseRequestHandler):
    answers: ClassVar[Answers]

    def handle(self) -> None:
        raw, connection = self.request
        connection.sendto(self.answers.reply(raw, by_tcp=False), self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    answers: ClassVar[Answers]

    def handle(self) -> None:
        length = int.from_bytes(self.rfile.read(2), "big")
        raw = self.answers.reply(self.rfile.read(length), by_tcp=True)
        self.wfile.write(len(raw).to_bytes(2, "big") + raw)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """A name server at 127.0.0.1, on an unprivileged port."""
    held = Answers(ANSWERS)
    tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("OwnTcp", (Tcp,), {"answers": held}))
    port = tcp.server_address[1]
    udp = socketserver.ThreadingUDPServer(("127.0.0.1", port), type("OwnUdp", (Udp,), {"answers": held}))
    servers = (tcp, udp)
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    ask = dns.query.udp_with_fallback
    monkeypatch.setattr(dns.query, "udp_with_fallback", lambda *more, **named: ask(*more, **named, port=port))
    monkeypatch.setattr(dns_lookup_wait, "PAUSE", 0.05)
    monkeypatch.setattr(dns_lookup_wait, "name_servers", lambda *_: ["127.0.0.1"])
    yield held
    for server in servers:
        server.shutdown()
        server.server_close()


def wait(capsys: Any, *records: dict[str, Any], **options: Any) -> dict[str, Any]:
    basic._ANSIBLE_ARGS = None
    arguments = {"zones": [{"zone": "example.test", "records": list(records)}], "seconds": 0, **options}
    with patch_module_args(arguments), contextlib.suppress(SystemExit):
        dns_lookup_wait.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["type"])
def test_returned_record_is_accepted(capsys: Any, record: dict[str, Any]) -> None:
    result = wait(capsys, record)
    assert "msg" not in result, result
    assert result["servers"] == {"example.test": ["127.0.0.1"]}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["type"])
def test_missing_record_is_reported_with_server_and_answer(
    capsys: Any, answers: Answers, record: dict[str, Any]
) -> None:
    answers.clear()
    (line,) = wait(capsys, record)["msg"].splitlines()[1:]
    assert line.startswith(f"{record['type']} ")
    assert line.endswith(" at 127.0.0.1: the answer is empty")


@pytest.mark.usefixtures("answers")
def test_other_value_is_reported(capsys: Any) -> None:
    result = wait(capsys, {**MX, "value": "other.example.test"})
    assert "MX example.test at 127.0.0.1: the answer is 10 mail.example.test." in result["msg"]


def test_only_the_missing_record_is_queried_until_the_answer_contains_it(capsys: Any, answers: Answers) -> None:
    right = answers.pop(("", "MX"))
    threading.Timer(0.5, lambda: answers.update({("", "MX"): right})).start()
    result = wait(capsys, MX, TXT, seconds=30)
    assert "msg" not in result, result
    assert 0.5 <= result["seconds"] < 30
    # Once by UDP, and once by TCP for the long answer
    assert answers.queries.count("TXT") == 2
    assert answers.queries.count("MX") > 2


def test_proxied_record_is_skipped(capsys: Any, answers: Answers) -> None:
    answers.clear()
    result = wait(capsys, {"type": "A", "name": "www", "value": "192.0.2.1", "proxied": True})
    assert "msg" not in result, result


def test_check_mode_sends_no_query(capsys: Any, answers: Answers) -> None:
    wait(capsys, MX, _ansible_check_mode=True)
    assert answers.queries == []


def test_server_without_a_route_is_skipped_unless_it_is_the_only_one(
    capsys: Any, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = dns.query.udp_with_fallback

    def send(query: Any, server: str, **more: Any) -> Any:
        if ":" in server:
            raise OSError("Network is unreachable")
        return ask(query, server, **more)

    monkeypatch.setattr(dns.query, "udp_with_fallback", send)
    monkeypatch.setattr(dns_lookup_wait, "name_servers", lambda *_: ["127.0.0.1", "2001:db8::53"])
    assert wait(capsys, MX)["without_route"] == {"example.test": ["2001:db8::53"]}
    assert len(answers.queries) == 2
    monkeypatch.setattr(dns_lookup_wait, "name_servers", lambda *_: ["2001:db8::53"])
    assert "no route to any of the name servers" in wait(capsys, MX)["msg"]


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("error", [dns.exception.Timeout, ConnectionResetError, EOFError])
def test_server_without_an_answer_is_reported(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(dns_lookup_wait, "name_servers", lambda *_: ["127.0.0.1", "192.0.2.53"])
    ask = dns.query.udp_with_fallback

    def send(query: Any, server: str, **more: Any) -> Any:
        # The first query, by which the server counts as reachable, succeeds
        if server == "192.0.2.53" and query.question[0].rdtype == dns.rdatatype.MX:
            raise error
        return ask(query, "127.0.0.1", **more)

    monkeypatch.setattr(dns.query, "udp_with_fallback", send)
    assert wait(capsys, MX)["msg"].splitlines()[1:] == [f"MX example.test at 192.0.2.53: no answer ({error.__name__})"]


def test_zone_without_name_servers_is_an_error(capsys: Any) -> None:
    result = wait(capsys, MX, resolvers=["127.0.0.1"], timeout=0.2)
    assert "example.test: the name servers cannot be resolved" in result["msg"]


@pytest.mark.usefixtures("answers")
def test_all_zones_are_queried_in_one_execution(capsys: Any) -> None:
    zones = [
        {"zone": "example.test", "records": [MX, TXT]},
        {"zone": "other.test.", "records": [{**MX, "name": "other.test"}]},
    ]
    result = wait(capsys, zones=zones)
    assert result["servers"] == {"example.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
    assert result["msg"].splitlines()[1:] == ["MX other.test at 127.0.0.1: the answer is empty"]
