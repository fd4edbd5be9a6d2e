"""The sandbox's world does what roles and tests rely on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def acme_down(sandbox: Any) -> Iterator[None]:
    sandbox("stop", "acme")
    yield
    sandbox("start", "acme")


@pytest.mark.parametrize("server", ["172.30.0.2", "fd30::2"])
@pytest.mark.parametrize(
    ("kind", "value"), [("A", "172.30.0.77"), ("AAAA", "fd30::77"), ("TXT", '"two words"'), ("CNAME", "docs.vln.test.")]
)
def test_name_that_was_set_is_answered_and_gone_when_deleted(
    world: Any, sandbox: Any, server: str, kind: str, value: str
) -> None:
    sandbox("dns", "try-me", kind, value)
    assert world(f"dig +short @{server} try-me.vln.test {kind}").stdout.strip().splitlines()[0] == value
    sandbox("dns", "try-me", kind)
    assert world(f"dig +short @{server} try-me.vln.test {kind}").stdout.strip() == ""


def test_names_of_the_real_world_are_forwarded(world: Any) -> None:
    assert world("dig +short deb.debian.org").stdout.strip()


def test_acme_directory_is_served_with_a_trusted_certificate(world: Any) -> None:
    directory = json.loads(world("curl -fsS https://acme.vln.test:14000/dir").stdout)
    assert directory["newOrder"].startswith("https://acme.vln.test:14000/")


@pytest.mark.usefixtures("acme_down")
def test_stopped_acme_server_refuses_connections(world: Any) -> None:
    assert world("curl -sS https://acme.vln.test:14000/dir", check=False).returncode == 7


def test_acme_server_has_its_old_root_after_a_stop(world: Any, sandbox: Any) -> None:
    root = "curl -fsS https://acme.vln.test:15000/roots/0"
    before = world(root).stdout
    sandbox("stop", "acme")
    sandbox("start", "acme")
    assert world(root).stdout == before


def test_lasting_file_is_answered_from_the_cache_the_second_time(world: Any) -> None:
    suite = "http://deb.debian.org/debian/dists/trixie"
    known = world(f"curl -fsS {suite}/Release").stdout
    digest = re.findall(r"^ ([0-9a-f]{64}) +\d+ main/binary-amd64/Packages.xz$", known, re.M)[0]
    address = f"{suite}/main/binary-amd64/by-hash/SHA256/{digest}"
    fetch = f"curl -fsS --proxy http://172.30.0.2:3142 -D /tmp/headers {address} | sha256sum; cat /tmp/headers"
    world(fetch)
    again = world(fetch).stdout
    assert "X-Cache: HIT" in again
    assert digest in again


@pytest.mark.parametrize("address", ["172.30.0.3", "172.30.0.4", "fd30::3", "fd30::4"])
def test_client_can_come_from_another_address(world: Any, address: str) -> None:
    target = "[fd30::2]" if ":" in address else "172.30.0.2"
    world(f"curl -fsS -o /dev/null --interface {address} -k https://{target}:14000/dir")


def test_clients_speak_http3(world: Any) -> None:
    assert "HTTP3" in world("curl --version").stdout
    # Nobody speaks it here; that it gets answers is shown where the platform's hosts are.
    unanswered = world("h3 --timeout 1 https://acme.vln.test:14000/dir", check=False)
    assert (unanswered.returncode, unanswered.stdout) == (1, "")
    assert "no answer" in unanswered.stderr


def test_browser_trusts_the_sandbox(browse: Any) -> None:
    seen = browse({"open": "https://acme.vln.test:14000/dir"}, {"text": "body", "as": "body"})
    assert "newOrder" in seen["body"]
