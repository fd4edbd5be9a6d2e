"""What a host has of a site: virtual hosts, requests, and the record of its move."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.nginx import site_traces

NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


def write_log(path: Path, *entries: dict[str, Any]) -> None:
    base = {"time": "2026-03-01T12:00:00+00:00", "client": "203.0.113.7", "host": "docs.example.org", "uri": "/"}
    lines = [json.dumps({**base, **entry}) for entry in entries]
    # As after a rotation: the end of a line, and one that is not JSON
    path.write_text("\n".join(['alf of a line"}', "", *lines, "null", ""]))


@pytest.mark.parametrize(
    ("entry", "counted"),
    [
        ({}, True),
        ({"client": "2001:db8::7"}, True),
        ({"host": "www.docs.example.org"}, True),
        ({"time": "2026-03-01T14:00:00+02:00"}, True),
        ({"time": "2026-03-01T11:58:59+00:00"}, False),
        ({"host": "docs.example.org.evil.test"}, False),
        ({"host": "other.example.org"}, False),
        ({"agent": "vise-probe"}, False),
        ({"uri": "/.well-known/acme-challenge/token"}, False),
    ],
)
def test_only_requests_of_visitors_in_the_window_are_counted(
    tmp_path: Path, entry: dict[str, Any], counted: bool
) -> None:
    write_log(tmp_path / "access.log", entry, entry)
    logs = [str(tmp_path / name) for name in ("access.log.1", "access.log")]
    domains = ["docs.example.org", "*.docs.example.org"]
    found = site_traces.count_requests(domains, NOW - datetime.timedelta(seconds=60), logs)
    assert found == ({entry.get("client", "203.0.113.7"): 2} if counted else {})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("docs.conf", 'root "/srv/sites/docs/current";', True),
        ("docs.internal.conf", 'root "/srv/sites/docs/current";', True),
        ("docs.conf", "server 127.0.0.1:3000;", True),
        ("docs.conf", "server 10.0.0.2:8443;", False),
        ("docs-two.conf", 'root "/srv/sites/docs-two/current";', False),
    ],
)
def test_host_has_the_files_if_a_virtual_host_serves_them(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    (tmp_path / name).write_text(text)
    assert site_traces.has_files("docs", folder=str(tmp_path)) is expected
    assert site_traces.list_virtual_hosts(str(tmp_path)) == [name.removesuffix(".conf")]


@pytest.mark.parametrize(
    ("record", "lifetime", "is_switched", "expected"),
    [
        ({}, 300, False, {"lifetime": 300}),
        ({"lifetime": 3600}, 300, False, {"lifetime": 3600}),
        ({"lifetime": 3600}, 300, True, {"lifetime": 3600, "until": 4600}),
        # A run that was killed between both
        ({}, 300, True, {"lifetime": 300, "until": 1300}),
        ({"lifetime": 3600, "until": 1200}, 300, True, {"lifetime": 3600, "until": 1200}),
        ({"lifetime": 3600, "until": 1200}, 9000, False, {"lifetime": 3600, "until": 1200}),
    ],
)
def test_longest_lifetime_counts_from_the_switch_on(
    record: dict[str, int], lifetime: int, is_switched: bool, expected: dict[str, int]
) -> None:
    assert site_traces.update_record(record, lifetime, is_switched, 1000) == expected


def test_record_is_kept_and_removed_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    folder = str(tmp_path / "moves")
    assert site_traces.read_record("docs", folder) == {}
    site_traces.write_record("docs", {"lifetime": 300, "until": 1300}, folder)
    assert site_traces.read_record("docs", folder) == {"lifetime": 300, "until": 1300}
    (tmp_path / "moves/docs.json").write_text('{"lifetime": ')
    assert site_traces.read_record("docs", folder) == {}
    site_traces.write_record("docs", {}, folder)
    assert list((tmp_path / "moves").iterdir()) == []


def test_files_are_removed_also_after_a_killed_removal(tmp_path: Path) -> None:
    for name in ("docs", ".old-docs", "blog"):
        (tmp_path / name / "releases").mkdir(parents=True)
    site_traces.remove_files("docs", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["blog"]
