"""Which authority a service presents, and whether a client that trusts a bundle can connect: with real connections."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.host_status import facts
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, store, x509
from ansible_collections.vise.platform.plugins.modules import internal_trust

OLD, NEW, OTHER = (x509.make_ca(name) for name in ("old", "new", "public"))


class Service:
    """A service that presents a certificate, after a letter in plain text if it is PostgreSQL."""

    def __init__(self, folder: Path, ca: tuple[str, str], name: str, begin: bool) -> None:
        key = x509.make_key()
        (folder / "key").write_text(key)
        (folder / "chain").write_text(x509.sign(x509.make_request(key, [name]), *ca, [name], 9))
        self.begin, self.context = begin, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "chain", folder / "key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Answer until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                plain, _address = self.listener.accept()
                with contextlib.suppress(OSError):
                    if self.begin:
                        plain.recv(8)
                        plain.sendall(b"S")
                    with self.context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[t.Callable[..., facts.Data]]:
    """Start services, each at a place."""
    started: list[Service] = []

    def run(service: str, ca: tuple[str, str] = OLD, name: str = "db-1") -> facts.Data:
        begin = {"begin": facts.SSL_REQUEST} if service.startswith("postgresql") else {}
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        started.append(Service(folder, ca, name, bool(begin)))
        return {"service": service, "port": started[-1].port, "address": "127.0.0.1", **begin}

    yield run
    for one in started:
        one.listener.close()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., t.Any]:
    """Run the module on a host that trusts these authorities and has these places."""

    def run(places: list[facts.Data], *trusted: tuple[str, str]) -> dict[str, t.Any]:
        real, key = store.Store, x509.make_key()
        monkeypatch.setattr(store, "Store", lambda name: real(name, str(tmp_path)))
        deployed = store.Store("internal")
        chain = x509.sign(x509.make_request(key, ["db-1"]), *trusted[0], ["db-1"], 9)
        bundle = internal.join_authorities(ca for ca, _key in trusted)
        deployed.switch(deployed.stage(key), {store.CHAIN: chain, store.CA: bundle})
        monkeypatch.setattr(facts, "list_places", lambda: places)
        basic._ANSIBLE_ARGS = None
        given = {"authorities": [OLD[0], NEW[0]], "name": "db-1"}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            internal_trust.main()
        answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_trusted_authorities_and_the_issuer_are_read(host: t.Callable[..., t.Any]) -> None:
    answer = host([], NEW, OLD)
    assert answer["trusts"] == [internal.fingerprint(NEW[0]), internal.fingerprint(OLD[0])]
    assert (answer["leaf"], answer["is_live"]) == (internal.fingerprint(NEW[0]), False)


@pytest.mark.parametrize("service", ["postgresql-17", "redis", "nginx"])
@pytest.mark.parametrize("ca", [OLD, NEW])
def test_service_is_verified_with_the_file_of_the_host(
    host: t.Callable[..., t.Any], start: t.Callable[..., facts.Data], service: str, ca: tuple[str, str]
) -> None:
    (found,) = host([start(service, ca)], OLD, NEW)["services"]
    assert (found["service"], found["issuer"], found["problem"]) == (service, internal.fingerprint(ca[0]), "")


@pytest.mark.parametrize("service", ["postgresql-17", "redis", "nginx"])
def test_host_that_does_not_trust_the_issuer_cannot_connect(
    host: t.Callable[..., t.Any], start: t.Callable[..., facts.Data], service: str
) -> None:
    (found,) = host([start(service, NEW)], OLD)["services"]
    assert found["problem"].startswith("a client of this host cannot verify it: ")


def test_databases_are_verified_for_the_name_of_the_host(
    host: t.Callable[..., t.Any], start: t.Callable[..., facts.Data]
) -> None:
    services = host([start("redis", name="other"), start("nginx", name="docs.internal")], OLD)["services"]
    assert "Hostname mismatch" in services[0]["problem"]
    assert services[1]["problem"] == ""


def test_public_site_is_not_part_of_it_but_a_database_always_is(
    host: t.Callable[..., t.Any], start: t.Callable[..., facts.Data]
) -> None:
    (found,) = host([start("nginx", OTHER), start("redis", OTHER)], OLD)["services"]
    assert (found["service"], found["issuer"]) == ("redis", "")


def test_service_that_does_not_answer_is_a_problem(host: t.Callable[..., t.Any]) -> None:
    closed = {"port": 1, "address": "127.0.0.1"}
    (found,) = host([{"service": "redis", **closed}, {"service": "nginx", **closed}], OLD)["services"]
    assert found["problem"].startswith("no TLS connection: ")


def test_host_without_a_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = store.Store
    monkeypatch.setattr(store, "Store", lambda name: real(name, str(tmp_path)))
    basic._ANSIBLE_ARGS = None
    with patch_module_args({"authorities": [], "name": "db-1"}), contextlib.suppress(SystemExit):
        internal_trust.main()
    assert "run baseline.yml on this host first" in json.loads(capsys.readouterr().out)["msg"]
