"""Records of the description and of the API are converted into one form."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import records
from kit.cloudflare import records as double

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
    ("SRV", {"value": "mail.example.test", **SRV}, "0 1 587 mail.example.test"),
    ("CAA", {"value": "letsencrypt.org", "flags": 0, "tag": "issue"}, '0 issue "letsencrypt.org"'),
    ("CAA", {"value": ";", "flags": 0, "tag": "issuewild"}, '0 issuewild ";"'),
    ("TLSA", {"value": "AB CD" * 16, **TLSA}, f"3 1 1 {'abcd' * 16}"),
    ("HTTPS", {"value": ".", "priority": 1, "params": 'alpn="h3,h2"'}, "1 . alpn=h3,h2"),
    ("HTTPS", {"value": "other.example.test", "priority": 0}, "0 other.example.test"),
]


@pytest.mark.parametrize(("kind", "fields", "content"), VALID)
def test_record_is_the_same_after_a_round_trip_through_the_api(kind: str, fields: dict[str, Any], content: str) -> None:
    options = {"type": kind, "name": "WWW", "ttl": 300, **fields}
    assert records.problems([options], ZONE, MARK) == []
    record = records.from_options(options, ZONE, MARK)
    assert (record.content, record.name) == (content, "www.example.test")
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
    ],
)
def test_text_is_the_same_in_each_form_of_quotation(content: str, text: str) -> None:
    assert records.plain_text(content) == text


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
        ({"type": "SRV", "value": "a.test", "priority": 1, "weight": 1}, "the port is missing"),
        ({"type": "CAA", "value": "ca.test", "flags": 0, "tag": "isue"}, "tag isue is not one of"),
        ({"type": "TLSA", "value": "xyz", **TLSA}, "must be a hash"),
        ({"type": "TXT", "value": "a\nb"}, "control character"),
        ({"type": "TXT", "value": "x" * 4001}, "longer than 4000"),
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


def test_record_of_an_unknown_type_keeps_its_content() -> None:
    row = {"id": "1", "type": "LOC", "name": "Example.test", "content": "51 N", "ttl": 1, "data": {"lat_degrees": 51}}
    assert records.from_api(row).record == records.Record("LOC", "example.test", "51 N")


def test_proxied_record_has_an_automatic_ttl() -> None:
    options = {"type": "A", "name": "@", "value": "192.0.2.1", "proxied": True, "ttl": 300}
    assert records.from_options(options, ZONE, MARK) == records.Record("A", ZONE, "192.0.2.1", 1, True, "[us]")
