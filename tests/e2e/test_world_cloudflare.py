"""World serves the double of Cloudflare, publishes its records in the DNS, and passes its tokens and faults on.

tests/unit/sandbox/test_cloudflare.py has the contract of the API itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SECRETS = Path(__file__).resolve().parents[2] / ".cache/sandbox"
API = "https://api.cloudflare.com/client/v4"
HOST = "e2e-cf.vln.test"
A = {"type": "A", "name": HOST, "content": "192.0.2.1"}


class Answer(NamedTuple):
    status: int
    headers: str
    body: Any

    @property
    def code(self) -> int:
        """Cloudflare's number of the error."""
        code: int = self.body["errors"][0]["code"]
        return code


Ask = Callable[..., Answer]


def token(name: str) -> str:
    if name == "full":
        return (SECRETS / "cloudflare.token").read_text().strip()
    found: str = json.loads((SECRETS / "cloudflare.json").read_text())[name]["token"]
    return found


@pytest.fixture
def ask(world: Any) -> Ask:
    """Ask the double by curl, which reads the token from standard input, out of sight."""

    def request(method: str, path: str, body: Any = None, who: str = "full", seconds: int = 20) -> Answer:
        config = [f'header = "Authorization: Bearer {token(who)}"', f'url = "{API}{path}"', f'request = "{method}"']
        if body is not None:
            config.append(f"data-binary = {json.dumps(json.dumps(body))}")
        done = world(f"curl -sS -i --http1.1 -m {seconds} --config -", text="\n".join(config), check=False)
        if done.returncode:
            return Answer(0, done.stderr, None)
        headers, _, text = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return Answer(int(headers.split()[1]), headers, json.loads(text))

    return request


@pytest.fixture
def zone(ask: Ask) -> Iterator[str]:
    """The path of the zone; what a test has made there goes."""
    path = f"/zones/{ask('GET', '/zones?name=vln.test').body['result'][0]['id']}"
    yield path
    rows = ask("GET", f"{path}/dns_records?per_page=5000").body["result"]
    ours = [{"id": row["id"]} for row in rows if row["name"].endswith(HOST)]
    assert ask("POST", f"{path}/dns_records/batch", {"deletes": ours}).status == 200


@pytest.fixture
def fault(sandbox: Any) -> Iterator[Callable[[str], Any]]:
    """Make it fail; it works again after the test."""
    yield lambda mode: sandbox("fault", "cloudflare", mode)
    sandbox("fault", "cloudflare", "none")


def test_batch_is_seen_in_dns_at_once_and_as_a_whole(ask: Ask, zone: str, world: Any) -> None:
    key = "v=DKIM1; k=rsa; p=" + "A1b2" * 180
    posts = [
        A,
        {"type": "AAAA", "name": HOST, "content": "2001:db8::1", "proxied": True},
        {"type": "MX", "name": HOST, "content": "mail.vln.test", "priority": 10},
        {"type": "TXT", "name": f"key.{HOST}", "content": f'"{key[:255]}" "{key[255:510]}" "{key[510:]}"'},
        {"type": "CNAME", "name": f"alias.{HOST}", "content": HOST},
        {"type": "CAA", "name": HOST, "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}},
        {
            "type": "SRV",
            "name": f"_imaps._tcp.{HOST}",
            "data": {"priority": 0, "weight": 1, "port": 993, "target": "mail.vln.test"},
        },
        {
            "type": "TLSA",
            "name": f"_25._tcp.{HOST}",
            "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32},
        },
        {"type": "HTTPS", "name": HOST, "data": {"priority": 1, "target": ".", "value": 'alpn="h3,h2"'}},
        {"type": "NS", "name": f"below.{HOST}", "content": "ns.vln.test"},
    ]
    done = ask("POST", f"{zone}/dns_records/batch", {"posts": posts})
    assert done.status == 200, done
    expected = {
        ("A", HOST): "192.0.2.1",
        ("AAAA", HOST): "2001:db8::1",
        ("MX", HOST): "10 mail.vln.test.",
        ("TXT", f"key.{HOST}"): f'"{key[:255]}" "{key[255:510]}" "{key[510:]}"',
        ("CNAME", f"alias.{HOST}"): f"{HOST}.",
        ("CAA", HOST): '0 issue "letsencrypt.org"',
        ("SRV", f"_imaps._tcp.{HOST}"): "0 1 993 mail.vln.test.",
        ("TLSA", f"_25._tcp.{HOST}"): f"3 1 1 {'AB' * 28} {'AB' * 4}",
        ("HTTPS", HOST): '1 . alpn="h3,h2"',
    }
    for (kind, name), value in expected.items():
        assert world(f"dig +short @172.30.0.2 {name} {kind}").stdout.strip() == value
    assert "ns.vln.test." in world(f"dig +noall +authority @172.30.0.2 x.below.{HOST} A +norecurse").stdout
    ids = {row["type"]: row["id"] for row in done.body["result"]["posts"]}
    changed = ask(
        "POST",
        f"{zone}/dns_records/batch",
        {"deletes": [{"id": ids["MX"]}], "patches": [{"id": ids["A"], "content": "192.0.2.9"}]},
    )
    assert changed.status == 200
    assert world(f"dig +short {HOST} A").stdout.strip() == "192.0.2.9"
    assert world(f"dig +short {HOST} MX").stdout.strip() == ""


def test_text_is_in_dns_byte_for_byte(ask: Ask, zone: str, world: Any) -> None:
    posts = [
        {"type": "TXT", "name": f"raw.{HOST}", "content": 'grün; "x" \\ $'},
        {"type": "TXT", "name": f"quoted.{HOST}", "content": '"gr\\195\\188n; \\"x\\" \\\\ $" "\\000\\255"'},
    ]
    done = ask("POST", f"{zone}/dns_records/batch", {"posts": posts})
    assert done.status == 200, done
    text = r'"gr\195\188n; \"x\" \\ $"'
    assert world(f"dig +short @172.30.0.2 raw.{HOST} TXT").stdout.strip() == text
    assert world(f"dig +short @172.30.0.2 quoted.{HOST} TXT").stdout.strip() == rf'{text} "\000\255"'


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        ({"type": "NS", "name": HOST, "content": "ns.vln.test"}, 81056),
        ({"type": "A", "name": f"inside.{HOST}", "content": "10.0.0.1", "proxied": True}, 9003),
    ],
)
def test_refused_batch_is_not_in_dns(ask: Ask, zone: str, world: Any, refused: dict[str, Any], code: int) -> None:
    done = ask("POST", f"{zone}/dns_records/batch", {"posts": [A, refused]})
    assert (done.status, done.code) == (400, code)
    assert world(f"dig +short @172.30.0.2 {HOST} A").stdout.strip() == ""
    assert world(f"dig +short @172.30.0.2 {HOST} NS").stdout.strip() == ""


def test_name_that_was_made_otherwise_stays(ask: Ask, zone: str, world: Any, sandbox: Any) -> None:
    sandbox("dns", "e2e-cf", "A", "192.0.2.50")
    done = ask("POST", f"{zone}/dns_records", A)
    assert done.status == 200
    assert sorted(world(f"dig +short {HOST} A").stdout.split()) == ["192.0.2.1", "192.0.2.50"]
    assert ask("DELETE", f"{zone}/dns_records/{done.body['result']['id']}").status == 200
    assert world(f"dig +short {HOST} A").stdout.split() == ["192.0.2.50"]
    sandbox("dns", "e2e-cf", "A")


def test_limited_token_of_the_sandbox_has_its_limits(ask: Ask, zone: str) -> None:
    assert ask("GET", f"{zone}/settings/ssl", who="dns").code == 10000


@pytest.mark.parametrize(("mode", "status"), [("429", 429), ("500", 500)])
def test_error_is_answered_at_the_request_that_was_named(
    ask: Ask, zone: str, fault: Any, mode: str, status: int
) -> None:
    fault(f"{mode}@2")
    answers = [ask("GET", f"{zone}/dns_records?per_page=1") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, status, 200]
    assert ("Retry-After: 1" in answers[1].headers) is (status == 429)


@pytest.mark.parametrize(("mode", "there"), [("timeout", ""), ("lost", "192.0.2.1")])
def test_request_without_an_answer_was_done_or_not(
    ask: Ask, zone: str, fault: Any, world: Any, mode: str, there: str
) -> None:
    fault(f"{mode}@1")
    assert ask("POST", f"{zone}/dns_records", A, seconds=2).status == 0
    assert world(f"dig +short {HOST} A").stdout.strip() == there


def test_log_has_a_line_a_request_without_the_token(ask: Ask, zone: str, world: Any) -> None:
    ask("GET", f"{zone}/dns_records?per_page=1", who="dns")
    log = world("journalctl -u world@cloudflare -o cat -n 20").stdout
    assert f"dns GET {zone}/dns_records 200" in log.splitlines()
    assert token("dns") not in log
