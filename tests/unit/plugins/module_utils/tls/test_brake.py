"""Runs whose result is lost do not issue again and again; renewals at their time always do."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import brake

NOW = datetime.datetime(2030, 1, 31, tzinfo=datetime.UTC)
KEY = brake.make_key(["a.example.com"], "https://acme")
# Days: when it was issued before now, and when it must be renewed after now; None: the host never had it.
LOST, HAD, RENEWED = None, 60, -1


def pause(root: Path, *history: tuple[float, float | None], key: str = KEY) -> str:
    for ago, due in history:
        issued = NOW - datetime.timedelta(days=ago)
        seconds = 0 if due is None else (NOW + datetime.timedelta(days=due)).timestamp()
        brake.add(str(root), brake.Issued(key, issued.timestamp(), seconds))
    return brake.explain_pause(str(root), KEY, NOW)


@pytest.mark.parametrize(
    ("history", "until"),
    [
        ([], ""),
        # It had no effect: once a day, then after two days, then once the oldest of three is a week old.
        ([(0.1, LOST)], "2030-01-31 21:36"),
        ([(1.1, LOST)], ""),
        ([(2, LOST), (1, LOST)], "2030-02-01 00:00"),
        ([(3, LOST), (2.1, LOST)], ""),
        ([(6, LOST), (5, LOST), (3, LOST)], "2030-02-01 00:00"),
        ([(8, LOST), (7.5, LOST), (3, LOST)], ""),
        # It was in use and is lost: the disk can be full once or twice.
        ([(0.1, HAD), (0.05, HAD)], ""),
        ([(3, HAD), (2, HAD), (0.1, HAD)], "2030-02-04 00:00"),
        ([(3, HAD), (2, LOST), (0.1, HAD)], "2030-02-04 00:00"),
        # Certificates with a lifetime of a day.
        ([(3, RENEWED), (2, RENEWED), (1, RENEWED), (0.5, RENEWED)], ""),
        # The clock was wrong.
        ([(-400, LOST)], ""),
    ],
)
def test_next_attempt_depends_on_what_was_issued(
    tmp_path: Path, history: list[tuple[float, float | None]], until: str
) -> None:
    found = pause(tmp_path, *history)
    assert bool(found) is bool(until)
    assert until in found
    assert not found or f"to try earlier, remove {tmp_path}/.issued.json" in found


@pytest.mark.parametrize(
    "key", [brake.make_key(["a.example.com", "b"], "https://acme"), brake.make_key(["a.example.com"], "https://other")]
)
def test_other_domains_or_another_authority_are_not_paused(tmp_path: Path, key: str) -> None:
    assert pause(tmp_path, (0.3, LOST), (0.2, LOST), (0.1, LOST), key=key) == ""


def test_order_of_domains_does_not_matter() -> None:
    assert brake.make_key(["b", "a"], "https://acme") == brake.make_key(["a", "b"], "https://acme")


@pytest.mark.parametrize("text", ["", "x", "{}", '[["a"]]', "[1]", '[["a", "b", "c"]]'])
def test_damaged_list_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".issued.json").write_text(text)
    assert brake.read(str(tmp_path)) == []
    assert pause(tmp_path, (0.1, LOST)) != ""


def test_old_entries_are_forgotten(tmp_path: Path) -> None:
    pause(tmp_path, (9, HAD), (1, HAD))
    assert len(brake.read(str(tmp_path))) == 1
