"""Each host has a certificate of the internal authority that services use; it is replaced when it must be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, NAME, Role

FOLDER = "/etc/vise/tls/internal"
# The firewall of the scenario that shares this host leaves this port open.
PORT = 8082
CHAIN = f"""
cd {FOLDER}
openssl verify -x509_strict -CAfile ca.pem -verify_ip {ADDRESS} fullchain.pem
openssl verify -x509_strict -CAfile ca.pem -verify_hostname {NAME} fullchain.pem
test "$(stat -Lc '%a %U %G' privkey.pem)" = "640 root ssl-cert"
test "$(openssl pkey -in privkey.pem -pubout)" = "$(openssl x509 -in fullchain.pem -noout -pubkey)"
setpriv --reuid nobody --regid nogroup --groups ssl-cert cat privkey.pem >/dev/null
(! setpriv --reuid nobody --regid nogroup --clear-groups cat privkey.pem)
"""
SERVER = f"""
import os, signal, socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
def load(*_signal):
    os.chdir("{FOLDER}")
    context.load_cert_chain("fullchain.pem", "privkey.pem")
load()
signal.signal(signal.SIGHUP, load)
server = socket.create_server(("", {PORT}))
while True:
    client, _address = server.accept()
    try:
        context.wrap_socket(client, server_side=True).close()
    except OSError:
        pass
"""
SHOWN = f"openssl s_client -connect {ADDRESS}:{PORT} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"


def make(name: str, **options: Any) -> dict[str, Any]:
    """Return a task that makes a certificate for another name, and records its result under a name."""
    settings = {
        "ca": "{{ internal_certificate_ca }}",
        "ca_key": "{{ internal_certificate_ca_key }}",
        "names": ["other.internal", ADDRESS],
        "group": "ssl-cert",
        "reload_units": ["web.service"],
    }
    check = {"check_mode": options.pop("check_mode")} if "check_mode" in options else {}
    return {"name": name, "vise.platform.internal_certificate": settings | options, "register": name, **check}


@pytest.fixture(scope="module", autouse=True)
def server(host: Host) -> Any:
    """A service that reads the certificate when it starts and when it is reloaded."""
    command = "systemd-run --unit=web -p ExecReload='/bin/kill -HUP $MAINPID' python3 -c %s"
    host.check_output(command, SERVER)
    yield
    host.check_output("systemctl stop web")


def test_chain_is_valid_and_only_the_group_reads_the_key(host: Host) -> None:
    machines.script(host, CHAIN)


def test_group_can_reach_the_key_after_a_run_under_a_strict_umask(role: Role, host: Host) -> None:
    assert machines.script(host, "umask") == "0077"
    host.check_output(f"chmod 0700 /etc/vise /etc/vise/tls /etc/vise/tls/.versions $(readlink -f {FOLDER})")
    role.apply()
    machines.script(host, CHAIN)


def test_other_name_is_previewed_made_once_and_shows_no_key(role: Role, world: Host) -> None:
    results = role.results([make("preview", check_mode=True), make("renamed"), make("again")])
    expected = ["issue an internal certificate: the names differ", "reload web.service"]
    assert results["preview"]["actions"] == expected
    assert results["renamed"]["actions"] == expected
    assert "PRIVATE" not in str(results["renamed"])
    assert not results["again"]["changed"]
    assert machines.eventually(lambda: "other.internal" in world.run(SHOWN).stdout)


def test_key_that_others_could_read_is_replaced(role: Role, host: Host) -> None:
    host.check_output(f"chmod 0644 $(readlink -f {FOLDER}/privkey.pem)")
    opened = role.results([make("opened")])["opened"]
    assert opened["actions"][0] == "issue an internal certificate: the key's owner or mode differs"


def test_reload_that_a_killed_run_left_out_is_made_up_for(role: Role, host: Host) -> None:
    host.check_output(f"rm {FOLDER}/.live")
    assert role.results([make("finished")])["finished"]["actions"] == ["reload web.service"]


def test_invalid_input_is_refused(role: Role) -> None:
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "name": ({"names": ["not a name"]}, "neither a host name nor an IP address"),
        "authority": ({"ca": "no certificate"}, "internal CA"),
        "key": ({"ca_key": "no key"}, "internal CA"),
    }
    tasks = [make(name, **options) | {"ignore_errors": True} for name, (options, _message) in cases.items()]
    for name, refused in role.results(tasks).items():
        assert refused["failed"]
        assert re.search(cases[name][1], refused["msg"])
