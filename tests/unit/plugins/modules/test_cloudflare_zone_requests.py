"""What the module sends for records has the types of Cloudflare's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone
from cloudflare.types.dns import RecordBatchParams

from tests.unit.plugins import sdk_types
from tests.unit.plugins.cloudflare import Double, run, running

TARGET = "mail.example.test"
RECORDS: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "value": "192.0.2.1", "proxied": True},
    {"type": "AAAA", "name": "www", "value": "2001:db8::1", "ttl": 300},
    {"type": "CAA", "name": "@", "value": "letsencrypt.org", "flags": 0, "tag": "issue"},
    {"type": "CNAME", "name": "alias", "value": TARGET, "comment": "größer"},
    {"type": "HTTPS", "name": "web", "value": ".", "priority": 1, "params": "alpn=h3,h2"},
    {"type": "MX", "name": "@", "value": TARGET, "priority": 10},
    {"type": "NS", "name": "below", "value": "ns.example.org"},
    {"type": "SRV", "name": "_imaps._tcp", "value": TARGET, "priority": 0, "weight": 1, "port": 993},
    {"type": "TLSA", "name": "_25._tcp", "value": "ab" * 32, "usage": 3, "selector": 1, "matching_type": 1},
    {"type": "TXT", "name": "key", "value": "Größe " + "x" * 700},
]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def manage(capsys: Any, double: Double, records: list[dict[str, Any]], zone: str) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, zone=zone, records=records, purge=True)


@pytest.mark.parametrize(("zone", "tags"), [("example.test", []), ("elsewhere.test", ["team:mail"])])
def test_requests_for_records_of_every_type_have_the_types_of_the_sdk(
    capsys: Any, double: Double, zone: str, tags: list[str]
) -> None:
    assert {record["type"] for record in RECORDS} == set(cloudflare_zone.RECORD["type"]["choices"])
    tagged = [{**record, "tags": tags} for record in RECORDS]
    changed = [{**record, "comment": "changed"} for record in tagged]
    for wanted in (tagged, changed, RECORDS, []):
        assert manage(capsys, double, wanted, zone)["changed"] is True
        assert manage(capsys, double, wanted, zone)["changed"] is False
    # Without the calls by which permissions are checked
    sent = [one["body"] for one in double.requests if one["path"].endswith("/batch")]
    assert {kind for body in sent for kind in body} == {"posts", "patches", "deletes"}
    found = [sdk_types.problems({"zone_id": "1", **body}, RecordBatchParams) for body in sent]
    assert [problem for problems in found for problem in problems] == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"posts": [{"type": "A", "name": "a", "ttl": 1, "contents": "192.0.2.1"}]}, "no such field"),
        ({"posts": [{"type": "A", "name": "a", "ttl": 1, "proxied": "yes"}]}, "'yes' is not"),
        ({"posts": [{"type": "A", "name": "a"}]}, "posts[0].ttl: missing"),
        (
            {"posts": [{"type": "MX", "name": "a", "ttl": 1, "content": "x", "priority": "1"}]},
            "'1' is not a number",
        ),
        ({"posts": [{"type": "A", "name": "a", "ttl": 1, "tags": "x:y"}]}, "'x:y' is not a list"),
        ({"deletes": [{}]}, "deletes[0].id: missing"),
        ({"removes": []}, "request.removes: the SDK has no such field"),
    ],
)
def test_request_that_differs_from_the_types_of_the_sdk_is_found(body: dict[str, Any], problem: str) -> None:
    found = sdk_types.problems({"zone_id": "1", **body}, RecordBatchParams)
    assert any(problem in one for one in found), found
