"""The plan as a table, and its application."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import (
    Client,
    MailcowDown,
    Refused,
    UnknownObject,
)

from tests.unit.plugins.mailcow import DONE, KEY, URL, danger, scripted

KIND = sync.Kind("thing", "name", dict, lambda changes, _current: changes, ("password",), ("token",))


def entry(name: str, state: str = "present", **options: t.Any) -> dict[str, t.Any]:
    return {"name": name, "state": state, "size": None, "password": None, "token": None, **options}


def existing(*names: str) -> dict[str, sync.Current]:
    return {name: sync.Current(f"id-{name}", {"name": name, "size": 1, "token": "s3cret"}) for name in names}


@pytest.mark.parametrize(
    ("wanted", "purge", "always", "texts"),
    [
        ([], [], False, []),
        ([entry("a")], [], False, []),
        ([entry("a", size=1, token="s3cret")], [], False, []),  # noqa: S106
        ([entry("a", size=2)], [], False, ["edit thing a: size"]),
        ([entry("a", token="s3cret2")], [], False, ["edit thing a: token"]),  # noqa: S106
        ([entry("a", password="s3cret")], [], False, []),  # noqa: S106
        ([entry("a", password="s3cret")], [], True, ["edit thing a: password"]),  # noqa: S106
        ([entry("a")], [], True, []),
        ([entry("c", size=3)], [], False, ["add thing c"]),
        ([entry("a", "absent"), entry("c", "absent")], [], False, ["delete thing a"]),
        ([entry("c"), entry("a")], ["a", "b"], False, ["delete thing b", "add thing c"]),
        (
            [entry("c"), entry("b", size=2), entry("a", "absent")],
            [],
            False,
            ["delete thing a", "edit thing b: size", "add thing c"],
        ),
    ],
)
def test_plan(wanted: list[t.Any], purge: list[str], always: bool, texts: list[str]) -> None:
    steps = sync.plan(KIND, wanted, existing("a", "b"), purge, always)
    assert [step.text for step in steps] == texts
    assert "s3cret" not in str([(step.before, step.after, sync.format_diff(step)) for step in steps])


def test_equal_changes_share_one_call_and_additions_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [entry("a", size=2), entry("b", size=2), entry("c", size=2), entry("d", "absent"), entry("e", "absent")]
    steps = sync.plan(KIND, wanted, existing("a", "b", "d", "e"))
    script = scripted(
        monkeypatch,
        ("delete/thing", ["id-d", "id-e"], DONE),
        ("edit/thing", {"items": ["id-a", "id-b"], "attr": {"size": 2}}, DONE),
        ("add/thing", {"name": "c", "size": 2}, DONE),
    )
    sync.apply(Client(URL, KEY), steps, [])
    assert script.calls == []


def test_failure_names_the_steps_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, ("delete/thing", ["id-b"], DONE), ("add/thing", {"name": "c"}, danger("object_exists", "c")))
    steps = sync.plan(KIND, [entry("c"), entry("b", "absent")], existing("b"))
    with pytest.raises(
        Refused, match=r"add thing c: .*the object already exists.*changed before this error: delete thing b"
    ):
        sync.apply(Client(URL, KEY), steps, [])


def test_accepted_change_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, *[("add/thing", {"name": "c"}, DONE)] * 2)
    with pytest.raises(Refused, match="they are missing: add thing c"):
        sync.converge(Client(URL, KEY), lambda _client, _params: sync.plan(KIND, [entry("c")], {}), {}, False)


ADD_C, ADD_D = (("add/thing", {"name": name}, DONE) for name in "cd")
TAKEN_C, TAKEN_D = (("add/thing", {"name": name}, danger("object_exists", name)) for name in "cd")
EDIT_C = ("edit/thing", {"items": ["id-c"], "attr": {"size": 2}})


@pytest.mark.parametrize(
    ("plans", "calls", "refusal"),
    [
        # mailcow gave the new object a value of its own
        ([["c"], [("c", 2)], []], [ADD_C, (*EDIT_C, DONE)], ""),
        ([["c"], [("c", 2)], [("c", 2)]], [ADD_C, (*EDIT_C, DONE)], "they are missing: edit thing c: size"),
        # A run in parallel was first, and applied all, a part, or other values
        ([["c"], []], [TAKEN_C], ""),
        ([["c", "d"], ["d"], []], [TAKEN_C, ADD_D], ""),
        ([["c"], [("c", 2)], []], [TAKEN_C, (*EDIT_C, DONE)], ""),
        ([["c", "d"], ["d"], []], [TAKEN_C, TAKEN_D], ""),
        # No run in parallel, or mailcow does not answer
        ([["c"]], [TAKEN_C], "add thing c: .*the object already exists"),
        (
            [["c", "d"], ["c", "d"]],
            [TAKEN_C],
            "add thing c: .*the object already exists.*; nothing was changed before this error",
        ),
        (
            [["c", "d"], ["d"]],
            [ADD_C, TAKEN_D],
            "add thing d: .*the object already exists.*; changed before this error: add thing c",
        ),
        (
            [["c"], [("c", 2)], [("c", 2)]],
            [ADD_C, (*EDIT_C, danger("no"))],
            "edit thing c: size: .*; changed before this error: add thing c",
        ),
    ],
)
def test_remaining_steps_are_applied_once_more(
    monkeypatch: pytest.MonkeyPatch, plans: list[list[t.Any]], calls: list[tuple[t.Any, ...]], refusal: str
) -> None:
    left = list(plans)

    def planner(_client: Client, _params: dict[str, t.Any]) -> list[sync.Step]:
        steps: list[sync.Step] = []
        if not left:
            raise MailcowDown("gone")
        for one in left.pop(0):
            there, wanted = ({}, entry(one)) if isinstance(one, str) else (existing(one[0]), entry(one[0], size=one[1]))
            steps += sync.plan(KIND, [wanted], there)
        return steps

    script = scripted(monkeypatch, *calls)
    with pytest.raises(Refused, match=refusal) if refusal else contextlib.nullcontext():
        steps = sync.converge(Client(URL, KEY), planner, {}, False)
        assert [step.name for step in steps] == plans[0]
    assert (left, script.calls) == ([], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), ("1", True), (True, True), ("true", True), (0, False), ("0", False), (None, False)],
)
def test_flags_have_several_types(value: t.Any, expected: bool) -> None:
    assert sync.to_flag(value) is expected


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), (3.0, 3), ("", 0), (None, 0)])
def test_numbers_have_several_types(value: t.Any, expected: int) -> None:
    assert sync.to_number(value) == expected


NUMBER = sync.Reference("relay", "host", "a")


@pytest.mark.parametrize(("rows", "expected"), [([{"id": "3", "host": "b"}, {"id": "4", "host": "a"}], 4), ([], None)])
def test_reference_is_resolved_when_its_call_is_made(
    monkeypatch: pytest.MonkeyPatch, rows: list[t.Any], expected: int | None
) -> None:
    step = sync.Step("edit", "thing", "x", 1, {"size": 2, "relay": NUMBER})
    change = [("edit/thing", {"items": [1], "attr": {"size": 2, "relay": expected}}, DONE)] if expected else []
    script = scripted(monkeypatch, ("get/relay/all", rows), *change)
    with contextlib.nullcontext() if expected else pytest.raises(UnknownObject, match="relay a does not exist"):
        sync.apply(Client(URL, KEY), [step], [])
    assert script.calls == []


@pytest.mark.parametrize(
    ("state", "size", "texts"), [("absent", 2, ["edit thing a: size"]), ("absent", 0, []), ("present", 0, [])]
)
def test_absent_object_of_a_kind_with_a_default_is_reset_to_it(state: str, size: int, texts: list[str]) -> None:
    kind = KIND._replace(default=lambda name: sync.Current(name, {"name": name, "size": 0}))
    current = {"a": sync.Current("a", {"name": "a", "size": size})} if size else {}
    steps = sync.plan(kind, [entry("a", state, size=0)], current)
    assert [step.text for step in steps] == texts
    assert [step.attributes for step in steps] == [{"size": 0}] * len(texts)
