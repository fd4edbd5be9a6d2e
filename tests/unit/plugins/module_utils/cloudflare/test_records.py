"""Records of the description and of the API are converted into one form."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import records
from kit.cloudflare import records as double
from kit.cloudflare.errors import Refused

ZONE, MARK = "example.test", "[us]"
LONG = "v=DKIM1; k=rsa; p=" + "A1b2" * 170
SRV = {"priority": 0, "weight": 1, "port": 587}
TLSA = {"usage": 3, "selector": 1, "matching_type": 1}
VALID: list[tuple[str, dict[str, Any], str]] = [
    ("A", {"value": "192.0.2.1"}, "192.0.2.1"),
    ("AAAA", {"value": "2001:DB8:0::1"}, "2001:db8::1"),
    ("CNAME", {"value": "Mail.Example.test."}, "mail.example.test"),
    ("NS", {"value": "ns.example.org"}, "ns.example.org"),
    ("MX", {"value": "mail.example.test.", "priority": 10}, "10 mail.example.test"),
    ("TXT", {"value": 'say "hi" \\ there'}, 'say "hi" \\ there'),
    ("TXT", {"value": LONG}, LONG),
    ("TXT", {"value": "ä" * 200}, "ä" * 200),
    ("TXT", {"value": "Größe \U0001f600 \\195\\164"}, "Größe \U0001f600 \\195\\164"),
    ("TXT", {"value": "x" * 4080}, "x" * 4080),
    ("CNAME", {"value": "Bücher.Example.test."}, "xn--bcher-kva.example.test"),
    ("SRV", {"value": "mail.example.test", **SRV}, "0 1 587 mail.example.test"),
    ("CAA", {"value": "letsencrypt.org", "flags": 0, "tag": "issue"}, '0 issue "letsencrypt.org"'),
    ("CAA", {"value": ";", "flags": 0, "tag": "issuewild"}, '0 issuewild ";"'),
    ("TLSA", {"value": "AB CD" * 16, **TLSA}, f"3 1 1 {'abcd' * 16}"),
    ("HTTPS", {"value": ".", "priority": 1, "params": 'alpn="h3,h2"'}, "1 . alpn=h3,h2"),
    ("HTTPS", {"value": "other.example.test", "priority": 0}, "0 other.example.test"),
]


@pytest.mark.parametrize(("kind", "fields", "content"), VALID)
def test_record_is_the_same_after_a_round_trip_through_the_api(kind: str, fields: dict[str, Any], content: str) -> None:
    name = {"SRV": "_imaps._tcp", "TLSA": "_25._tcp"}.get(kind, "WWW")
    options = {"type": kind, "name": name, "ttl": 300, **fields}
    assert records.problems([options], ZONE, MARK) == []
    record = records.from_options(options, ZONE, MARK)
    assert (record.content, record.name) == (content, f"{name.lower()}.example.test")
    kept = {"id": "1", **double.record_of(records.body(record), ZONE)}
    assert records.from_api(kept).record == record


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain words", "plain words"),
        ('"quoted words"', "quoted words"),
        ('"one" "two"', "onetwo"),
        ('"one""two"', "onetwo"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"open', '"open'),
        (r'"Gr\195\182\195\159e"', "Größe"),
        (r'"\195" "\182"', "ö"),
        ('"ö"', "ö"),
        (r'"\0651"', "A1"),
        # Content that is no text stays as it is, so that it equals only itself.
        (r'"\255"', r'"\255"'),
        (r'"\300"', r'"\300"'),
        (r"plain \195\182", r"plain \195\182"),
    ],
)
def test_text_is_the_same_in_each_form_of_quotation(content: str, text: str) -> None:
    assert records.plain_text(content) == text


@pytest.mark.parametrize("text", ["Größe", '"quoted"', "back\\slash", "\\195", "\x7f"])
def test_text_is_sent_in_ascii(text: str) -> None:
    sent = records.quoted_text(text)
    assert (sent.isascii(), sent.isprintable(), records.plain_text(sent)) == (True, True, text)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 510, 511, 736])
def test_text_is_sent_in_strings_of_at_most_255_bytes(length: int) -> None:
    text = "x" * length
    quoted = records.quoted_text(text)
    assert [len(piece) for piece in quoted.strip('"').split('" "')][:-1] == [255] * max(0, -(-length // 255) - 1)
    assert records.plain_text(quoted) == text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"type": "A", "value": "300.1.1.1"}, "300.1.1.1 is not an IPv4 address"),
        ({"type": "A", "value": "2001:db8::1"}, "not an IPv4 address"),
        ({"type": "AAAA", "value": "192.0.2.1"}, "not an IPv6 address"),
        ({"type": "CNAME", "value": "not a name"}, "not a host name"),
        ({"type": "MX", "value": "mail.example.test"}, "the priority is missing"),
        ({"type": "MX", "value": "mail.example.test", "priority": 70000}, "priority 70000 is not between"),
        ({"type": "SRV", "name": "_a._tcp", "value": "a.test", "priority": 1, "weight": 1}, "the port is missing"),
        ({"type": "SRV", "value": "a.test", **SRV}, "does not begin with _service._protocol"),
        ({"type": "SRV", "name": "_imaps.tcp", "value": "a.test", **SRV}, "does not begin with _service._protocol"),
        ({"type": "MX", "value": "192.0.2.1", "priority": 10}, "192.0.2.1 is an address"),
        ({"type": "NS", "value": "2001:db8::1"}, "2001:db8::1 is an address"),
        ({"type": "CNAME", "value": "192.0.2.1"}, "192.0.2.1 is an address"),
        ({"type": "CNAME", "value": "www.example.test"}, "points to itself"),
        ({"type": "CNAME", "value": "a\u2764.test"}, "is not a letter or a digit"),
        ({"type": "CAA", "value": "ca.test", "flags": 0, "tag": "isue"}, "tag isue is not one of"),
        ({"type": "TLSA", "name": "_25._tcp", "value": "xyz", **TLSA}, "must be a hash"),
        ({"type": "TLSA", "name": "_25._tcp", "value": "ab", **TLSA}, "needs 32 bytes, the value has 1"),
        (
            {"type": "TLSA", "name": "_25._tcp", "value": "ab" * 32, **TLSA, "matching_type": 2},
            "needs 64 bytes, the value has 32",
        ),
        ({"type": "TLSA", "name": "mail", "value": "ab" * 32, **TLSA}, "does not begin with _port._protocol"),
        ({"type": "TXT", "value": "a\nb"}, "control character"),
        ({"type": "TXT", "value": "x" * 4081}, "longer than 4080"),
        ({"type": "TXT", "value": "ä" * 2041}, "longer than 4080"),
        ({"type": "TXT", "value": "half \ud800"}, "contains a control character"),
        ({"type": "TXT", "value": "a\x7fb"}, "control character"),
        ({"type": "TXT", "value": "x", "comment": "a\x07b"}, "the comment contains a control character"),
        ({"type": "TXT", "value": "x", "tags": ["team mail:x"]}, "tag team mail:x: the name must be"),
        ({"type": "TXT", "value": "x", "tags": ["cf-team:x"]}, "not begin with cf-"),
        ({"type": "TXT", "value": "x", "tags": ["team:" + "x" * 101]}, "longer than 100"),
        ({"type": "TXT", "value": "x", "proxied": True}, "cannot be proxied"),
        ({"type": "TXT", "value": "x", "ttl": 5}, "ttl 5 is neither"),
        ({"type": "TXT", "value": "x", "comment": "c" * 496}, "longer than 500 characters"),
        ({"type": "TXT", "value": ""}, "the value is missing"),
        ({"type": "TXT", "value": "x", "name": "a..b"}, "the name is not valid"),
    ],
)
def test_invalid_record_is_named_with_its_problem(options: dict[str, Any], expected: str) -> None:
    complete = {"name": "www", **options}
    (problem,) = records.problems([complete], ZONE, MARK)
    assert problem.startswith(f"{options['type']} {complete['name']}.{ZONE}: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([{"type": "A", "value": "192.0.2.1"}, {"type": "A", "value": "192.0.2.1"}], "listed twice"),
        ([{"type": "CNAME", "value": "b.test"}, {"type": "A", "value": "192.0.2.1"}], "can have no other record"),
        ([{"type": "CNAME", "value": "b.test"}, {"type": "CNAME", "value": "c.test"}], "several targets"),
    ],
)
def test_records_that_cannot_be_in_one_zone_are_named(wanted: list[dict[str, Any]], expected: str) -> None:
    (problem,) = records.problems([{"name": "www", **options} for options in wanted], ZONE, MARK)
    assert "www.example.test" in problem
    assert expected in problem


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("A", "10.0.0.1", "is a private address"),
        ("A", "172.31.255.255", "is a private address"),
        ("A", "192.168.1.1", "is a private address"),
        ("A", "100.64.0.1", "shares among customers"),
        ("A", "127.0.0.1", "is a loopback address"),
        ("A", "169.254.1.1", "is a link-local address"),
        ("A", "224.0.0.1", "is a multicast address"),
        ("A", "255.255.255.255", "is a reserved address"),
        ("A", "0.1.2.3", "is a reserved address"),
        ("A", "1.1.1.1", "is an address of Cloudflare"),
        ("A", "104.16.0.1", "is an address of Cloudflare"),
        ("AAAA", "fd00::1", "is a private address"),
        ("AAAA", "::1", "is a loopback address"),
        ("AAAA", "fe80::1", "is a link-local address"),
        ("AAAA", "::ffff:10.0.0.1", "is a private address"),
        ("AAAA", "2606:4700::1", "is an address of Cloudflare"),
        ("CNAME", "_x.acm-validations.aws.", "verifies the owner of the name"),
    ],
)
def test_target_that_cannot_be_proxied_is_named_and_permitted_without_the_proxy(
    kind: str, value: str, expected: str
) -> None:
    options = {"type": kind, "name": "www", "value": value}
    (problem,) = records.problems([{**options, "proxied": True}], ZONE, MARK)
    assert expected in problem
    assert records.problems([options], ZONE, MARK) == []
    # The double refuses what Cloudflare refuses.
    body = {"type": kind, "name": "www", "content": value}
    assert double.record_of(body, ZONE)["proxied"] is False
    with pytest.raises(Refused, match="is not allowed for a proxied record"):
        double.record_of({**body, "proxied": True}, ZONE)


# Addresses of names without an origin, which only the proxy answers
@pytest.mark.parametrize(("kind", "value"), [("A", "192.0.2.1"), ("AAAA", "100::"), ("AAAA", "2001:db8::1")])
def test_address_for_documentation_can_be_proxied(kind: str, value: str) -> None:
    assert records.problems([{"type": kind, "name": "www", "value": value, "proxied": True}], ZONE, MARK) == []


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [("A", "below", True), ("TXT", "below", True), ("MX", "below", True), ("TXT", "@", False), ("TXT", "other", False)],
)
def test_name_with_an_ns_record_can_have_no_other_record_below_the_zone(kind: str, name: str, wrong: bool) -> None:
    value = {"A": "192.0.2.1", "MX": "mail.example.test"}.get(kind, "x")
    other = {"type": kind, "name": name, "value": value, "priority": 10}
    delegations = [{"type": "NS", "name": one, "value": "ns.example.org"} for one in ("below", "@")]
    found = records.problems([*delegations, other], ZONE, MARK)
    assert ["also has an NS record" in problem for problem in found] == [True] * wrong


def test_records_of_a_name_and_type_have_a_limit_together() -> None:
    hosts = [f"{number:02}.{'x' * 60}.example.org" for number in range(110)]
    wanted = [{"type": "MX", "name": "www", "value": host, "priority": 10} for host in hosts]
    (problem,) = records.problems(wanted, ZONE, MARK)
    assert "MX www.example.test: the MX records of this name have" in problem
    assert records.problems(wanted[:90], ZONE, MARK) == []


def test_texts_of_a_name_have_a_limit_together() -> None:
    wanted = [{"type": "TXT", "name": "www", "value": f"{number}" * 2000} for number in range(5)]
    (problem,) = records.problems(wanted, ZONE, MARK)
    assert problem == "TXT www.example.test: the TXT records of this name have 10000 bytes together, more than 8192"
    assert records.problems(wanted[:4], ZONE, MARK) == []


@pytest.mark.parametrize("comment", ["incoming mail\n", " incoming\r\nmail ", "incoming\tmail", "incoming\u2028mail"])
def test_comment_is_one_line(comment: str) -> None:
    options = {"type": "A", "name": "www", "value": "192.0.2.1", "comment": comment}
    assert records.problems([options], ZONE, MARK) == []
    assert records.from_options(options, ZONE, MARK).comment == "[us] incoming mail"


def test_tags_are_compared_without_duplicates_and_case_of_their_names() -> None:
    options = {"type": "A", "name": "www", "value": "192.0.2.1", "tags": ["Team:Mail", "team:Mail", "a", "team:mail"]}
    record = records.from_options(options, ZONE, MARK)
    assert record.tags == ("a", "team:Mail", "team:mail")
    row = {"id": "1", "type": "A", "name": "www.example.test", "content": "192.0.2.1", "comment": MARK}
    assert records.from_api({**row, "tags": ["TEAM:mail", "team:Mail", "a"]}).record == record


@pytest.mark.parametrize("name", ["Bücher", "bücher.example.test.", "xn--bcher-kva", "BÜCHER.EXAMPLE.TEST"])
def test_international_name_has_one_form(name: str) -> None:
    options = {"type": "A", "name": name, "value": "192.0.2.1"}
    assert records.from_options(options, ZONE, MARK).name == "xn--bcher-kva.example.test"
    assert records.problems([options], ZONE, MARK) == []


def test_impossible_international_name_is_named() -> None:
    (problem,) = records.problems([{"type": "A", "name": "a\u2764", "value": "192.0.2.1"}], ZONE, MARK)
    assert "'\u2764' is not a letter or a digit" in problem


@pytest.mark.parametrize(
    ("meta", "manager"),
    [
        ({}, ""),
        ({"email_routing": True}, ""),
        ({"email_routing": True, "read_only": True}, "Email Routing"),
        ({"origin_worker_id": "1", "read_only": True}, "Workers"),
        ({"read_only": True}, "another product of Cloudflare"),
    ],
)
def test_product_that_manages_a_record_is_known(meta: dict[str, Any], manager: str) -> None:
    row = {"id": "1", "type": "A", "name": ZONE, "content": "192.0.2.1", "meta": meta}
    assert records.from_api(row).manager == manager


def test_record_of_an_unknown_type_keeps_its_content() -> None:
    row = {"id": "1", "type": "LOC", "name": "Example.test", "content": "51 N", "ttl": 1, "data": {"lat_degrees": 51}}
    assert records.from_api(row).record == records.Record("LOC", "example.test", "51 N")


def test_proxied_record_has_an_automatic_ttl() -> None:
    options = {"type": "A", "name": "@", "value": "192.0.2.1", "proxied": True, "ttl": 300}
    assert records.from_options(options, ZONE, MARK) == records.Record("A", ZONE, "192.0.2.1", 1, True, "[us]")
