"""What visitors get: places, comparison with the host, and a real server with old and new certificates."""

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
from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.modules import served_certificates as served

NAME = "docs.example.org"
CA = x509.make_ca("root")
DOCS = {"name": "docs", "domains": [NAME, "*.example.org"], "serial": ""}


class Server:
    """A server that presents a certificate until it gets another one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.context = folder, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def present(self, names: tuple[str, ...] = (NAME,), ca: tuple[str, str] = CA) -> str:
        """Present another certificate; return its serial number."""
        key = x509.make_key()
        chain = x509.sign(x509.make_request(key, names), *ca, names, 9)
        (self.folder / "chain").write_text(chain)
        (self.folder / "key").write_text(key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.folder / "chain", self.folder / "key")
        facts = x509.read_facts(chain)
        assert facts
        return f"{facts.serial:X}"

    def serve(self) -> None:
        """Answer until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                plain, _address = self.listener.accept()
                with contextlib.suppress(OSError), self.context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server(tmp_path)
    monkeypatch.setattr(served, "WEB", found.port)
    yield found
    found.listener.close()


def run(capsys: pytest.CaptureFixture[str], serial: str, **options: t.Any) -> dict[str, t.Any]:
    given = {"certificates": [{**DOCS, "serial": serial}], "addresses": ["127.0.0.1"], "ca": CA[0], "seconds": 0}
    basic._ANSIBLE_ARGS = None
    with patch_module_args({**given, **options}), contextlib.suppress(SystemExit):
        served.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


def test_mail_host_is_read_at_its_ports_and_wildcards_are_not_names() -> None:
    listed = [DOCS, {"name": "mail", "domains": ["mail.example.org"], "serial": ""}]
    places = served.list_places(listed, ["192.0.2.1"], "mail.example.org")
    assert [(one["name"], one["port"]) for one in places] == [
        (NAME, 443),
        *(("mail.example.org", port) for port in (443, 465, 993)),
    ]


def test_new_certificate_is_proven(capsys: pytest.CaptureFixture[str], server: Server) -> None:
    before = run(capsys, server.present())["places"]
    answer = run(capsys, server.present(), before=before)
    assert "failed" not in answer
    assert (answer["unproven"], answer["places"][0]["problem"]) == ([], "")


def test_service_that_keeps_the_old_certificate_fails_with_both_serials(
    capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    old = server.present()
    before = run(capsys, old)["places"]
    answer = run(capsys, "ABC", before=before)
    assert answer["failed"]
    assert f"presents the certificate {old}" in answer["msg"]
    assert "not the new one of docs, ABC" in answer["msg"]


@pytest.mark.parametrize("fault", ["name", "authority"])
def test_invalid_chain_or_name_fails(capsys: pytest.CaptureFixture[str], server: Server, fault: str) -> None:
    before = run(capsys, server.present())["places"]
    new = server.present(("other.org",)) if fault == "name" else server.present(ca=x509.make_ca("stranger"))
    assert "its certificate is not valid" in run(capsys, new, before=before)["msg"]


def test_place_that_answers_no_more_fails(capsys: pytest.CaptureFixture[str], server: Server) -> None:
    serial = server.present()
    before = run(capsys, serial)["places"]
    closed = [{**one, "port": one["port"]} for one in before]
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    assert "no TLS connection" in run(capsys, serial, before=closed)["msg"]


def test_place_that_never_answered_is_unproven(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "WEB", 1)
    before = run(capsys, "")
    assert (before["places"][0]["answers"], before["unproven"]) == (False, ["docs"])
    assert run(capsys, "ABC", before=before["places"])["unproven"] == ["docs"]


def test_server_of_other_names_is_not_the_place_of_a_certificate(
    capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    server.present(("other.org",))
    before = run(capsys, "")
    assert (before["places"][0]["answers"], before["unproven"]) == (False, ["docs"])
    assert run(capsys, "ABC", before=before["places"])["unproven"] == ["docs"]


def test_unusable_ca_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ca has no usable certificate" in run(capsys, "", ca="none")["msg"]
