"""One execution: arguments, result, check mode, diff, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client
from ansible_collections.vise.platform.plugins.modules import cloudflare_dns

from tests.unit.plugins.cloudflare import Double, run, running

RECORDS = [
    {"type": "A", "name": "www", "value": "192.0.2.1", "proxied": True},
    {"type": "MX", "name": "@", "value": "mail.example.test", "priority": 10, "comment": "where mail goes"},
    {"type": "TXT", "name": "key", "value": "v=DKIM1; p=" + "A" * 700},
    {"type": "CAA", "name": "@", "value": "letsencrypt.org", "flags": 0, "tag": "issue"},
]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def keep(capsys: Any, double: Double, **options: Any) -> dict[str, Any]:
    return run(cloudflare_dns, capsys, double, **{"zone": "example.test", "records": RECORDS, **options})


def test_records_are_created_and_then_left_alone(capsys: Any, double: Double) -> None:
    first = keep(capsys, double)
    assert first["changed"]
    assert first["counts"] == {"add": 4, "change": 0, "remove": 0, "keep": 0}
    assert first["plan"][-1] == "4 to add, 0 to change, 0 to remove, 0 as wanted"
    assert {row["comment"] for row in double.records()} == {"[vise.platform]", "[vise.platform] where mail goes"}
    again = keep(capsys, double)
    assert (again["changed"], again["calls"]) == (False, 2)
    assert again["plan"] == ["0 to add, 0 to change, 0 to remove, 4 as wanted"]


def test_what_is_no_longer_wanted_goes_with_purge_alone(capsys: Any, double: Double) -> None:
    keep(capsys, double)
    assert not keep(capsys, double, records=RECORDS[:1])["changed"]
    assert keep(capsys, double, records=RECORDS[:1], purge=True)["counts"]["remove"] == 3
    assert [row["name"] for row in double.records()] == ["www.example.test"]


def test_another_owner_does_not_touch_them(capsys: Any, double: Double) -> None:
    keep(capsys, double)
    assert not keep(capsys, double, owner="staging", records=[], purge=True)["changed"]
    assert "are in the way" in keep(capsys, double, owner="staging", records=RECORDS[:1])["msg"]
    assert len(double.records()) == 4


def test_check_mode_tells_all_and_changes_nothing(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, _ansible_check_mode=True, _ansible_diff=True)
    assert told["changed"]
    assert double.records() == []
    assert told["diff"]["before"] == ""
    assert "example.test MX 10 mail.example.test ttl=1 ; [vise.platform] where mail goes\n" in told["diff"]["after"]
    assert keep(capsys, double)["plan"] == told["plan"]


def test_no_diff_when_nothing_differs(capsys: Any, double: Double) -> None:
    keep(capsys, double)
    assert "diff" not in keep(capsys, double, _ansible_diff=True)


def test_invalid_records_are_named_before_anything_is_sent(capsys: Any, double: Double) -> None:
    bad = [*RECORDS, {"type": "A", "name": "bad", "value": "300.1.1.1"}, {"type": "MX", "name": "@", "value": "a.test"}]
    told = keep(capsys, double, records=bad)
    assert told["failed"]
    assert "A bad.example.test: 300.1.1.1 is no IPv4 address" in told["msg"]
    assert "MX example.test: it has no priority" in told["msg"]
    assert double.log == []


def test_token_without_the_permission_hears_its_name(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, token=double.grant("DNS Read"))
    assert told["failed"]
    assert told["msg"].startswith("example.test: Cloudflare: the token lacks the permission Zone / DNS / Edit")
    assert double.records() == []


def test_missing_library_is_said(capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "no such module")
    assert "cloudflare" in keep(capsys, double)["msg"]
