"""The planner, tested with tables of plain values."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import plan
from ansible_collections.vise.platform.plugins.module_utils.component.model import (
    ABSENT,
    Change,
    Command,
    Manifest,
    Node,
    Unit,
    UnitState,
    Wanted,
)

FILE = Node("file", "a\n", "root", "root", "0644")
OTHER = Node("file", "b\n", "root", "root", "0644")
OPEN = Node("file", "a\n", "root", "root", "0666")
FOLDER = Node("directory", owner="root", group="root", mode="0755")
LINK = Node("link", "target")
RUNNING = UnitState("loaded", "active", "enabled")


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        ({"/a": FILE}, {"/a": FILE}, []),
        ({"/a": FILE}, {}, ["create /a"]),
        ({"/a": FILE}, {"/a": OTHER}, ["write /a"]),
        ({"/a": FILE}, {"/a": OPEN}, ["chmod/chown /a"]),
        ({"/a": ABSENT}, {"/a": FILE}, ["remove /a"]),
        ({"/a": ABSENT}, {}, []),
        ({"/a": LINK}, {"/a": Node("link", "elsewhere")}, ["write /a"]),
        ({"/a": LINK}, {"/a": FILE}, ["write /a"]),
        ({"/d/a": FILE, "/d": FOLDER}, {}, ["create /d", "create /d/a"]),
        ({"/d": ABSENT, "/d/a": ABSENT}, {"/d": FOLDER, "/d/a": FILE}, ["remove /d/a", "remove /d"]),
        ({"/a": ABSENT, "/b": FILE}, {"/a": FILE}, ["create /b", "remove /a"]),
    ],
)
def test_differing_paths_are_planned_in_a_safe_order(
    wanted: dict[str, Node], observed: dict[str, Node], expected: list[str]
) -> None:
    assert [plan.describe_change(change) for change in plan.plan_paths(wanted, observed)] == expected


def test_secret_flag_of_a_file_is_not_a_difference() -> None:
    assert plan.plan_paths({"/a": Node("file", "x", secret=True)}, {"/a": Node("file", "x")}) == []


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (FOLDER, FILE, True),
        (FILE, FOLDER, True),
        (Node("other"), FILE, True),
        (FOLDER, ABSENT, False),
        (ABSENT, FOLDER, False),
        (LINK, FILE, False),
        (FOLDER, Node("directory", owner="a", group="b", mode="0700"), False),
    ],
)
def test_change_that_could_lose_data_is_refused(before: Node, after: Node, refused: bool) -> None:
    assert bool(plan.explain_refusal([Change("/a", before, after)])) is refused


def test_owned_or_purgeable_path_that_is_not_wanted_is_removed() -> None:
    wanted = Wanted("x", "g", nodes={"/keep": FILE})
    assert plan.unwanted_paths(wanted, Manifest(paths=("/keep", "/old")), {"/foreign", "/keep"}) == {"/old", "/foreign"}


@pytest.mark.parametrize(
    ("unit", "state", "paths", "stale", "expected"),
    [
        (Unit("u"), RUNNING, [], False, []),
        (Unit("u"), UnitState(), [], False, ["enable", "start"]),
        (Unit("u"), UnitState("loaded", "failed", "enabled"), ["/a"], False, ["start"]),
        (Unit("u"), UnitState("loaded", "inactive", "masked"), [], False, ["unmask", "enable", "start"]),
        (Unit("u"), UnitState("loaded", "active", "static"), [], False, []),
        (Unit("u", enabled=False), RUNNING, [], False, ["disable"]),
        (Unit("u", enabled=None), UnitState("loaded", "active", "disabled"), [], False, []),
        (Unit("u", state="stopped", enabled=False), RUNNING, ["/a"], False, ["disable", "stop"]),
        (Unit("u", state="stopped", enabled=False), UnitState("loaded", "failed", "disabled"), [], False, []),
        (Unit("u", state=None), UnitState("loaded", "inactive", "enabled"), [], False, []),
        (Unit("u", state=None), UnitState("loaded", "inactive", "enabled"), ["/a"], False, ["restart"]),
        (Unit("u"), RUNNING, ["/a"], False, ["restart"]),
        (Unit("u", activation="reload"), RUNNING, ["/a"], False, ["reload"]),
        (Unit("u", activation="none"), RUNNING, ["/a"], True, []),
        (Unit("u", watch=("/b/*",)), RUNNING, ["/a"], False, []),
        (Unit("u", watch=("/b/*",)), RUNNING, ["/a", "/b/deep/c"], False, ["restart"]),
        (Unit("u", activation="reload", restart_on=("/a",)), RUNNING, ["/a", "/b"], False, ["restart"]),
        (Unit("u", activation="reload"), RUNNING, [], True, ["reload"]),
    ],
)
def test_unit_gets_the_verbs_that_its_state_and_the_changes_need(
    unit: Unit, state: UnitState, paths: list[str], stale: bool, expected: list[str]
) -> None:
    assert plan.plan_unit(unit, state, paths, stale) == expected


@pytest.mark.parametrize(
    ("paths", "stale", "expected"), [([], False, 0), (["/a"], False, 0), (["/etc/ufw/x"], False, 1), ([], True, 1)]
)
def test_command_runs_when_a_watched_file_changes_or_a_probe_failed(
    paths: list[str], stale: bool, expected: int
) -> None:
    assert len(plan.plan_commands([Command(("ufw", "reload"), ("/etc/ufw/*",))], paths, stale)) == expected


def test_command_without_a_changed_file_does_not_run_by_default() -> None:
    assert plan.plan_commands([Command(("ufw", "reload"), ("/etc/ufw/*",))], ["/etc/other"]) == []


@pytest.mark.parametrize(
    ("state", "paths", "expected"),
    [
        (RUNNING, ["/etc/nginx/nginx.conf"], False),
        (RUNNING, ["/etc/systemd/system/a.service.d/b.conf"], True),
        (UnitState("loaded", "active", "enabled", needs_reload=True), [], True),
    ],
)
def test_daemon_reload_follows_changed_unit_files(state: UnitState, paths: list[str], expected: bool) -> None:
    assert plan.needs_daemon_reload({"u": state}, paths) is expected


@pytest.mark.parametrize(
    ("account", "differs"),
    [
        ({"name": "ada", "shell": "/bin/bash"}, False),
        ({"name": "ada", "shell": "/bin/sh"}, True),
        ({"name": "ada", "shell": None, "groups": ["b", "a"]}, False),
        ({"name": "ada", "groups": ["a"]}, True),
        ({"name": "ada", "groups": ["a", "b"], "system": True}, False),
        ({"name": "eve"}, True),
    ],
)
def test_only_given_properties_of_an_account_are_compared(account: dict[str, object], differs: bool) -> None:
    observed = {"ada": {"name": "ada", "shell": "/bin/bash", "groups": ["a", "b"], "uid": 1000}}
    assert bool(plan.plan_accounts([account], observed)) is differs


def test_diff_shows_owner_mode_and_content() -> None:
    shown = plan.build_diff(Change("/a", ABSENT, FILE))
    assert (shown["before"], shown["after"]) == ("", "file root:root 0644\na\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Node("file", "old-canary"), Node("file", "new-canary", secret=True)),
        (ABSENT, Node("file", "new-canary", secret=True)),
        (Node("file", "old-canary", secret=True), ABSENT),
    ],
)
def test_diff_never_shows_a_secret(before: Node, after: Node) -> None:
    shown = plan.build_diff(Change("/a", before, after))
    assert "canary" not in str(shown)
    assert shown["before"] != shown["after"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (ABSENT, Node("file", "new"), "install program demo (2 files)"),
        (Node("file", "old"), Node("file", "new"), "update program demo (2 files)"),
        (Node("file", "old"), ABSENT, "remove program demo (2 files)"),
    ],
)
def test_files_of_a_program_are_one_action_without_a_diff(before: Node, after: Node, expected: str) -> None:
    library = "/usr/local/lib/vise/demo"
    changes = [
        Change(library, ABSENT, Node("directory")) if before == ABSENT else Change("/etc/x", before, after),
        Change(f"{library}/run", before, after),
        Change("/etc/a", ABSENT, Node("file")),
        Change(f"{library}/vise_platform/demo.py", before, after),
    ]
    assert expected in plan.describe_changes(changes)
    assert "create /etc/a" in plan.describe_changes(changes)
    assert not [diff for diff in plan.build_diffs(changes) if library in diff["before_header"]]


@pytest.mark.parametrize(
    ("path", "after", "removed"),
    [
        ("/usr/local/lib/vise/demo/run", ABSENT, True),
        ("/usr/local/sbin/vise-demo", ABSENT, True),
        ("/usr/local/sbin/vise-demo", Node("link", "../lib/vise/demo/run"), False),
        ("/etc/demo.conf", ABSENT, False),
    ],
)
def test_programs_are_removed_only_after_what_uses_them(path: str, after: Node, removed: bool) -> None:
    assert plan.removes_program(Change(path, Node("file", "old"), after)) is removed
