"""The part on the controller: destinations, generation, prerequisites."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.vise.platform.plugins.action import component
from ansible_collections.vise.platform.plugins.module_utils.component import origins, programs, transaction
from ansible_collections.vise.platform.plugins.modules import component as module
from ansible_collections.vise.platform.plugins.plugin_utils import new_login, outside, run_lease, surveys

from tests import machines


@pytest.mark.parametrize(
    ("pattern", "item", "expected"),
    [
        ("/etc/a", None, "/etc/a"),
        ("/etc/{literal}", None, "/etc/{literal}"),
        ("/etc/{name}.conf", {"name": "docs"}, "/etc/docs.conf"),
    ],
)
def test_braces_are_replaced_by_keys_of_the_entry(pattern: str, item: dict[str, t.Any] | None, expected: str) -> None:
    assert component.expand_destination(pattern, item) == expected


def test_missing_key_is_reported_with_the_destination_and_the_keys() -> None:
    with pytest.raises(AnsibleActionFail, match=r"dest /etc/\{nmae\}: 'nmae' is not a key of the entry.*\['name'\]"):
        component.expand_destination("/etc/{nmae}", {"name": "docs"})


def arguments(content: str = "x", **more: t.Any) -> dict[str, t.Any]:
    return {"name": "demo", "files": [{"dest": "/a", "content": content}], **more}


def test_generation_replaces_its_placeholder_and_depends_on_every_option() -> None:
    result = component.add_generation(arguments(f"marker {component.GENERATION}"))
    assert result["files"][0]["content"] == f"marker {result['generation']}"
    variants = (arguments(), arguments("y"), arguments(check=["true"]))
    assert len({component.add_generation(variant)["generation"] for variant in variants}) == 3
    assert component.add_generation(arguments()) == component.add_generation(arguments())


def test_two_files_with_the_same_destination_are_refused() -> None:
    files = [{"dest": "/a", "content": "x"}, {"dest": "/a", "content": "y"}]
    with pytest.raises(AnsibleActionFail, match="demo: more than one file has the destination /a"):
        component.add_generation({"name": "demo", "files": files})


def test_prerequisites_are_packages_then_groups_then_users() -> None:
    prerequisites: dict[str, t.Any] = {
        "packages": ["nginx"],
        "absent_packages": ["telnet"],
        "groups": [{"name": "ops", "gid": None, "system": True}],
        "users": [{"name": "ada", "uid": None, "groups": ["ops"]}],
        "absent_users": ["eve"],
    }
    calls = list(component.plan_prerequisites(prerequisites))
    assert [module.rsplit(".", 1)[-1] for module, _options in calls] == ["apt", "apt", "group", "user"]
    assert calls[2][1] == {"name": "ops", "system": True}
    assert calls[3][1] == {"name": "ada", "groups": ["ops"], "append": False}


def program_files(module: str) -> dict[str, t.Any]:
    entry = {"name": "try-it", "module": module}
    return component.add_programs({"name": "demo", "files": [], "links": [], "programs": [entry]})


def test_program_is_a_launcher_a_link_and_each_file_that_it_imports() -> None:
    result = program_files("host.journal")
    directory = "/usr/local/lib/vise/try-it"
    modes = {file["dest"].removeprefix(directory): file["mode"] for file in result["files"]}
    assert modes == {
        "/run": "0755",
        "/vise_platform/host/files.py": "0644",
        "/vise_platform/host/journal.py": "0644",
    }
    assert result["links"] == [{"path": "/usr/local/sbin/vise-try-it", "target": f"{directory}/run"}]
    launcher = result["files"][0]["content"]
    assert launcher.startswith(f"#!/usr/bin/python3 -I\n# {origins.MANAGED}\n")
    assert '"""The journal of a change of several steps' in launcher


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[dict[str, str]], list[str]]:
    """Install a program from files of module_utils, and return how it is started; the main module is demo.main."""

    def install(sources: dict[str, str]) -> list[str]:
        for name, text in sources.items():
            path = tmp_path / "sources" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(component, "MODULE_UTILS", str(tmp_path / "sources"))
        monkeypatch.setattr(programs, "LIBRARY", str(tmp_path / "library"))
        for file in program_files("demo.main")["files"]:
            path = Path(file["dest"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
        return [sys.executable, "-I", str(tmp_path / "library/try-it/run")]

    return install


def test_installed_program_runs_from_any_directory_and_returns_its_exit_code(
    install: t.Callable[[dict[str, str]], list[str]],
) -> None:
    argv = install(
        {
            "demo/main.py": '"""Add."""\nfrom __future__ import annotations\n'
            "from .parts import (  # a, (b\n    add,  # c)\n)\n"
            "def main(arguments):\n    from . import late\n    print(add(*arguments) + late.TEXT)\n    return 3\n",
            "demo/parts.py": "from ..low import one\n\ndef add(a, b):\n    return a + b + one.ONE\n",
            "demo/late.py": 'TEXT = "!"\n',
            "low/one.py": 'ONE = "1"\n',
        }
    )
    done = subprocess.run([*argv, "a", "b"], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (3, "ab1!\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_commands_of_a_program_end_with_it(
    install: t.Callable[[dict[str, str]], list[str]], tmp_path: Path, number: signal.Signals
) -> None:
    note = tmp_path / "pid"
    host = Path(component.MODULE_UTILS) / "host/programs.py"
    main = f"""from ..host import programs
def main(arguments):
    # It sleeps first, so that the program waits for it when the signal comes.
    programs.run(["sh", "-c", "sleep 0.5; echo $$ >{note}.new; mv {note}.new {note}; exec sleep 60"])
"""
    argv = install({"demo/main.py": main, "host/programs.py": host.read_text()})
    with subprocess.Popen(argv) as program:
        assert machines.eventually(note.exists)
        program.send_signal(number)
        # As without a handler: systemd counts it as stopped, not as failed.
        assert program.wait() == -number
    assert not Path("/proc", note.read_text().strip()).exists()


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("Try_It", "host.files", "a name has lower-case letters"),
        ("try-it", "host.gone", "the component needs module_utils/host/gone.py, which does not exist"),
        ("try-it", "mailcow.client", "mailcow/client.py imports ansible, which is not on a host"),
    ],
)
def test_program_that_cannot_run_on_a_host_is_refused(name: str, module: str, message: str) -> None:
    arguments = {"name": "demo", "files": [], "links": [], "programs": [{"name": name, "module": module}]}
    with pytest.raises(AnsibleActionFail, match=f"demo: program {name}: .*{message}"):
        component.add_programs(arguments)


def test_each_file_is_shipped_with_what_the_parser_finds() -> None:
    for path in sorted(Path(component.MODULE_UTILS).rglob("*.py")):
        name = ".".join(path.relative_to(component.MODULE_UTILS).with_suffix("").parts)
        found = set(programs._imported(name, path.read_text(), component.read_module_util))
        expected = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                parent = ".".join([*name.split(".")[: -node.level], *filter(None, [node.module])])
                is_module = (
                    bool(node.module) and component.read_module_util(parent.replace(".", "/") + ".py") is not None
                )
                expected |= {parent} if is_module else {f"{parent}.{alias.name}".lstrip(".") for alias in node.names}
        assert found == expected, path


def test_packages_have_no_code_of_their_own_because_programs_lack_it() -> None:
    for path in Path(component.MODULE_UTILS).rglob("__init__.py"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert not lines or (len(lines) == 1 and lines[0].startswith('"""')), path


SITE = outside.Target(443, "site", "docs.example.org")
GOOD, BAD = outside.Answer(outside.ANSWERED, "status 200"), outside.Answer(outside.CLIENT_ERROR, "status 403")
CONFIRM = {"open_ports": [], "sites": [{"domain": "docs.example.org", "port": 443, "locked": False}], "answers": None}


HOST = {"inventory_hostname": "a"}


class Action(component.ActionModule):
    """The action plugin, whose module returns given results."""

    def __init__(self, *results: dict[str, t.Any]) -> None:
        self.results, self.calls = list(results), list[tuple[str, dict[str, t.Any]]]()

    def _call(self, module: str, arguments: dict[str, t.Any], _task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        self.calls.append((module.rsplit(".", 1)[-1], arguments))
        return dict(self.results.pop(0))

    @property
    def sent_answers(self) -> list[t.Any]:
        """What each execution got as the answers of the host from before the change."""
        return [arguments["confirm"]["answers"] for _module, arguments in self.calls]


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[list[outside.Target]]:
    """Answer each probe with an error; return the targets of each."""
    calls: list[list[outside.Target]] = []

    def probe(_address: str, targets: list[outside.Target]) -> outside.Answers:
        calls.append(targets)
        return dict.fromkeys(targets, BAD)

    monkeypatch.setattr(new_login, "read_address", lambda _action: "192.0.2.1")
    monkeypatch.setattr(outside, "probe", probe)
    return calls


def test_run_without_a_change_probes_nothing(probes: list[list[outside.Target]]) -> None:
    action = Action({"changed": False})
    assert action._apply({"name": "demo", "confirm": CONFIRM}, HOST) == ({"changed": False}, {})
    assert (action.sent_answers, probes) == ([None], [])


def test_host_is_probed_before_its_first_change(probes: list[list[outside.Target]]) -> None:
    action = Action({"changed": False, "awaited_answers": []}, {"changed": True})
    result, answers = action._apply({"name": "demo", "confirm": CONFIRM}, HOST)
    assert (result, answers, probes) == ({"changed": True}, {SITE: BAD}, [[SITE]])
    assert action.sent_answers == [None, outside.to_json({SITE: BAD})]


@pytest.mark.usefixtures("probes")
def test_answers_from_before_an_unconfirmed_change_count() -> None:
    earlier = outside.to_json({SITE: GOOD})
    action = Action({"changed": False, "awaited_answers": earlier}, {"changed": True})
    assert action._apply({"name": "demo", "confirm": CONFIRM}, HOST)[1] == {SITE: GOOD}
    # The next change of this component replaces the record of the host.
    assert action.sent_answers == [None, earlier]


HELD = {"run": "ansible-local-1abcdefgh", "who": "bob", "origin": "desk", "command": "site.yml", "machine": "other"}


@pytest.mark.usefixtures("probes")
def test_host_that_another_run_changes_is_refused() -> None:
    action = Action({"changed": False, "held_by": {**HELD, "since": 0, "silent": 5}})
    result, _answers = action._apply({"name": "demo", "confirm": None, "lease": {"run": "own"}}, {})
    assert result["failed"]
    assert "demo: refused, nothing was changed: bob runs site.yml from desk on this host" in result["msg"]


@pytest.mark.usefixtures("probes")
def test_lease_of_a_dead_run_of_this_controller_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lease, "has_ended", lambda lease: lease["run"] == HELD["run"])
    marked: list[str] = []
    monkeypatch.setattr(run_lease, "mark_used", marked.append)
    action = Action({"changed": False, "held_by": HELD}, {"changed": True})
    result, _answers = action._apply(
        {"name": "demo", "confirm": None, "lease": {"run": "own"}}, {"inventory_hostname": "a"}
    )
    assert result == {"changed": True}
    assert [arguments["lease"] for _module, arguments in action.calls] == [
        {"run": "own"},
        {"run": "own", "ends": HELD["run"]},
    ]
    assert marked == ["a"]


@pytest.mark.parametrize("show_diff", [True, False])
def test_skipped_component_returns_what_the_module_returns_without_a_difference(show_diff: bool) -> None:
    nothing = transaction.Plan(transaction.Prerequisites([], [], [], [], [], [], []), [], [], [], False, {}, "", False)
    expected = {"generation": "g", **module.build_result(nothing, False, show_diff)}
    assert component.build_unchanged_result("g", show_diff) == expected


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"generation": "g", "differences": []}, ""),
        ({}, "not surveyed"),
        ({"generation": "h", "differences": []}, "its description has changed"),
        ({"generation": "g", "differences": ["write /a", "start b.service"]}, "found: write /a; start b.service"),
    ],
)
def test_component_is_executed_unless_the_survey_found_exactly_its_state(found: dict[str, t.Any], reason: str) -> None:
    explained = component.explain_execution(found, "g")
    assert reason in explained
    assert bool(explained) is bool(reason)


@pytest.mark.parametrize(("delegated", "right"), [(None, True), ("other", False)])
def test_delegated_component_is_executed_whatever_the_survey_found(
    monkeypatch: pytest.MonkeyPatch, delegated: str | None, right: bool
) -> None:
    monkeypatch.setattr(surveys, "are_allowed", lambda: True)
    monkeypatch.setattr(surveys, "identify", lambda _action, host: host)
    found = {"generation": "g", "differences": []}
    monkeypatch.setattr(surveys, "take", lambda _key, _name: found)
    action = Action()
    action._task, action._display = SimpleNamespace(delegate_to=delegated), Display()
    assert action._is_surveyed_right({"name": "web", "generation": "g"}, {"inventory_hostname": "a"}) is right


def test_copies_of_both_executions_are_reported_and_the_second_one_does_not_search() -> None:
    needs = {"packages": ["a"], "absent_packages": [], "groups": [], "users": []}
    kept, more = {"path": "/etc/a", "copy": "/kept/a"}, {"path": "/etc/b", "copy": "/kept/b"}
    action = Action(
        {"changed": True, "actions": ["install a"], "prerequisites": needs, "copies": [kept], "warnings": ["a"]},
        {"changed": True},
        {"changed": True, "actions": ["write /etc/a"], "copies": [more], "warnings": ["b"]},
    )
    result, _answers = action._apply({"name": "demo", "take_over": ["nginx"]}, HOST)
    assert (result["copies"], result["warnings"]) == ([kept, more], ["a", "b"])
    assert [(name, options.get("prepared"), options.get("take_over")) for name, options in action.calls] == [
        ("component", None, ["nginx"]),
        ("apt", None, None),
        ("component", True, ["nginx"]),
    ]
