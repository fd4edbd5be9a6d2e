"""A zone is published from the description: shown first, seen in the DNS, and right in the end whatever fails."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ROOT / ".cache/sandbox"
# Below the sandbox's zone, so that nobody else's names are touched.
DOMAIN = "e2e-dns.vln.test"
OWNER = f"vise {DOMAIN}"
KEYS = {bits: "v=DKIM1; k=rsa; p=" + "A1b2" * (bits // 24) for bits in (2048, 4096)}
EXTRA: list[dict[str, Any]] = [
    {"type": "HTTPS", "name": f"docs.{DOMAIN}", "value": ".", "priority": 1, "params": "alpn=h3,h2"},
    {"type": "NS", "name": f"below.{DOMAIN}", "value": "ns.vln.test"},
    {"type": "A", "name": f"proxied.{DOMAIN}", "value": "192.0.2.1", "proxied": True},
    *({"type": "TXT", "name": f"k{bits}._domainkey.{DOMAIN}", "value": text} for bits, text in KEYS.items()),
]
ADDRESS = {"A": "172.30.0.10", "AAAA": "fd30::10"}
# In the words of dig.
EXPECTED = {
    **{(kind, f"{name}.{DOMAIN}"): value for name in ("docs", "mail") for kind, value in ADDRESS.items()},
    ("MX", DOMAIN): f"10 mail.{DOMAIN}.",
    ("TXT", DOMAIN): '"v=spf1 mx ~all"',
    ("TXT", f"mail.{DOMAIN}"): '"v=spf1 a -all"',
    ("TXT", f"_dmarc.{DOMAIN}"): f'"v=DMARC1; p=quarantine; rua=mailto:postmaster@{DOMAIN}"',
    ("TXT", f"_smtp._tls.{DOMAIN}"): f'"v=TLSRPTv1; rua=mailto:postmaster@{DOMAIN}"',
    ("TLSA", f"_25._tcp.mail.{DOMAIN}"): f"3 1 1 {'AB' * 28} {'AB' * 4}",
    ("CAA", DOMAIN): '0 issue "acme.vln.test"\n0 iodef "mailto:hostmaster@' + DOMAIN + '"',
    ("HTTPS", f"docs.{DOMAIN}"): '1 . alpn="h3,h2"',
    ("A", f"proxied.{DOMAIN}"): "192.0.2.1",
    **{("CNAME", f"{name}.{DOMAIN}"): f"mail.{DOMAIN}." for name in ("autoconfig", "autodiscover", "mta-sts")},
    **{
        ("SRV", f"_{name}._tcp.{DOMAIN}"): f"0 1 {port} mail.{DOMAIN}."
        for name, port in (("submission", 587), ("submissions", 465), ("imaps", 993), ("autodiscover", 443))
    },
}


class Run(NamedTuple):
    """What a playbook said."""

    code: int
    text: str

    @property
    def totals(self) -> list[str]:
        """The counts of each plan that was shown."""
        return re.findall(r"\d+ to add, \d+ to change, \d+ to remove, \d+ as wanted", self.text)


Publish = Callable[..., Run]


def token(name: str = "full") -> str:
    if name == "full":
        return (SECRETS / "cloudflare.token").read_text().strip()
    found: str = json.loads((SECRETS / "cloudflare.json").read_text())[name]["token"]
    return found


def variables(folder: Path, **more: Any) -> Path:
    """Variables of a run, out of sight of whoever lists processes."""
    content = {
        "cloudflare_token": token(),
        "domain": DOMAIN,
        "sites": {"docs": {"domain": f"docs.{DOMAIN}", "group": "docs"}},
        "dns_zones": ["vln.test"],
        "dns_tlsa": ["ab" * 32],
        "dns_caa": ["acme.vln.test"],
        "dns_extra": EXTRA,
        **more,
    }
    file = folder / f"variables-{time.monotonic_ns()}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(content))
    return file


def ansible(*argv: str) -> Run:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One host in every group. Of a mail host its keys are read; the machine itself has none."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    host = {"one": {**local, "public_addresses": list(ADDRESS.values())}}
    groups: dict[str, Any] = {name: {"hosts": {"one": {}}} for name in ("docs", "mail", "edge")}
    file = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    file.write_text(yaml.safe_dump({"development": {"children": groups, "hosts": host}}))
    return file


@pytest.fixture
def publish(inventory: Path, tmp_path: Path, sandbox: Any) -> Iterator[Publish]:
    """Run publish_dns.yml; in the end nothing of it is left in the zone."""

    def run(*argv: str, playbook: str = "publish_dns", **more: Any) -> Run:
        given = ("-e", f"@{variables(tmp_path, **more)}")
        return ansible("ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml", *given, *argv)

    yield run
    sandbox("fault", "cloudflare", "none")
    zone = api("GET", "?name=vln.test")[0]["id"]
    marks = tuple(f"[{owner}]" for owner in (OWNER, "somebody else"))
    records = api("GET", f"/{zone}/dns_records?per_page=5000")
    ours = [{"id": record["id"]} for record in records if str(record.get("comment") or "").startswith(marks)]
    # As many as the free plan lets a call hold.
    for start in range(0, len(ours), 200):
        api("POST", f"/{zone}/dns_records/batch", {"deletes": ours[start : start + 200]})


def api(method: str, path: str, body: Any = None) -> Any:
    """Ask the double without a playbook, which takes seconds to start."""
    context = ssl.create_default_context(cafile=str(SECRETS / "ca.crt"))
    connection = http.client.HTTPSConnection("172.30.0.5", timeout=30, context=context)
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    connection.request(method, f"/client/v4/zones{path}", json.dumps(body) if body else None, headers)
    with connection.getresponse() as answer:
        assert answer.status == 200, answer.read()
        return json.load(answer)["result"]


@pytest.fixture
def calls(world: Any) -> Callable[[], list[str]]:
    """What the double was asked since the last time."""
    seen = [len(_log(world))]

    def since() -> list[str]:
        lines = _log(world)
        new, seen[0] = lines[seen[0] :], len(lines)
        return new

    return since


def _log(world: Any) -> list[str]:
    lines: list[str] = world("journalctl -u world@cloudflare -o cat --no-pager").stdout.splitlines()
    return [line for line in lines if re.search(r" (GET|POST|PUT|PATCH|DELETE) /", line)]


def add(tmp_path: Path, record: dict[str, Any]) -> None:
    """Have somebody else add a record."""
    arguments = {
        "token": "{{ cloudflare_token }}",
        "endpoint": "https://172.30.0.5/client/v4",
        "ca_path": str(SECRETS / "ca.crt"),
        "zone": "vln.test",
        "owner": "somebody else",
        "records": [record],
    }
    module = ("-m", "vise.platform.cloudflare_zone", "-a", json.dumps(arguments))
    done = ansible("ansible", "localhost", "-e", f"@{variables(tmp_path)}", *module)
    assert done.code == 0, done.text


def test_every_record_is_shown_first_published_and_then_left_alone(publish: Publish, world: Any) -> None:
    shown = publish("--check", "--diff")
    assert shown.code == 0, shown.text
    assert f"+ MX    {DOMAIN}" in shown.text
    assert f"+{DOMAIN} MX 10 mail.{DOMAIN}" in shown.text
    assert "To publish the records, run this again without --check." in re.sub(r"\s+", " ", shown.text)
    assert world(f"dig +short {DOMAIN} MX").stdout == ""

    done = publish()
    assert done.code == 0, done.text
    assert done.totals == shown.totals
    assert "All name servers return the wanted records." in re.sub(r"\s+", " ", done.text)
    assert f"to mail.{DOMAIN} at the provider of the mail host." in re.sub(r"\s+", " ", done.text)
    for server in ("172.30.0.2", "fd30::2"):
        for (kind, name), value in EXPECTED.items():
            answer = world(f"dig +short @{server} {name} {kind}").stdout.strip().splitlines()
            assert sorted(answer) == sorted(value.splitlines()), f"{kind} {name} at {server}"
        for bits, text in KEYS.items():
            answer = world(f"dig +short @{server} k{bits}._domainkey.{DOMAIN} TXT").stdout.strip()
            assert answer.strip('"').replace('" "', "") == text
        assert "v=STSv1; id=" in world(f"dig +short @{server} _mta-sts.{DOMAIN} TXT").stdout
        assert "ns.vln.test." in world(f"dig +noall +authority +norecurse @{server} x.below.{DOMAIN} A").stdout

    again = publish()
    assert again.code == 0, again.text
    assert "changed=0" in again.text
    assert again.totals[0].startswith("0 to add, 0 to change, 0 to remove, ")


def test_500_records_take_few_calls(publish: Publish, calls: Any, world: Any) -> None:
    many = [{"type": "A", "name": f"n{number}.{DOMAIN}", "value": "192.0.2.1"} for number in range(500)]
    calls()
    first = publish(dns_extra=many)
    assert first.code == 0, first.text
    full = calls()
    second = publish(dns_extra=many)
    assert second.code == 0, second.text
    unchanged = calls()
    print(f"calls: {len(full)} for the publication, {len(unchanged)} without change")
    assert len(full) <= 15, full
    assert len(unchanged) <= 10, unchanged
    # The runbook publishes only records.
    assert [line for line in full if "/settings/" in line or "/rulesets/" in line] == []
    # Each process that imports the SDK looks the zone up once.
    assert len([line for line in unchanged if re.search(r" GET /zones ", line)]) == 1, unchanged
    assert "changed=0" in second.text
    assert world(f"dig +short n499.{DOMAIN} A").stdout.strip() == "192.0.2.1"


# Calls: zone, records and permission for the plan, the same for the publication, and the changes. The unit tests have
# every position and mode.
@pytest.mark.parametrize(("mode", "position"), [("429", 2), ("lost", 7)])
def test_run_converges_after_a_fault(publish: Publish, sandbox: Any, world: Any, mode: str, position: int) -> None:
    sandbox("fault", "cloudflare", f"{mode}@{position}")
    done = publish(cloudflare_timeout=2)
    assert done.code == 0, done.text
    failed = [line for line in _log(world)[-12:] if line.endswith(f" {mode}")]
    assert len(failed) == 1
    assert world(f"dig +short {DOMAIN} MX").stdout.strip() == f"10 mail.{DOMAIN}."
    assert publish().totals[0].startswith("0 to add, 0 to change, 0 to remove, ")


def test_two_runs_at_once_end_as_one_does(publish: Publish, world: Any) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(publish) for _ in range(2)]
        codes = [one.result().code for one in both]
    assert codes == [0, 0]
    assert publish().totals[0].startswith("0 to add, 0 to change, 0 to remove, ")
    assert world(f"dig +short mail.{DOMAIN} A").stdout.split() == ["172.30.0.10"]


def test_foreign_record_in_the_way_is_named_and_nothing_changed_until_it_is_adopted(
    publish: Publish, tmp_path: Path, world: Any
) -> None:
    add(tmp_path, {"type": "CNAME", "name": f"docs.{DOMAIN}", "value": "elsewhere.vln.test", "comment": "by hand"})
    add(tmp_path, {"type": "TXT", "name": DOMAIN, "value": "site-verification=1"})
    refused = publish()
    assert refused.code != 0
    text = re.sub(r"\s+", " ", refused.text)
    foreign = f"CNAME docs.{DOMAIN} elsewhere.vln.test (comment: [somebody else] by hand)"
    assert f"{foreign} conflicts with A docs.{DOMAIN}" in text
    assert world(f"dig +short {DOMAIN} MX").stdout == ""
    adopted = publish("-e", "dns_adopt=true")
    assert adopted.code == 0, adopted.text
    assert world(f"dig +short docs.{DOMAIN} A").stdout.split() == ["172.30.0.10"]
    assert '"site-verification=1"' in world(f"dig +short {DOMAIN} TXT").stdout


def test_invalid_record_is_named_before_anything_is_sent(publish: Publish, world: Any) -> None:
    refused = publish(dns_extra=[*EXTRA, {"type": "A", "name": f"bad.{DOMAIN}", "value": "300.1.1.1"}])
    assert refused.code != 0
    assert f"A bad.{DOMAIN}: 300.1.1.1 is not an IPv4 address" in re.sub(r"\s+", " ", refused.text)
    assert world(f"dig +short {DOMAIN} MX").stdout == ""


@pytest.mark.parametrize(
    ("who", "said"),
    [("read", "the token lacks Zone / DNS / Edit"), ("elsewhere", "zone vln.test is not visible to the token")],
)
def test_missing_permission_is_named_and_the_token_is_never_printed(
    publish: Publish, world: Any, who: str, said: str
) -> None:
    refused = publish("-vvvv", "--diff", cloudflare_token=token(who))
    assert refused.code != 0
    assert said in re.sub(r"\s+", " ", refused.text)
    assert token(who) not in refused.text
    assert world(f"dig +short {DOMAIN} MX").stdout == ""


def test_good_token_is_never_printed(publish: Publish) -> None:
    done = publish("-vvvv", "--diff")
    assert done.code == 0, done.text
    assert token() not in done.text


def test_stage_keeps_records_settings_and_rules(publish: Publish) -> None:
    rule = {"description": "Probes", "expression": 'http.request.uri.path eq "/.env"', "action": "block"}
    rules = {"http_request_firewall_custom": [rule]}
    done = publish(playbook="dns", cloudflare_rules=rules)
    assert done.code == 0, done.text
    again = publish(playbook="dns", cloudflare_rules=rules)
    assert again.code == 0, again.text
    assert "changed=0" in again.text
    assert publish(playbook="dns", cloudflare_rules={"http_request_firewall_custom": []}).code == 0


def test_stage_names_all_missing_permissions_before_it_publishes(publish: Publish, world: Any) -> None:
    refused = publish(playbook="dns", cloudflare_token=token("dns"), cloudflare_rules={"http_ratelimit": []})
    assert refused.code != 0
    assert "the token lacks Zone / Zone Settings / Edit, Zone / Zone WAF / Edit" in re.sub(r"\s+", " ", refused.text)
    assert world(f"dig +short {DOMAIN} MX").stdout == ""


def test_stage_without_a_token_does_nothing(publish: Publish) -> None:
    done = publish(playbook="dns", cloudflare_token="")
    assert done.code == 0, done.text
    assert "changed=0" in done.text
