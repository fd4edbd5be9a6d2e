"""The plan of a rotation by states and time, also after a run that was interrupted at any step."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.dkim import rotation

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
TIMES = rotation.Times(lifetime=180, overlap=7, settle=1800)


def key(selector: str, state: str, days_ago: float = 0, kind: str = "rsa", **since: float) -> rotation.Entry:
    times = {name: (NOW - datetime.timedelta(days=ago)).strftime(rotation.FORMAT) for name, ago in since.items()}
    own = {state: (NOW - datetime.timedelta(days=days_ago)).strftime(rotation.FORMAT)}
    return {"domain": "a.test", "selector": selector, "state": state, "type": kind, "since": {**times, **own}}


def plan(*found: rotation.Entry, force: bool = False) -> dict[str, t.Any]:
    return rotation.plan(list(found), "a.test", NOW, TIMES, force)


def test_nothing_is_due_while_the_key_is_young() -> None:
    result = plan(key("s1", "active", 10))
    assert (result["selector"], result["retire"], result["steps"]) == ("", [], ["nothing is due"])
    assert result["next"] == "Run this again after 2026-08-18 12:00 UTC to rotate s1."


@pytest.mark.parametrize(
    ("found", "force"),
    [([], False), ([key("s1", "active", 180)], False), ([key("s1", "active")], True), ([key("s1", "retiring")], False)],
)
def test_new_key_is_due(found: list[rotation.Entry], force: bool) -> None:
    result = plan(*found, force=force)
    assert result["selector"].startswith("s20260301-")
    assert result["steps"][0] == f"create {result['selector']}"


def test_selectors_are_unique() -> None:
    assert plan()["selector"] != plan()["selector"]


@pytest.mark.parametrize("state", ["made", "published", "switching"])
@pytest.mark.parametrize("force", [False, True])
def test_key_in_progress_is_completed_and_no_other_is_created(state: str, force: bool) -> None:
    result = plan(key("s1", "active", 200), key("s2", state), force=force)
    assert (result["selector"], result["active"]) == ("s2", "s1")
    assert "create" not in " ".join(result["steps"])


def test_keys_of_other_domains_and_ed25519_keys_are_ignored() -> None:
    result = plan(key("s1", "active", 1), key("e", "made", kind="ed25519"), {**key("o", "made"), "domain": "b.test"})
    assert result["selector"] == ""


@pytest.mark.parametrize(("days", "retire"), [(6.9, []), (7, ["s0"]), (30, ["s0"])])
def test_old_key_is_retired_when_its_overlap_is_over(days: float, retire: list[str]) -> None:
    result = plan(key("s1", "active", days), key("s0", "retiring", days), key("s", "retired", 50))
    assert result["retire"] == retire
    assert result["retired"] == ["s", *retire]


def test_retirement_comes_before_the_next_rotation() -> None:
    result = plan(key("s1", "active", 1), key("s0", "retiring", 1))
    assert result["next"] == "Run this again after 2026-03-07 12:00 UTC to retire s0."


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (key("s1", "made"), 1800),
        (key("s1", "published", 600 / 86400), 1200),
        (key("s1", "published", 1), 0),
        (key("s1", "switching", published=1), 0),
    ],
)
def test_continued_run_waits_for_the_remaining_time(found: rotation.Entry, seconds: int) -> None:
    assert plan(key("s0", "active"), found)["settle"] == seconds
    assert plan(key("s0", "retiring"), found)["settle"] == seconds


def test_first_key_does_not_wait() -> None:
    assert plan(key("s1", "published"))["settle"] == 0


def test_plan_has_the_options_of_each_module() -> None:
    found = [key("s1", "active", 200), key("s2", "published", 1), key("s0", "retiring", 10)]
    found += [{**key("o1", "active", 1), "domain": "b.test"}]
    result = rotation.plan_all(found, ["a.test", "b.test"], NOW, TIMES, False)
    own = {"domain": "a.test", "selector": "s2"}
    assert result["begin"] == [{**own, "state": "present"}, {"domain": "a.test", "selector": "s0", "state": "retired"}]
    assert [result[state] for state in ("switching", "active")] == [
        [{**own, "state": state}] for state in ("switching", "active")
    ]
    assert result["sign"] == [{**own, "forget": ["s0"]}, {"domain": "b.test", "selector": "o1", "forget": []}]
    assert result["back"] == [{"domain": "a.test", "selector": "s1"}]
    assert result["settle"] == 0
    assert result["steps"][-1] == "b.test: nothing is due"


def test_first_key_has_no_rollback() -> None:
    result = rotation.plan_all([], ["a.test"], NOW, TIMES, False)
    assert result["back"] == []
    assert result["sign"][0]["selector"] == result["begin"][0]["selector"]


@pytest.mark.parametrize(
    ("state", "left"),
    [("made", ["published", "switching", "active"]), ("published", ["switching", "active"]), ("switching", ["active"])],
)
def test_state_that_an_interrupted_run_has_recorded_is_not_recorded_again(state: str, left: list[str]) -> None:
    result = rotation.plan_all([key("s0", "active"), key("s1", state)], ["a.test"], NOW, TIMES, False)
    assert [name for name in ("published", "switching", "active") if result[name]] == left
