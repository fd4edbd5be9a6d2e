"""The certificate that a service presents, read from a server in this process."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import certificates
from ansible_collections.vise.platform.plugins.module_utils.tls import x509


class Service(threading.Thread):
    """A service that answers one connection, after a letter in plain text if it knows such a protocol."""

    def __init__(self, chain: Path, key: Path) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.port: int = self.socket.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain, key)
        self.greeting = False
        self.clients: list[bytes | None] = []

    def run(self) -> None:
        """Answer."""
        plain, _address = self.socket.accept()
        with plain:
            if self.greeting:
                plain.recv(1)
                plain.sendall(b"S")
            with self.context.wrap_socket(plain, server_side=True) as secure:
                self.clients.append(secure.getpeercert(binary_form=True))
                secure.recv(1)


@pytest.fixture(name="files")
def fixture_files(tmp_path: Path) -> tuple[Path, Path]:
    (ca, ca_key), key = x509.make_ca("its issuer"), x509.make_key()
    own = x509.sign(x509.make_request(key, ["a.internal"]), ca, ca_key, ["a.internal"], 1)
    (tmp_path / "chain.pem").write_text(own + ca)
    (tmp_path / "key.pem").write_text(key)
    return tmp_path / "chain.pem", tmp_path / "key.pem"


@pytest.fixture(name="service")
def fixture_service(files: tuple[Path, Path]) -> Iterator[Service]:
    service = Service(*files)
    yield service
    service.socket.close()


def test_first_certificate_of_a_chain_is_the_services_own(tmp_path: Path) -> None:
    one, two = (x509.make_ca(name)[0] for name in ("one", "two"))
    (tmp_path / "chain.pem").write_text(one + two)
    assert certificates.read_first(str(tmp_path / "chain.pem")) == ssl.PEM_cert_to_DER_cert(one)


def test_file_without_a_certificate_raises(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text("empty")
    with pytest.raises(ValueError, match=r"chain\.pem has no certificate"):
        certificates.read_first(str(tmp_path / "chain.pem"))
    with pytest.raises(OSError, match="nowhere"):
        certificates.read_first(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("address", ["127.0.0.1", "*", "0.0.0.0"])  # noqa: S104  # no address to listen on
def test_served_certificate_is_read_at_a_local_address(
    service: Service, files: tuple[Path, Path], address: str
) -> None:
    service.start()
    assert certificates.read_served(address, service.port) == certificates.read_first(str(files[0]))


def test_protocol_may_begin_in_plain_text(service: Service, files: tuple[Path, Path]) -> None:
    def greet(plain: socket.socket) -> None:
        plain.sendall(b"?")
        assert plain.recv(1) == b"S"

    service.greeting = True
    service.start()
    assert certificates.read_served("127.0.0.1", service.port, greet) == certificates.read_first(str(files[0]))


def test_certificate_is_presented_to_a_service_that_requires_one(service: Service, files: tuple[Path, Path]) -> None:
    service.context.verify_mode = ssl.CERT_REQUIRED
    service.context.load_verify_locations(files[0])
    service.start()
    own = certificates.read_first(str(files[0]))
    assert certificates.read_served("127.0.0.1", service.port, client=(str(files[0]), str(files[1]))) == own
    service.join()
    assert service.clients == [own]


def test_service_that_does_not_answer_raises(service: Service) -> None:
    service.socket.close()
    with pytest.raises(ConnectionRefusedError):
        certificates.read_served("127.0.0.1", service.port)
