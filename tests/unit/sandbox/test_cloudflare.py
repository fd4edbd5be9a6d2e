"""The contract of Cloudflare's API, as far as the collection uses it, over HTTP; and the faults of its double.

The suite runs against the double in the test's own process. With VISE_CLOUDFLARE, the path of a JSON file with
`endpoint`, `ca`, `zone`, `elsewhere` and `tokens` (full, dns, read, elsewhere), it runs against another service, such
as Cloudflare itself. The tests of world then only show that world serves this double, publishes its records and passes
its faults on.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cloudflare
import pytest
from kit.cloudflare import faults, records, rulesets, tokens, zones
from kit.cloudflare.errors import Refused

from tests.unit.plugins.cloudflare import TOKEN, Double, running

OTHER = os.environ.get("VISE_CLOUDFLARE", "")
LIMITED = {
    "dns": ("DNS Write",),
    "read": ("Zone Read", "DNS Read", "Zone Settings Read"),
    "elsewhere": ("Zone Read", "DNS Write"),
}


class Service(NamedTuple):
    """A service with this API: its zones and tokens, and the authority of its certificate."""

    endpoint: str
    zone: str
    elsewhere: str
    tokens: dict[str, str]
    ca: str = ""


class Answer(NamedTuple):
    """An answer of the API."""

    status: int
    body: Any
    headers: Any = None

    @property
    def code(self) -> int:
        """The number of the error."""
        code: int = self.body["errors"][0]["code"]
        return code

    @property
    def cause(self) -> int:
        """The number of the cause in the chain of the error."""
        code: int = self.body["errors"][0]["error_chain"][0]["code"]
        return code


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The service that must keep the contract."""
    if OTHER:
        yield Service(**json.loads(Path(OTHER).read_text()))
        return
    with running() as double:
        limited = {
            name: double.grant(*permissions, zones=("elsewhere.test",) if name == "elsewhere" else ())
            for name, permissions in LIMITED.items()
        }
        yield Service(double.endpoint, "example.test", "elsewhere.test", {"full": TOKEN, **limited})


@pytest.fixture(scope="module")
def ask(service: Service) -> Ask:
    """Call the service."""
    context = ssl.create_default_context(cafile=service.ca or None)

    def request(method: str, path: str, body: Any = None, who: str = "full", token: str | None = None) -> Answer:
        given = service.tokens[who] if token is None else token
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {given}"} if given else {})}
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(f"{service.endpoint}{path}", data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(call, timeout=20, context=context) as answer:  # noqa: S310
                return Answer(answer.status, json.load(answer), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.load(error), error.headers)

    return request


@pytest.fixture(scope="module")
def zone(service: Service, ask: Ask) -> str:
    """The path of the zone."""
    return f"/zones/{ask('GET', f'/zones?name={service.zone}').body['result'][0]['id']}"


@pytest.fixture
def name(service: Service, ask: Ask, zone: str) -> Iterator[str]:
    """A name of this test; its records are removed."""
    own = f"contract-{secrets.token_hex(4)}.{service.zone}"
    yield own
    rows = ask("GET", f"{zone}/dns_records?per_page=5000").body["result"]
    ours = [{"id": row["id"]} for row in rows if row["name"].endswith(own)]
    assert ask("POST", f"{zone}/dns_records/batch", {"deletes": ours}).status == 200


A: dict[str, Any] = {"type": "A", "name": "a", "content": "192.0.2.1"}
SRV: dict[str, Any] = {"priority": 0, "weight": 1, "port": 587, "target": "m.test"}
TLSA: dict[str, Any] = {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**A, "content": "192.0.2"}, 9005),
        ({**A, "type": "AAAA"}, 9005),
        ({**A, "type": "LOC"}, 9004),
        ({**A, "ttl": 30}, 9021),
        ({**A, "type": "MX", "content": "mail.test"}, 9100),
        ({**A, "type": "MX", "content": "192.0.2.1", "priority": 1}, 9009),
        ({**A, "type": "CNAME", "content": "192.0.2.1"}, 9007),
        ({**A, "type": "NS", "content": "2001:db8::1"}, 9005),
        ({**A, "type": "TXT", "content": '"open'}, 9005),
        ({**A, "type": "TXT", "content": '"x"', "proxied": True}, 9004),
        ({**A, "type": "TXT", "content": r'"\300"'}, 9005),
        ({**A, "type": "TXT", "content": "x" * 4081}, 9015),
        ({"type": "SRV", "data": {"priority": 1}}, 9101),
        ({"type": "SRV", "data": {**SRV, "priority": "one"}}, 9005),
        ({"type": "SRV", "data": {**SRV, "target": "192.0.2.1"}}, 9005),
        ({"type": "TLSA", "data": {**TLSA, "certificate": "xyz"}}, 9005),
        ({"type": "TLSA", "data": {**TLSA, "certificate": "ab"}}, 9005),
        ({"type": "TLSA", "data": {**TLSA, "matching_type": 2}}, 9005),
        ({"type": "CNAME", "content": "{name}"}, 9039),
    ],
)
def test_invalid_record_is_refused_with_the_cause_in_the_chain(
    ask: Ask, zone: str, name: str, body: dict[str, Any], code: int
) -> None:
    content = {"content": body["content"].format(name=name)} if "content" in body else {}
    refused = ask("POST", f"{zone}/dns_records", {**body, **content, "name": name})
    assert (refused.status, refused.code, refused.cause) == (400, 1004, code)


@pytest.mark.parametrize(
    ("more", "code"), [({"comment": "c" * 101}, 9313), ({"tags": ["a:b"]}, 9300), ({"name": "a b"}, 9000)]
)
def test_record_above_the_limits_of_the_free_plan_is_refused(
    ask: Ask, zone: str, name: str, more: dict[str, Any], code: int
) -> None:
    assert ask("POST", f"{zone}/dns_records", {**A, "name": name, **more}).code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**A, "name": "a.{name}"}, 81058),
        ({"type": "CNAME", "name": "a.{name}", "content": "b.test"}, 81053),
        ({**A, "name": "alias.{name}"}, 81054),
        ({"type": "NS", "name": "alias.{name}", "content": "ns.test"}, 81056),
        ({"type": "NS", "name": "a.{name}", "content": "ns.test"}, 81056),
        ({**A, "name": "below.{name}"}, 81056),
        ({"type": "TXT", "name": "below.{name}", "content": "x"}, 81056),
        ({"type": "MX", "name": "below.{name}", "content": "m.test", "priority": 1}, 81056),
    ],
)
def test_record_that_conflicts_with_another_is_refused(
    ask: Ask, zone: str, name: str, body: dict[str, Any], code: int
) -> None:
    alias = {"type": "CNAME", "name": f"alias.{name}", "content": "b.test"}
    delegation = {"type": "NS", "name": f"below.{name}", "content": "ns.test"}
    posts = [{**A, "name": f"a.{name}"}, alias, delegation]
    assert ask("POST", f"{zone}/dns_records/batch", {"posts": posts}).status == 200
    assert ask("POST", f"{zone}/dns_records", {**body, "name": body["name"].format(name=name)}).code == code


@pytest.mark.parametrize("name_of_type", [("SRV", "imaps.tcp", SRV), ("TLSA", "mail", TLSA)])
def test_name_must_have_the_form_of_its_type(ask: Ask, zone: str, name: str, name_of_type: tuple[Any, ...]) -> None:
    kind, wrong, data = name_of_type
    assert ask("POST", f"{zone}/dns_records", {"type": kind, "name": f"{wrong}.{name}", "data": data}).code == 9000


@pytest.mark.parametrize(
    ("kind", "content"),
    [("A", "10.0.0.1"), ("A", "127.0.0.1"), ("A", "169.254.0.1"), ("A", "1.1.1.1"), ("AAAA", "fd00::1")],
)
def test_address_that_cloudflare_does_not_reach_cannot_be_proxied(
    ask: Ask, zone: str, name: str, kind: str, content: str
) -> None:
    body = {"type": kind, "name": name, "content": content}
    assert ask("POST", f"{zone}/dns_records", {**body, "proxied": True}).code == 9003
    done = ask("POST", f"{zone}/dns_records", body)
    assert (done.status, done.body["result"]["proxiable"]) == (200, False)


def test_texts_of_one_name_have_a_limit_together(ask: Ask, zone: str, name: str) -> None:
    posts = [{"type": "TXT", "name": name, "content": f"{number}" * 4080} for number in range(3)]
    path = f"{zone}/dns_records/batch"
    assert ask("POST", path, {"posts": posts}).code == 83011
    assert ask("POST", path, {"posts": posts[:2]}).status == 200


def test_quoted_text_is_returned_in_ascii_and_other_text_as_it_is(ask: Ask, zone: str, name: str) -> None:
    def store(content: str) -> str:
        done = ask("POST", f"{zone}/dns_records", {"type": "TXT", "name": name, "content": content})
        return str(done.body["result"]["content"])

    assert store('"Größe"') == r'"Gr\195\182\195\159e"'
    assert store(r'"\065\"" "b"') == r'"A\"" "b"'
    assert store("plain") == "plain"
    assert store(f'"{"x" * 300}"') == f'"{"x" * 255}" "{"x" * 45}"'


def test_values_are_returned_in_canonical_form(ask: Ask, zone: str, name: str) -> None:
    posts = [
        {"type": "AAAA", "name": f"Bücher.{name}", "content": "2001:DB8:0::1"},
        {"type": "TLSA", "name": f"_25._tcp.{name}", "data": TLSA},
    ]
    done = ask("POST", f"{zone}/dns_records/batch", {"posts": posts}).body["result"]["posts"]
    assert (done[0]["name"], done[0]["content"]) == (f"xn--bcher-kva.{name}", "2001:db8::1")
    assert done[1]["data"]["certificate"] == "AB" * 32


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        (["team:mail", "a"], 200),
        ([f"t{number}:x" for number in range(20)], 200),
        ([f"t{number}:x" for number in range(21)], 400),
        (["Team:mail", "team:mail"], 400),
        (["team mail:x"], 400),
        (["cf-x:y"], 400),
        (["t" * 33], 400),
    ],
)
def test_tags_of_a_paid_zone_have_limits(ask: Ask, service: Service, name: str, tags: list[str], status: int) -> None:
    path = f"/zones/{ask('GET', f'/zones?name={service.elsewhere}').body['result'][0]['id']}/dns_records"
    own = name.replace(service.zone, service.elsewhere)
    done = ask("POST", path, {**A, "name": own, "tags": tags, "comment": "c" * 500})
    assert done.status == status
    if status == 200:
        assert ask("DELETE", f"{path}/{done.body['result']['id']}").status == 200


def test_comment_is_one_line_of_any_characters(ask: Ask, zone: str, name: str) -> None:
    assert ask("POST", f"{zone}/dns_records", {**A, "name": name, "comment": "a\nb"}).status == 400
    assert ask("POST", f"{zone}/dns_records", {**A, "name": name, "comment": "größer \U0001f600"}).status == 200


def test_usage_of_a_zone_is_returned(ask: Ask, zone: str, name: str) -> None:
    before = ask("GET", f"{zone}/dns_records/usage").body["result"]["record_usage"]
    ask("POST", f"{zone}/dns_records", {**A, "name": name})
    assert ask("GET", f"{zone}/dns_records/usage").body["result"]["record_usage"] == before + 1


def test_record_can_be_deleted_once(ask: Ask, zone: str, name: str) -> None:
    made = ask("POST", f"{zone}/dns_records", {**A, "name": name})
    path = f"{zone}/dns_records/{made.body['result']['id']}"
    assert (made.status, ask("DELETE", path).status, ask("DELETE", path).code) == (200, 200, 81044)


def list_own(ask: Ask, zone: str, name: str) -> list[tuple[str, str]]:
    """Return type and content of the records below a name."""
    rows = ask("GET", f"{zone}/dns_records?per_page=5000").body["result"]
    return sorted((row["type"], row["content"]) for row in rows if row["name"].endswith(name))


def test_batch_deletes_before_it_adds(ask: Ask, zone: str, name: str) -> None:
    path = f"{zone}/dns_records/batch"
    [old] = ask("POST", path, {"posts": [{**A, "name": name}]}).body["result"]["posts"]
    new = {"type": "CNAME", "name": name, "content": "b.test"}
    assert ask("POST", path, {"posts": [new], "deletes": [{"id": old["id"]}]}).status == 200
    assert list_own(ask, zone, name) == [("CNAME", "b.test")]


def test_batch_with_an_invalid_entry_changes_nothing(ask: Ask, zone: str, name: str) -> None:
    posts = [{**A, "name": name}, {**A, "name": f"b.{name}", "content": "wrong"}]
    refused = ask("POST", f"{zone}/dns_records/batch", {"posts": posts})
    assert (refused.status, refused.code, refused.cause) == (400, 1004, 9005)
    assert list_own(ask, zone, name) == []


def test_batch_is_limited_by_the_plan(ask: Ask, zone: str, name: str) -> None:
    posts = [{**A, "name": f"n{number}.{name}"} for number in range(201)]
    refused = ask("POST", f"{zone}/dns_records/batch", {"posts": posts})
    assert (refused.status, "limit of 200" in str(refused.body["errors"])) == (400, True)
    assert ask("POST", f"{zone}/dns_records/batch", {"posts": posts[:200]}).status == 200


def test_list_is_paged(ask: Ask, zone: str, name: str) -> None:
    posts = [{**A, "name": f"n{number}.{name}"} for number in range(5)]
    assert ask("POST", f"{zone}/dns_records/batch", {"posts": posts}).status == 200
    info = ask("GET", f"{zone}/dns_records?per_page=2").body["result_info"]
    assert info["total_pages"] == -(-info["total_count"] // 2)
    pages = [
        ask("GET", f"{zone}/dns_records?per_page=2&page={n + 1}").body["result"] for n in range(info["total_pages"])
    ]
    assert len({row["id"] for page in pages for row in page}) == info["total_count"] >= 5


@pytest.mark.parametrize(
    ("who", "method", "path", "body", "status"),
    [
        ("dns", "POST", "/dns_records/batch", {}, 200),
        ("dns", "GET", "/settings/ssl", None, 403),
        ("read", "GET", "/dns_records", None, 200),
        ("read", "POST", "/dns_records", A, 403),
        ("read", "PATCH", "/settings/ssl", {"value": "strict"}, 403),
        ("elsewhere", "GET", "/dns_records", None, 403),
    ],
)
def test_token_may_only_do_what_its_permissions_allow(
    ask: Ask, zone: str, who: str, method: str, path: str, body: Any, status: int
) -> None:
    got = ask(method, f"{zone}{path}", body, who=who)
    assert got.status == status
    assert status == 200 or got.code == 10000


def test_token_sees_only_its_zones(ask: Ask, service: Service) -> None:
    names = {
        who: {row["name"] for row in ask("GET", "/zones", who=who).body["result"]} for who in ("full", "elsewhere")
    }
    assert names["full"] >= {service.zone, service.elsewhere}
    assert names["elsewhere"] == {service.elsewhere}


def test_unknown_zone_is_refused(ask: Ask) -> None:
    assert ask("GET", "/zones?name=example.com").body["result"] == []
    assert ask("GET", "/zones/0123456789abcdef/dns_records").code == 7003


def test_settings_are_kept_and_validated(ask: Ask, zone: str) -> None:
    path = f"{zone}/settings/min_tls_version"
    before = ask("GET", path).body["result"]["value"]
    assert ask("PATCH", path, {"value": "1.3"}).body["result"]["value"] == "1.3"
    assert ask("GET", path).body["result"]["value"] == "1.3"
    assert ask("PATCH", path, {"value": "9"}).code == 1007
    assert ask("PATCH", path, {"value": before}).status == 200


def test_header_is_replaced_completely(ask: Ask, zone: str) -> None:
    path = f"{zone}/settings/security_header"
    for header in ({"enabled": True, "max_age": 300, "nosniff": True}, {"enabled": False}):
        stored = ask("PATCH", path, {"value": {"strict_transport_security": header}}).body["result"]
        assert stored["editable"] is True
    assert stored["value"]["strict_transport_security"]["nosniff"] is False
    wrong = {"strict_transport_security": {"enabled": True, "max_age": 63072000}}
    assert ask("PATCH", path, {"value": wrong}).code == 1007


@pytest.mark.parametrize(
    ("token", "path", "status", "code"),
    [
        ("", "/zones", 400, 9106),
        ("short", "/zones", 400, 6003),
        ("x" * 40, "/zones", 403, 9109),
        ("x" * 40, "/user/tokens/verify", 401, 1000),
    ],
)
def test_invalid_token_is_refused(ask: Ask, token: str, path: str, status: int, code: int) -> None:
    got = ask("GET", path, token=token)
    assert (got.status, got.body["success"], got.code) == (status, False, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"X-Auth-Key": "short", "X-Auth-Email": "me@example.com"}, 400, 6003),
        ({"X-Auth-Key": "0" * 37, "X-Auth-Email": "me"}, 400, 6003),
        ({"X-Auth-Key": "0" * 37, "X-Auth-Email": "me@example.com"}, 403, 9103),
        ({"Authorization": "Basic eDp4"}, 400, 6003),
    ],
)
def test_other_credentials_are_refused(service: Service, headers: dict[str, str], status: int, code: int) -> None:
    call = urllib.request.Request(f"{service.endpoint}/zones", headers=headers)  # noqa: S310
    context = ssl.create_default_context(cafile=service.ca or None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(call, timeout=20, context=context)  # noqa: S310
    assert (refused.value.code, json.load(refused.value)["errors"][0]["code"]) == (status, code)


# ---- the double ----


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def refused_code(double: Double, *records: dict[str, Any], kind: str = "posts") -> int:
    """Return the number of the error of a batch; 0 without an error."""
    try:
        double.zones.batch("example.test", {kind: records})
    except Refused as refused:
        return int(refused.error["code"])
    return 0


def test_new_free_zone_has_the_smallest_quota(double: Double) -> None:
    posts = [{**A, "name": f"n{number}"} for number in range(200)]
    double.zones.about["example.test"] = {"created_on": "2024-09-01T00:00:00Z"}
    assert refused_code(double, *posts) == 0
    assert refused_code(double, {**A, "name": "more"}) == 81045
    del double.zones.about["example.test"]
    assert refused_code(double, {**A, "name": "more"}) == 0


@pytest.mark.parametrize("kind", ["deletes", "patches", "puts"])
def test_record_of_another_product_cannot_be_changed(double: Double, kind: str) -> None:
    double.manage("origin_worker_id", type="AAAA", name="app", content="100::", proxied=True)
    (row,) = double.records()
    assert refused_code(double, {**A, "id": row["id"]}, kind=kind) == 1043
    assert double.records() == [row]


def get(double: Double, path: str, token: str = TOKEN) -> Answer:
    headers = {"Authorization": f"Bearer {token}"}
    call = urllib.request.Request(f"{double.endpoint}{path}", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(call, timeout=20) as answer:  # noqa: S310
            return Answer(answer.status, answer.read().decode(), answer.headers)
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(), error.headers)


def test_zones_of_one_name_and_zones_that_are_not_active_are_listed(double: Double) -> None:
    double.zones.about["example.test"] = {"status": "pending"}
    double.zones.others = [{"id": "1", "name": "example.test", "status": "moved", "type": "full"}]
    double.zones.others += [{"id": "2", "name": "example.test", "status": "active", "type": "internal"}]
    rows = json.loads(get(double, "/zones?name=example.test").body)["result"]
    assert [row["status"] for row in rows] == ["moved", "pending"]


def test_token_can_be_restricted_to_addresses(double: Double) -> None:
    refused = get(double, "/zones", double.grant("DNS Read", addresses=("192.0.2.1",)))
    assert (refused.status, "Cannot use the access token from location: 127.0.0.1" in refused.body) == (403, True)
    assert get(double, "/zones", double.grant("DNS Read", addresses=("127.0.0.1",))).status == 200


@pytest.mark.parametrize(("owner", "user", "account"), [("user", 200, 401), ("account", 401, 200)])
def test_token_is_verified_by_the_call_of_its_owner(double: Double, owner: str, user: int, account: int) -> None:
    token = double.grant("DNS Read", owner=owner)
    found = [get(double, path, token).status for path in (tokens.VERIFY_USER, tokens.VERIFY_ACCOUNT)]
    assert found == [user, account]
    assert get(double, "/zones", token).status == 200


@pytest.mark.parametrize(("mode", "status"), [("busy", 503), ("blocked", 403)])
def test_page_is_sent_instead_of_an_answer(double: Double, mode: str, status: int) -> None:
    double.fail(mode)
    answer = get(double, "/zones")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=UTF-8")
    assert answer.body.startswith("<!DOCTYPE html>")
    assert answer.headers["Date"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (A, "192.0.2.1"),
        ({"type": "MX", "name": "@", "content": "mail.test", "priority": 10}, "10 mail.test."),
        ({"type": "CNAME", "name": "a", "content": "b.test"}, "b.test."),
        ({"type": "TXT", "name": "a", "content": 'plain "x"'}, r'"plain \"x\""'),
        ({"type": "TXT", "name": "a", "content": '"one" "two"'}, '"one" "two"'),
        ({"type": "TXT", "name": "a", "content": "Größe"}, r'"Gr\195\182\195\159e"'),
        ({"type": "MX", "name": "a", "content": ".", "priority": 0}, "0 ."),
        ({"type": "TXT", "name": "a", "content": "x" * 300}, f'"{"x" * 255}" "{"x" * 45}"'),
        (
            {"type": "SRV", "name": "_submission._tcp", "data": SRV},
            "0 1 587 m.test.",
        ),
        ({"type": "CAA", "name": "@", "data": {"flags": 0, "tag": "issue", "value": "ca.test"}}, '0 issue "ca.test"'),
        ({"type": "HTTPS", "name": "@", "data": {"priority": 1, "target": ".", "value": "alpn=h3"}}, "1 . alpn=h3"),
    ],
)
def test_record_is_served_in_the_form_of_a_zone_file(body: dict[str, Any], text: str) -> None:
    assert records.zone_file(records.record_of(body, "example.test")) == text


def test_state_is_preserved_over_a_restart(tmp_path: Any) -> None:
    file = tmp_path / "state" / "zones.json"
    first = zones.Zones({"example.test": "free"}, lambda *_: None, file)
    first.batch("example.test", {"posts": [A]})
    first.change_setting("example.test", "ssl", "strict")
    second = zones.Zones({"example.test": "free"}, lambda *_: None, file)
    assert second.state == first.state


@pytest.mark.parametrize(
    ("order", "fails"),
    [("none", []), ("500", [1, 2, 3, 4]), ("429@1", [1]), ("lost@3", [3]), ("flood", [])],
)
def test_fault_applies_to_the_requests_that_it_names(order: str, fails: list[int]) -> None:
    counted = faults.Faults(lambda _client: faults.Order(order, 1))
    seen = [counted.at_request("192.0.2.1") for _ in range(4)]
    assert [number for number, mode in enumerate(seen, 1) if mode] == fails


def test_same_fault_given_twice_restarts_the_count() -> None:
    orders = iter([faults.Order("500@1", 1), faults.Order("500@1", 1), faults.Order("500@1", 2)])
    counted = faults.Faults(lambda _client: next(orders))
    assert [counted.at_request("192.0.2.1") for _ in range(3)] == ["500", "", "500"]


def test_rules_of_a_phase_are_replaced_completely() -> None:
    rule = {"expression": "true", "action": "block"}
    first = rulesets.replaced("http_request_firewall_custom", None, {"rules": [rule]})
    second = rulesets.replaced("http_request_firewall_custom", first, {"rules": []})
    assert (first["version"], second["version"], second["rules"]) == ("1", "2", [])


@pytest.mark.parametrize(
    ("phase", "rule", "said"),
    [
        ("http_request_firewall_custom", {"action": "block"}, "expression"),
        ("http_request_firewall_custom", {"action": "redirect", "expression": "true"}, "not allowed"),
        ("http_ratelimit", {"action": "block", "expression": "true"}, "ratelimit"),
        ("http_ratelimit", {"action": "block", "expression": "true", "ratelimit": {"period": 10}}, "cf.colo.id"),
        ("http_request_firewall_custom", {"action": "log", "expression": "true"}, "the log action"),
        (
            "http_request_firewall_custom",
            {"action": "block", "expression": "true", "logging": {"enabled": True}},
            "skip",
        ),
        ("http_request_firewall_custom", {"action": "block", "expression": "(true"}, "parsing"),
        ("http_request_firewall_custom", {"action": "block", "expression": "true", "colour": "red"}, "unknown field"),
        ("http_request_firewall_custom", {"action": "block", "expression": "a" * 4097}, "4096"),
        ("http_request_firewall_managed", {"action": "execute", "expression": "true"}, "action_parameters"),
        ("nowhere", {}, "unknown phase"),
    ],
)
def test_rule_that_its_phase_does_not_allow_is_refused(phase: str, rule: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        rulesets.replaced(phase, None, {"rules": [rule]})


CUSTOM_RULES = "/rulesets/phases/http_request_firewall_custom/entrypoint"


@pytest.mark.parametrize(("value", "status"), [("true", 200), ("yes", 400)])
def test_dry_run_of_rules_changes_nothing(ask: Ask, zone: str, value: str, status: int) -> None:
    before = ask("GET", f"{zone}{CUSTOM_RULES}").body["result"]
    rules = {"rules": [{"expression": "true", "action": "block"}]}
    validated = ask("PUT", f"{zone}{CUSTOM_RULES}?dry_run={value}", rules)
    assert (validated.status, validated.body["result"]) == (status, None)
    assert ask("GET", f"{zone}{CUSTOM_RULES}").body["result"] == before


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_rules_beyond_the_free_plan_are_refused(ask: Ask, zone: str, query: str) -> None:
    rules = [{"expression": "true", "action": "block"}] * 6
    refused = ask("PUT", f"{zone}{CUSTOM_RULES}{query}", {"rules": rules})
    assert (refused.status, refused.code, "6 out of 5" in str(refused.body["errors"])) == (400, 50001, True)


def test_setting_that_the_plan_fixes_cannot_be_changed() -> None:
    state = zones.Zones({"example.test": "free"}, lambda *_: None)
    state.state["example.test"]["fixed"] = ["ssl"]
    assert state.setting("example.test", "ssl")["editable"] is False
    with pytest.raises(Refused, match="Not allowed to edit setting for ssl"):
        state.change_setting("example.test", "ssl", "strict")


def test_certificate_of_the_zone_is_listed() -> None:
    zone_id = zones.identity("example.test")
    with running() as double:
        api = cloudflare.Cloudflare(api_token=TOKEN, base_url=double.endpoint, max_retries=0)
        own = api.origin_tls_client_auth.zone_certificates
        assert list(own.list(zone_id=zone_id)) == []
        with pytest.raises(cloudflare.BadRequestError, match="private_key are required"):
            own.create(zone_id=zone_id, certificate="PEM", private_key="")
        own.create(zone_id=zone_id, certificate="PEM", private_key="PEM")
        assert [row.status for row in own.list(zone_id=zone_id)] == ["active"]


def test_write_permission_includes_read() -> None:
    grant = tokens.Grant("one", frozenset({"DNS Write"}))
    assert [grant.may(name) for name in ("DNS Read", "DNS Write", "Zone Settings Read")] == [True, True, False]


def test_batch_is_published_once() -> None:
    published: list[tuple[int, int]] = []
    state = zones.Zones({"example.test": "free"}, lambda _z, went, came: published.append((len(went), len(came))))
    old = state.batch("example.test", {"posts": [A]})["posts"][0]
    state.batch("example.test", {"posts": [{"type": "CNAME", "name": "a", "content": "b.test"}], "deletes": [old]})
    assert published == [(0, 1), (1, 1)]
