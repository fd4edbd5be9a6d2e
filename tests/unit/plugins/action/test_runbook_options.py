"""Which variables of a runbook are refused, and what is printed then."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.vise.platform.plugins.action import runbook_options
from ansible_collections.vise.platform.plugins.action.runbook_options import ActionModule, check, message

OPTIONS: dict[str, Any] = {
    "restore_set": {"type": "str", "required": True},
    "restore_replace_live": {"type": "str", "group": "all", "in_run": True},
    "restore_host": {"type": "str", "group": "cache"},
    "restore_target_time": {"type": "str"},
    "restore_target_lsn": {"type": "str"},
    "restore_mode": {"type": "str", "choices": ["copy", "delta"], "default": "copy"},
    "restore_archiving": {"type": "bool", "default": True},
    "restore_repository": {"type": "int"},
}
ARGUMENTS: dict[str, Any] = {
    "usage": "restore_set=SET",
    "prefixes": ["restore_"],
    "options": OPTIONS,
    "mutually_exclusive": [["restore_target_time", "restore_target_lsn"]],
    "required_by": {"restore_target_lsn": ["restore_repository"]},
}
HOSTS: dict[str, Any] = {
    "groups": {"all": ["cache-1", "db-1", "db-2"], "cache": ["cache-1"]},
    "ansible_play_hosts_all": ["cache-1", "db-1"],
}


def problems(*extra: str, **values: Any) -> list[str]:
    """Return the problems of values, with these further names given by -e."""
    return check(ARGUMENTS, {"restore_set": "files", **values}, [*extra, *values], HOSTS)[1]


def test_values_get_their_types_and_defaults() -> None:
    values = {"restore_set": "files", "restore_archiving": "false", "restore_repository": "2"}
    validated, found = check(ARGUMENTS, values, values, HOSTS)
    assert found == []
    assert validated == dict.fromkeys(OPTIONS) | {
        "restore_set": "files",
        "restore_mode": "copy",
        "restore_archiving": False,
        "restore_repository": 2,
    }


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"restore_archiving": "perhaps"}, "argument 'restore_archiving' is of type str and we were unable to convert"),
        ({"restore_repository": "first"}, "argument 'restore_repository' is of type str and we were unable to convert"),
        ({"restore_mode": "move"}, "value of restore_mode must be one of: copy, delta, got: move"),
        ({"restore_target_time": "now", "restore_target_lsn": "0/1", "restore_repository": 1}, "mutually exclusive"),
        ({"restore_target_lsn": "0/1"}, "missing parameter(s) required by 'restore_target_lsn': restore_repository"),
        ({"restore_replace_live": "db1"}, "db1 is not a host of the inventory; did you mean db-1?"),
        ({"restore_replace_live": "web"}, "web is not a host of the inventory; its hosts are cache-1, db-1, db-2"),
        ({"restore_replace_live": "db-2"}, "restore_replace_live: db-2 is not part of this run; remove --limit"),
        ({"restore_host": "db-1"}, "db-1 is not a host of group cache of the inventory; its hosts are cache-1"),
    ],
)
def test_wrong_value_is_refused(values: dict[str, Any], problem: str) -> None:
    (found,) = problems(**values)
    assert problem in found


def test_host_outside_of_this_run_is_accepted_where_only_its_group_matters() -> None:
    values = {"restore_set": "files", "restore_host": "cache-1"}
    assert check(ARGUMENTS, values, values, {**HOSTS, "ansible_play_hosts_all": []})[1] == []


@pytest.mark.parametrize("missing", [["required_together"], ["required_one_of"]])
def test_relations_of_the_specification_are_validated(missing: list[str]) -> None:
    relation = {missing[0]: [["restore_target_time", "restore_target_lsn"]]}
    values = {"restore_set": "files", **({"restore_target_time": "now"} if missing == ["required_together"] else {})}
    (found,) = check({**ARGUMENTS, **relation}, values, [], HOSTS)[1]
    assert "restore_target_time, restore_target_lsn" in found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("restore_targt_time", "this runbook has no such option; did you mean restore_target_time?"),
        ("restore_zzzzzzzzzzzzzzzz", "the options are restore_archiving, restore_host, "),
        # The prefix itself is misspelt.
        ("retsore_target_time", "did you mean restore_target_time?"),
        ("restoretarget_time", "did you mean restore_target_time?"),
        # The prefix or the end is missing.
        ("archiving", "did you mean restore_archiving?"),
        ("target_lsn", "did you mean restore_target_lsn?"),
        ("restore", "did you mean restore_archiving?"),
    ],
)
def test_misspelt_option_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    (found,) = problems(name)
    assert found.startswith(f"{name}: ")
    assert hint in found


@pytest.mark.parametrize(
    "name", ["database_version", "ansible_user", "backups_enabled", "drill_found", "domain", "place"]
)
def test_other_variables_may_be_given(name: str) -> None:
    assert problems(name) == []


def test_all_problems_are_reported_at_once_and_before_the_usage() -> None:
    _validated, found = check(ARGUMENTS, {"restore_mode": "move"}, ["restore_mod"], HOSTS)
    text = message(found, ARGUMENTS["usage"])
    assert text.splitlines() == [
        "The options are not valid; nothing was changed.",
        "- restore_mod: this runbook has no such option; did you mean restore_mode?",
        "- missing required arguments: restore_set",
        "- value of restore_mode must be one of: copy, delta, got: move",
        "",
        "Usage:",
        "restore_set=SET",
    ]


def run(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    """Run the action as a task of a play does."""
    monkeypatch.setattr(load_extra_vars, "extra_vars", extra, raising=False)
    loader = DataLoader()
    given = {**HOSTS, **variables, **extra}
    task = Task.load({"vise.platform.runbook_options": ARGUMENTS}, loader=loader)
    templar = Templar(loader=loader, variables=given)
    # It never connects; the base class only reads where the connection's staging directory is.
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
    action = ActionModule(task, connection, PlayContext(), loader, templar, None)
    result: dict[str, Any] = action.run(task_vars=given)
    return result


def test_action_reads_variables_of_any_source_and_evaluates_them(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"kind": "files", "restore_set": trust_as_template("{{ kind }}")}
    result = run(monkeypatch, {"restore_repository": "1"}, variables)
    assert not result.get("failed"), result
    assert result["changed"] is False
    assert (result["options"]["restore_set"], result["options"]["restore_repository"]) == ("files", 1)


@pytest.mark.parametrize("empty", ["", None])
def test_empty_value_counts_as_missing(monkeypatch: pytest.MonkeyPatch, empty: str | None) -> None:
    result = run(monkeypatch, {"restore_set": empty}, {})
    assert result["failed"]
    assert "- missing required arguments: restore_set\n\nUsage:\nrestore_set=SET" in result["msg"]


def test_value_that_cannot_be_evaluated_is_reported_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"restore_set": trust_as_template("{{ nowhere }}")}
    result = run(monkeypatch, {"restore_targt_time": "now"}, variables)
    assert "restore_set: " in result["msg"]
    assert "'nowhere' is undefined" in result["msg"]
    assert "did you mean restore_target_time?" in result["msg"]


def test_plugin_imports_no_private_module_of_ansible() -> None:
    text = Path(runbook_options.__file__).read_text()
    assert "ansible._" not in text
