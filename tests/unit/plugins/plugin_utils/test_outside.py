"""Ports and sites of a host are compared by what they answer to the controller."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.plugin_utils import outside
from ansible_collections.vise.platform.plugins.plugin_utils.outside import (
    ACCEPTED,
    ANSWERED,
    CLIENT_ERROR,
    REFUSED,
    SERVER_ERROR,
    SILENT,
    TLS,
    Answer,
    Target,
)

HERE = "127.0.0.1"
SITE = Target(443, "site", "docs.example.org")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a file with a certificate that no authority has signed, and its key."""
    chain, key = x509.make_placeholder(["docs.example.org"], datetime.datetime.now(datetime.UTC))
    path = Path(tmp_path_factory.mktemp("tls"), "server.pem")
    path.write_text(chain + key)
    return str(path)


@contextlib.contextmanager
def serve(answer: t.Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer each connection to a port of this machine."""

    def loop(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                with contextlib.suppress(OSError), connection:
                    answer(connection)

    with socket.create_server((HERE, 0)) as server:
        thread = threading.Thread(target=loop, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def serve_tls(certificate: str, reply: bytes, names: list[str] | None = None) -> Iterator[int]:
    """Serve one answer by TLS; collect the requested names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def keep_name(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if names is not None:
            names.append(str(name))

    context.sni_callback = keep_name

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(reply)

    with serve(answer) as port:
        yield port


def probe(target: Target) -> Answer:
    return outside.probe(HERE, [target])[target]


def test_answers_of_a_program_and_of_the_kernel_differ() -> None:
    with serve(lambda _connection: None) as port:
        with socket.create_server((HERE, 0)) as other:
            closed = other.getsockname()[1]
        found = outside.probe(HERE, [Target(port), Target(closed)])
    assert [answer.rank for answer in found.values()] == [ACCEPTED, REFUSED]


@pytest.mark.parametrize(("address", "targets"), [("", [Target(22)]), (HERE, [])])
def test_nothing_is_probed_without_an_address_or_a_target(address: str, targets: list[Target]) -> None:
    assert outside.probe(address, targets) == {}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", (ANSWERED, "status 200")),
        (b"HTTP/1.1 301 Moved\r\n\r\n", (ANSWERED, "status 301")),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", (ANSWERED, "status 429")),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", (CLIENT_ERROR, "status 403")),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", (SERVER_ERROR, "status 502")),
        (b"", (TLS, "TLS without HTTP")),
        (b"220 mail ESMTP\r\n", (TLS, "TLS without HTTP")),
    ],
)
def test_site_answers_with_a_status_over_tls(certificate: str, reply: bytes, expected: tuple[int, str]) -> None:
    names: list[str] = []
    with serve_tls(certificate, reply, names) as port:
        assert probe(Target(port, "site", "docs.example.org")) == expected
    assert names == ["docs.example.org"]


def test_of_a_locked_site_only_the_handshake_counts(certificate: str) -> None:
    with serve_tls(certificate, b"HTTP/1.1 403 Forbidden\r\n\r\n") as port:
        assert probe(Target(port, "locked", "docs.example.org")) == (TLS, "TLS")


def test_port_without_tls_is_no_site() -> None:
    with serve(lambda connection: connection.sendall(b"hello\n")) as port:
        answer = probe(Target(port, "site", "docs.example.org"))
    assert answer.rank == ACCEPTED
    assert answer.text.startswith("no connection by TLS: ")


def test_greeting_of_a_mail_server_counts_and_a_silent_program_only_accepts(
    certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "TIMEOUT", 0.2)
    with serve(lambda connection: connection.sendall(b"220 mail ESMTP\r\nmore\r\n")) as port:
        assert probe(Target(port, "greeting")) == (outside.GREETING, "greeting '220 mail ESMTP'")
    with serve(lambda _connection: None) as port:
        assert probe(Target(port, "greeting")).rank == ACCEPTED
    with serve(lambda connection: t.cast("None", connection.recv(1))) as port:
        assert probe(Target(port, "greeting")) == (ACCEPTED, "no greeting")
    with serve_tls(certificate, b"") as port:
        assert probe(Target(port, "tls")) == (outside.GREETING, "TLS")


def test_proxy_of_the_environment_is_not_used(certificate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serve_tls(certificate, b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert probe(Target(port, "site", "docs.example.org")).rank == ANSWERED


@pytest.mark.parametrize(
    ("target", "before", "after", "expected"),
    [
        (Target(443), ACCEPTED, [ACCEPTED], False),
        (Target(443), ACCEPTED, [SILENT, ACCEPTED], False),
        (Target(443), ACCEPTED, [REFUSED], True),
        (Target(443), REFUSED, [ACCEPTED], False),
        (Target(443), REFUSED, [SILENT], True),
        (Target(25), SILENT, [SILENT], False),
        (Target(25, "greeting"), outside.GREETING, [ACCEPTED], True),
        (Target(993, "tls"), outside.GREETING, [ACCEPTED, outside.GREETING], False),
        # No service answered there.
        (Target(25, "greeting"), REFUSED, [SILENT], False),
        (SITE, ANSWERED, [SERVER_ERROR, ANSWERED], False),
        (SITE, ANSWERED, [CLIENT_ERROR], True),
        (SITE, CLIENT_ERROR, [SERVER_ERROR], True),
        (SITE, SERVER_ERROR, [SERVER_ERROR], False),
        (SITE, TLS, [ACCEPTED], True),
        # Another site's port proves nothing about this one.
        (SITE, ACCEPTED, [SILENT], False),
    ],
)
def test_only_what_answered_before_can_be_lost(
    monkeypatch: pytest.MonkeyPatch, target: Target, before: int, after: list[int], expected: bool
) -> None:
    ranks = iter([*after, *[after[-1]] * outside.ATTEMPTS])
    monkeypatch.setattr(outside, "PAUSE", 0)
    monkeypatch.setattr(
        outside, "probe", lambda _address, targets: {one: Answer(next(ranks), "now") for one in targets}
    )
    lost = outside.find_lost("192.0.2.1", {target: Answer(before, "then")})
    assert list(lost) == ([target] if expected else [])


def test_message_names_the_site_and_both_answers() -> None:
    before = {SITE: Answer(ANSWERED, "status 200"), Target(25): Answer(ACCEPTED, "connection accepted")}
    after = {SITE: Answer(CLIENT_ERROR, "status 403"), Target(25): Answer(SILENT, "no answer")}
    assert outside.describe_lost(before, after) == (
        "https://docs.example.org at port 443 (before: status 200, now: status 403);"
        " port 25 (before: connection accepted, now: no answer)"
    )


def test_targets_of_a_component_are_its_ports_and_sites_each_once() -> None:
    site = {"domain": "*.example.org", "port": 443, "locked": False}
    locked = {"domain": "in.example.org", "port": 8443, "locked": True}
    assert outside.list_targets({"open_ports": [80, 80], "sites": [site, site, locked]}) == [
        Target(80),
        Target(443, "site", "any.example.org"),
        Target(8443, "locked", "in.example.org"),
    ]


def test_answers_survive_json_and_the_better_one_of_two_runs_counts() -> None:
    before = {SITE: Answer(ANSWERED, "status 200"), Target(80): Answer(SILENT, "no answer")}
    assert outside.from_json(outside.to_json(before)) == before
    killed = {SITE: Answer(CLIENT_ERROR, "status 403"), Target(80): Answer(ACCEPTED, "connection accepted")}
    best = {SITE: before[SITE], Target(80): killed[Target(80)]}
    assert outside.merge(killed, before) == outside.merge(before, killed) == best
