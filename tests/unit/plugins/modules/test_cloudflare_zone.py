"""One execution for records, settings and rules: arguments, result, check mode, diff, errors, order."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone

from tests.unit.plugins.cloudflare import FAULTS, TOKEN, Double, faulty, run, running

RECORDS: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "value": "192.0.2.1", "proxied": True},
    {"type": "MX", "name": "@", "value": "mail.example.test", "priority": 10, "comment": "incoming mail"},
    {"type": "TXT", "name": "key", "value": "v=DKIM1; p=" + "A" * 700},
    {"type": "CAA", "name": "@", "value": "letsencrypt.org", "flags": 0, "tag": "issue"},
]
SETTINGS = {"ssl": "strict", "http3": True}
RULES = {
    "http_request_firewall_custom": [{"expression": "true", "action": "block"}],
    "http_request_cache_settings": [{"expression": "true", "action": "set_cache_settings"}],
}
EVERYTHING: dict[str, Any] = {"settings": SETTINGS, "rules": RULES}
CERTIFICATE = {"id": "1", "status": "active", "expires_on": "2099-01-01T00:00:00Z"}
CHECK: dict[str, Any] = {"_ansible_check_mode": True}
READ_ONLY = ("DNS Read", "Zone Settings Read", "Zone WAF Read", "Cache Settings Read")
EDIT = ["Zone / DNS / Edit", "Zone / Zone Settings / Edit", "Zone / Zone WAF / Edit", "Zone / Cache Rules / Edit"]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def manage(capsys: Any, double: Double, **options: Any) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, **{"zone": "example.test", "records": RECORDS, **options})


def paths(lines: list[str]) -> list[str]:
    """Return the last part of each path that was changed."""
    return [line.split()[2].split("/", 3)[-1] for line in lines if line.endswith(" 200")]


def test_records_are_created_once(capsys: Any, double: Double) -> None:
    first = manage(capsys, double)
    assert first["changed"]
    assert first["counts"] == {"add": 4, "change": 0, "remove": 0, "keep": 0}
    assert first["plan"][-1] == "4 to add, 0 to change, 0 to remove, 0 as wanted"
    assert {row["comment"] for row in double.records()} == {"[vise.platform]", "[vise.platform] incoming mail"}
    again = manage(capsys, double)
    assert (again["changed"], again["calls"]) == (False, 2)
    assert again["plan"] == ["0 to add, 0 to change, 0 to remove, 4 as wanted"]


def test_obsolete_records_are_removed_only_with_purge(capsys: Any, double: Double) -> None:
    manage(capsys, double)
    assert not manage(capsys, double, records=RECORDS[:1])["changed"]
    assert manage(capsys, double, records=RECORDS[:1], purge=True)["counts"]["remove"] == 3
    assert [row["name"] for row in double.records()] == ["www.example.test"]


def test_records_are_neither_read_nor_purged_when_none_are_given(capsys: Any, double: Double) -> None:
    manage(capsys, double)
    double.log.clear()
    manage(capsys, double, records=None, settings=SETTINGS, purge=True)
    assert [line for line in double.log if "dns_records" in line] == []
    assert len(double.records()) == 4
    assert manage(capsys, double, records=[], purge=True)["counts"]["remove"] == 4


def test_records_of_another_owner_are_left_unchanged(capsys: Any, double: Double) -> None:
    manage(capsys, double)
    assert not manage(capsys, double, owner="staging", records=[], purge=True)["changed"]
    assert "conflict with wanted records" in manage(capsys, double, owner="staging", records=RECORDS[:1])["msg"]
    assert len(double.records()) == 4


def test_check_mode_reports_all_changes_and_makes_none(capsys: Any, double: Double) -> None:
    before = copy.deepcopy(double.zones.state)
    result = manage(capsys, double, **EVERYTHING, **CHECK, _ansible_diff=True)
    assert (result["changed"], result["differs"]) == (True, True)
    assert double.zones.state == before
    records, settings, *phases = result["diff"]
    assert records["before"] == ""
    assert "example.test MX 10 mail.example.test ttl=1 ; [vise.platform] incoming mail\n" in records["after"]
    assert (settings["before"], settings["after"]) == ({"ssl": "full", "http3": False}, SETTINGS)
    assert [phase["before_header"] for phase in phases] == list(RULES)
    assert manage(capsys, double, **EVERYTHING)["plan"] == result["plan"]


def test_unchanged_zone_has_no_diff(capsys: Any, double: Double) -> None:
    manage(capsys, double, **EVERYTHING)
    assert "diff" not in manage(capsys, double, **EVERYTHING, _ansible_diff=True)


def test_one_execution_manages_all_parts_and_a_second_changes_nothing(capsys: Any, double: Double) -> None:
    first = manage(capsys, double, **EVERYTHING)
    assert first["counts"] == {"add": 4, "change": 4, "remove": 0, "keep": 0}
    assert first["settings"] == SETTINGS
    double.log.clear()
    again = manage(capsys, double, **EVERYTHING)
    assert (again["changed"], again["differs"], again["counts"]["keep"]) == (False, False, 8)
    assert double.writes() == []
    # The zone, two settings, two phases, and all records.
    assert again["calls"] == 6


def test_proxied_record_is_published_after_settings_and_rules(capsys: Any, double: Double) -> None:
    manage(capsys, double, **EVERYTHING)
    phases = [f"rulesets/phases/{phase}/entrypoint" for phase in RULES]
    # Cloudflare validates the rules before the first change.
    assert paths(double.writes()) == [*phases, "settings/ssl", "settings/http3", *phases, "dns_records/batch"]


@pytest.mark.parametrize("change", [{}, CHECK], ids=["run", "check mode"])
def test_all_missing_permissions_are_named_before_anything_changes(
    capsys: Any, double: Double, change: dict[str, Any]
) -> None:
    before = copy.deepcopy(double.zones.state)
    result = manage(capsys, double, **EVERYTHING, **change, token=double.grant(*READ_ONLY))
    assert result["failed"]
    assert result["missing"] == EDIT
    assert f"example.test: the token lacks {', '.join(EDIT)}; add this to the token at Cloudflare" in result["msg"]
    assert double.zones.state == before


@pytest.mark.parametrize("part", ["DNS Write", "Zone Settings Write"])
def test_all_missing_permissions_are_named_when_a_part_cannot_be_read(capsys: Any, double: Double, part: str) -> None:
    result = manage(capsys, double, **EVERYTHING, token=double.grant(part))
    granted = f"Zone / {part.replace(' Write', '')} / Edit"
    assert result["missing"] == [name for name in EDIT if name != granted]


def test_permissions_are_checked_for_all_parts_when_only_one_changes(capsys: Any, double: Double) -> None:
    manage(capsys, double, **EVERYTHING)
    changed = {**EVERYTHING, "settings": {**SETTINGS, "ssl": "full"}}
    token = double.grant(*READ_ONLY, "Zone Settings Write")
    assert manage(capsys, double, **changed, token=token)["missing"] == [
        name for name in EDIT if "Settings" not in name
    ]
    assert double.zones.state["example.test"]["settings"]["ssl"] == "strict"


def test_conflicting_record_stops_the_run_before_settings_change(capsys: Any, double: Double) -> None:
    double.add(type="A", name="www", content="192.0.2.9")
    result = manage(capsys, double, **EVERYTHING)
    assert "A www.example.test 192.0.2.9 (comment: none) conflicts with A www.example.test 192.0.2.1" in result["msg"]
    assert "adopt=true" in result["msg"]
    assert double.zones.state["example.test"]["settings"]["ssl"] == "full"
    assert manage(capsys, double, **EVERYTHING, adopt=True)["changed"]


def test_invalid_arguments_are_all_named_before_anything_is_sent(capsys: Any, double: Double) -> None:
    bad = [*RECORDS, {"type": "A", "name": "bad", "value": "300.1.1.1"}, {"type": "MX", "name": "@", "value": "a.test"}]
    rules = {"http_ratelimit": [{"action": "block"}]}
    settings = {"hsts": {"max_age": 300, "preload": True}}
    result = manage(capsys, double, records=bad, rules=rules, settings=settings)
    assert result["failed"]
    assert "A bad.example.test: 300.1.1.1 is not an IPv4 address" in result["msg"]
    assert "MX example.test: the priority is missing" in result["msg"]
    assert "http_ratelimit: rule 1 (no description): expression is missing" in result["msg"]
    assert "hsts: browsers accept preload only with" in result["msg"]
    assert double.log == []


@pytest.mark.parametrize(
    ("plan", "fields", "text"),
    [
        ("free", {"comment": "c" * 90}, "comment and mark have 106 characters; the Free plan allows 100"),
        ("pro", {"ttl": 30}, "ttl 30; the Pro plan allows 60 or more"),
        ("free", {"tags": ["team:mail"]}, "the record has 1 tags; the Free plan allows 0"),
    ],
)
def test_record_that_the_plan_does_not_allow_is_named_before_anything_changes(
    capsys: Any, double: Double, plan: str, fields: dict[str, Any], text: str
) -> None:
    double.zones.plans["example.test"] = plan
    before = copy.deepcopy(double.zones.state)
    result = manage(capsys, double, **EVERYTHING, records=[RECORDS[1] | fields])
    assert f"MX example.test 10 mail.example.test: {text}" in result["msg"]
    assert double.zones.state == before


@pytest.mark.parametrize(
    ("plan", "fields"),
    [("pro", {"comment": "c" * 480}), ("enterprise", {"ttl": 30}), ("lite", {"tags": ["team:mail"]})],
)
def test_record_that_the_plan_allows_is_planned(capsys: Any, double: Double, plan: str, fields: dict[str, Any]) -> None:
    double.zones.plans["example.test"] = plan
    assert manage(capsys, double, records=[RECORDS[1] | fields], **CHECK)["counts"]["add"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"rules": {"http_request_transform": []}},
        {"settings": {"brotli": True}},
        {"records": [{"type": "LOC", "name": "@", "value": "x"}]},
    ],
    ids=["phase", "setting", "type of record"],
)
def test_unknown_name_is_refused_before_anything_is_sent(capsys: Any, double: Double, options: dict[str, Any]) -> None:
    assert manage(capsys, double, **options)["failed"]
    assert double.log == []


def test_missing_permission_for_records_is_named(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, token=double.grant("DNS Read"))
    assert result["msg"].startswith("example.test: the token lacks Zone / DNS / Edit;")
    assert double.records() == []


# Calls: zone, ssl, http3, two phases, records, four permissions, ssl, http3, two phases, batch.
@pytest.mark.parametrize("position", [1, 6, 10, 11, 13, 15])
@FAULTS
def test_run_converges_after_a_fault_in_any_part(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert manage(capsys, double, **EVERYTHING)["counts"] == {"add": 4, "change": 4, "remove": 0, "keep": 0}
    assert double.log[position - 1].endswith(mode)
    assert clock == [1.0]
    double.fail("none")
    again = manage(capsys, double, **EVERYTHING)
    assert (again["changed"], again["counts"]["keep"]) == (False, 8)


@pytest.mark.parametrize("task", yaml.safe_load(cloudflare_zone.EXAMPLES), ids=lambda task: task["name"])
def test_example_of_the_documentation_is_accepted_on_the_free_plan(
    capsys: Any, double: Double, task: dict[str, Any]
) -> None:
    double.zones.state["example.test"]["certificates"] = [CERTIFICATE]
    options = json.loads(json.dumps(task["vise.platform.cloudflare_zone"]).replace("example.org", "example.test"))
    for mode in (CHECK, {}):
        assert "failed" not in run(cloudflare_zone, capsys, double, **{**options, "token": TOKEN, **mode})


@pytest.mark.parametrize("zone", ["Example.Test", "example.test.", " EXAMPLE.test. "])
def test_name_of_the_zone_has_any_form(capsys: Any, double: Double, zone: str) -> None:
    assert manage(capsys, double, zone=zone)["changed"]
    assert not manage(capsys, double)["changed"]
    assert {row["name"] for row in double.records()} == {"example.test", "www.example.test", "key.example.test"}


@pytest.mark.parametrize("zone", ["Bücher.test", "xn--bcher-kva.test"])
def test_international_zone_has_any_form(capsys: Any, zone: str) -> None:
    with running({"bücher.test": "free"}) as double:
        result = manage(capsys, double, zone=zone, records=[{"type": "A", "name": "@", "value": "192.0.2.1"}])
        assert result["changed"], result
        assert [row["name"] for row in double.records("bücher.test")] == ["xn--bcher-kva.test"]
        again = manage(capsys, double, zone=zone, records=[{"type": "A", "name": "bücher.test", "value": "192.0.2.1"}])
        assert not again["changed"]


def test_impossible_zone_is_named(capsys: Any, double: Double) -> None:
    assert "is not a letter or a digit" in manage(capsys, double, zone="a\u2764.test")["msg"]
    assert double.log == []


def test_zone_that_is_not_active_is_published_with_a_warning(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ansible reports the same warning only once per process.
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text, **_more: warned.append(text))
    double.zones.about["example.test"] = {"status": "pending"}
    assert manage(capsys, double)["changed"]
    assert [text.split(" at Cloudflare")[0] for text in warned] == ["example.test: the zone is pending"]


def test_run_converges_in_a_zone_that_was_created_seconds_ago(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.zones.about["example.test"] = {"created_on": datetime.now(UTC).isoformat()}
    # Calls: zone, records, permission, batch
    for position in (2, 3, 4):
        clock = faulty(monkeypatch, double, f"403@{position}")
        assert manage(capsys, double, records=[{**RECORDS[0], "ttl": 1, "comment": str(position)}])["changed"]
        assert (double.log[position - 1].endswith("403"), clock) == (True, [1.0])


def test_known_fault_of_one_record_refuses_all(capsys: Any, double: Double) -> None:
    bad = {"type": "A", "name": "bad", "value": "10.0.0.1", "proxied": True}
    result = manage(capsys, double, records=[*RECORDS, bad])
    assert "A bad.example.test: 10.0.0.1 is a private address, so it cannot be proxied" in result["msg"]
    assert double.log == []


def test_owner_and_comments_are_one_line(capsys: Any, double: Double) -> None:
    options = {"owner": "vise\n example ", "records": [{**RECORDS[0], "comment": "one\ntwo\n"}]}
    assert manage(capsys, double, **options)["changed"]
    assert double.records()[0]["comment"] == "[vise example] one two"
    assert not manage(capsys, double, **options)["changed"]
    assert manage(capsys, double, **{**options, "records": []}, purge=True)["counts"]["remove"] == 1


def test_missing_library_is_named(capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "no such module")
    assert "cloudflare" in manage(capsys, double)["msg"]
