"""The sandbox's mail side: what hosts install mail from, and another domain's exchanger that checks who sends."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

INBOX = "/var/lib/world/mail/inbox"
REPOSITORY = "https://git.vln.test/mailcow-dockerized"
REGISTRY = "https://registry.vln.test/v2/mailcow/stand-in"
SENDER, STRANGER = "172.30.0.3", "172.30.0.4"
DOMAIN = "e2e-mail.vln.test"


@pytest.fixture
def domain(sandbox: Any) -> Iterator[str]:
    """A domain from which only one address may send, and which wants everything else refused."""
    records = {"e2e-mail": f'"v=spf1 ip4:{SENDER} -all"', "_dmarc.e2e-mail": '"v=DMARC1; p=reject"'}
    for name, value in records.items():
        sandbox("dns", name, "TXT", value)
    yield DOMAIN
    for name in records:
        sandbox("dns", name, "TXT")


@pytest.fixture
def send(world: Any) -> Callable[..., Any]:
    """Hand a message to the exchanger; its answer and the identity that finds the message."""

    def swaks(sender: str, address: str, *more: str, to: str = "bob@partner.test") -> tuple[Any, str]:
        identity = secrets.token_hex(8)
        options = f"--from {sender} --to {to} --header 'X-Identity: {identity}' {' '.join(more)}"
        command = f"swaks --server mx.partner.test --local-interface {address} {options}"
        return world(command, check=False), identity

    return swaks


def received(world: Any, identity: str) -> str:
    """A message that has arrived, its folded lines put together; waits for it."""
    found = world(
        f"for i in $(seq 100); do grep -lsr 'X-Identity: {identity}' {INBOX}/new && exit; sleep 0.1; done; exit 1"
    ).stdout.split()
    return re.sub(r"\n[ \t]+", " ", world(f"cat {found[0]}").stdout)


def test_repository_is_cloned_at_a_tag_and_moved_to_another(world: Any) -> None:
    steps = [
        "rm -rf /tmp/e2e-clone",
        f"git clone -q --depth 1 --branch 2026-03b {REPOSITORY} /tmp/e2e-clone 2>/dev/null",
        "cd /tmp/e2e-clone",
        "git log --format=%s",
        "git fetch -q --depth 1 origin tag 2026-07a",
        "git checkout -q 2026-07a",
        "git log --format=%s",
        "rm -rf /tmp/e2e-clone",
    ]
    assert world(" && ".join(steps)).stdout.split("\n")[:2] == ["Release 2026-03b", "Release 2026-07a"]


def test_inbox_is_there_before_the_first_message(world: Any) -> None:
    world(f"rm -rf {INBOX} && systemctl restart world@exchanger")
    answers = "for i in $(seq 100); do ncat -z mx.partner.test 25 && break; sleep 0.1; done"
    folders = world(f"{answers}; stat -c '%U %n' {INBOX}/*").stdout
    assert folders.splitlines() == [f"nobody {INBOX}/{name}" for name in ("cur", "new", "tmp")]


def test_nobody_can_push(world: Any) -> None:
    world(f"rm -rf /tmp/e2e-push; git clone -q {REPOSITORY} /tmp/e2e-push")
    refused = world("cd /tmp/e2e-push && git push origin HEAD:refs/heads/x; rm -rf /tmp/e2e-push", check=False)
    assert "403" in refused.stderr
    status = world(f"curl -s -o /dev/null -w '%{{http_code}}' -X POST {REGISTRY}/blobs/uploads/").stdout
    assert status == "403"


def test_each_release_has_an_image_of_its_own_with_the_same_layers(world: Any) -> None:
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    tags = json.loads(world(f"curl -fsS {REGISTRY}/tags/list").stdout)["tags"]
    assert sorted(tags) == ["2026-01", "2026-03b", "2026-07a", "2026-09"]
    manifests = [json.loads(world(f"curl -fsS -H '{accept}' {REGISTRY}/manifests/{tag}").stdout) for tag in tags]
    assert len({each["config"]["digest"] for each in manifests}) == len(tags)
    assert len({json.dumps(each["layers"]) for each in manifests}) == 1


def test_message_of_a_permitted_sender_arrives_with_what_was_found(world: Any, send: Any, domain: str) -> None:
    done, identity = send(f"anna@{domain}", SENDER, "--header 'Authentication-Results: mx.partner.test; dmarc=pass'")
    assert done.returncode == 0, done.stdout
    message = received(world, identity)
    (results,) = re.findall(r"^Authentication-Results: (.*)$", message, re.M)
    assert results.startswith("mx.partner.test;")
    assert f"spf=pass smtp.mailfrom={domain}" in results
    assert "dkim=none" in results
    assert f"dmarc=pass (p=reject) header.from={domain}" in results
    assert "X-Original-To: bob@partner.test" in message


def test_message_of_a_forged_sender_is_refused(world: Any, send: Any, domain: str) -> None:
    done, identity = send(f"anna@{domain}", STRANGER)
    assert f"550 5.7.1 rejected by the DMARC policy of {domain}" in done.stdout
    assert world(f"grep -lr 'X-Identity: {identity}' {INBOX}", check=False).stdout == ""


def test_envelope_of_somebody_else_does_not_help(send: Any, domain: str) -> None:
    done, _ = send("eve@partner.test", SENDER, f"--header 'From: anna@{domain}'")
    assert "550 5.7.1" in done.stdout


def test_exchanger_relays_nothing(send: Any) -> None:
    done, _ = send("eve@elsewhere.test", STRANGER, to="anna@elsewhere.test")
    assert "554 5.7.1" in done.stdout


def test_exchanger_signs_what_it_sends_with_the_key_that_the_dns_has(world: Any) -> None:
    identity = secrets.token_hex(8)
    message = f"From: Bob <bob@partner.test>\nTo: eve@partner.test\nSubject: x\nX-Identity: {identity}\n\nHello\n"
    world("sendmail -f bob@partner.test eve@partner.test", text=message)
    arrived = received(world, identity)
    assert re.search(r"^DKIM-Signature: v=1; a=rsa-sha256; .*d=partner.test;", arrived, re.M)
    verify = "import dkim, sys; print(dkim.verify(sys.stdin.buffer.read()))"
    file = f"$(grep -lr 'X-Identity: {identity}' {INBOX}/new)"
    assert world(f'python3 -c "{verify}" <{file}').stdout.strip() == "True"
    assert world(f"sed s/Hello/Hallo/ {file} | python3 -c '{verify}'").stdout.strip() == "False"


@pytest.mark.parametrize("address", ["172.30.0.9", "fd30::9"])
def test_address_of_the_exchanger_has_its_name(world: Any, address: str) -> None:
    assert world(f"dig +short -x {address}").stdout.strip() == "mx.partner.test."


def test_address_of_a_host_is_called_as_its_provider_was_told(world: Any, sandbox: Any) -> None:
    sandbox("ptr", "172.30.0.199", "e2e.vln.test")
    assert world("dig +short -x 172.30.0.199").stdout.strip() == "e2e.vln.test."
    sandbox("ptr", "172.30.0.199")
    assert world("dig +short -x 172.30.0.199").stdout.strip() == ""


def test_world_sends_from_the_exchangers_address_only_when_told_to(world: Any) -> None:
    ask = "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.connect(('fd30::1', 9))"
    assert world(f'python3 -c "{ask}; print(s.getsockname()[0])"').stdout.strip() not in ("fd30::8", "fd30::9")
