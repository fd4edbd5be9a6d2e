"""The options of each runbook: complete in its usage, validated first, and refused when they are wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.vise.platform.plugins.action.runbook_options import check

from tools import collection

MODULE = "vise.platform.runbook_options"
HOST = "host-1"
VARIABLES: dict[str, Any] = {
    "groups": {"all": [HOST], "database": [HOST], "database_standby": [HOST]},
    "ansible_play_hosts_all": [HOST],
    "playbook_dir": "/playbooks",
    "built_sites": ["docs"],
    "sites": {"docs": {}},
    "dns_mail": {"domains": ["example.org"]},
}
SITES = {
    "docs": {"domain": "docs.example.org", "group": "docs", "source": "/x"},
    "notes": {"domain": "notes.example.org", "group": "docs", "release": "3f2a9c81d0b7"},
    "shop": {"domain": "shop.example.org", "group": "docs", "upstream": {"port": 3000}},
}
# A value that the type cannot be converted from; everything is a text.
INVALID = {"int": "many", "bool": "perhaps", "list": {"a": 1}}
REQUIRED = {
    "drill_lost": {"drill_found"},
    "move_site": {"move_site"},
    "rebuild_standby": {"standby_host"},
    "release_site": {"release_site"},
    "restore_files": {"restore_set", "restore_host", "restore_replace_live"},
    "restore_mail": {"restore_replace_live"},
    "restore_redis": {"restore_replace_live", "restore_dump"},
    "retire_function": {"retire_host", "retire_function"},
    "rollback_site": {"rollback_site"},
    "ssh_config": {"ssh_config_file"},
}
OPTIONAL = {
    "check",
    "drill",
    "drill_backups",
    "drill_check",
    "promote_standby",
    "restore_database",
    "rotate_certificates",
    "status",
    "update_dependencies",
    "upgrade_mail",
    "upgrade_postgresql",
}
# site.yml, and runbooks that change nothing, or that decide by the description and by the hosts. init prints its usage.
WITHOUT_ARGUMENTS = {"init", "make_secrets", "probe_mail", "publish_dns", "site", "unfence_primary"}


def first_task(playbook: Path) -> dict[str, Any]:
    """Return the first task of a playbook, with its play; an empty one for a playbook that imports only."""
    play = yaml.safe_load(playbook.read_text())[0]
    return {"play": play, **(play.get("tasks") or [{}])[0]}


RUNBOOKS = {
    path.stem: task
    for path in sorted((collection.ROOT / "playbooks").glob("*.yml"))
    if MODULE in (task := first_task(path))
}
each_runbook = pytest.mark.parametrize("runbook", sorted(RUNBOOKS))


def arguments(runbook: str) -> dict[str, Any]:
    """Return the arguments of a runbook's validation, evaluated as Ansible does."""
    templar = Templar(loader=DataLoader(), variables=VARIABLES)
    found: dict[str, Any] = templar.template(trusted(RUNBOOKS[runbook][MODULE]))
    return found


def trusted(value: Any) -> Any:
    """Return a value whose texts are templates."""
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [trusted(one) for one in value]
    return trust_as_template(value) if isinstance(value, str) else value


def problems(runbook: str, *extra: str, **values: Any) -> list[str]:
    """Return what is wrong with these values of a runbook, and with these further names given by -e."""
    return check(arguments(runbook), values, [*extra, *values], VARIABLES)[1]


def options() -> list[Any]:
    """List each option of each runbook."""
    return [(runbook, name) for runbook, task in RUNBOOKS.items() for name in task[MODULE]["options"]]


def test_runbooks_with_options_validate_them() -> None:
    assert OPTIONAL | set(REQUIRED) <= set(RUNBOOKS)


def test_each_other_playbook_is_a_stage_or_needs_no_argument() -> None:
    stages = re.findall(r"import_playbook: (\w+)\.yml", (collection.ROOT / "playbooks/site.yml").read_text())
    every = {path.stem for path in (collection.ROOT / "playbooks").glob("*.yml")}
    assert every - set(RUNBOOKS) == {*stages, *WITHOUT_ARGUMENTS} - set(RUNBOOKS)


@each_runbook
def test_validation_comes_first_and_a_failure_ends_the_run(runbook: str) -> None:
    task = RUNBOOKS[runbook]
    play = task["play"]
    # On localhost there is no other host that could go on.
    assert play["hosts"] == "localhost" or (task["run_once"], play["any_errors_fatal"]) == (True, True)


@each_runbook
def test_usage_names_each_option_and_nothing_else(runbook: str) -> None:
    given = RUNBOOKS[runbook][MODULE]
    # The name of the playbook itself has the prefix, too.
    described = set(re.findall(rf"\b(?:{'|'.join(given['prefixes'])})\w+\b(?!\.yml)", given["usage"]))
    assert described == set(given["options"])
    assert f"playbooks/{runbook}.yml" in given["usage"]


@each_runbook
def test_names_of_options_begin_with_a_prefix_of_the_runbook(runbook: str) -> None:
    given = RUNBOOKS[runbook][MODULE]
    assert [name for name in given["options"] if not name.startswith(tuple(given["prefixes"]))] == []


@each_runbook
def test_each_option_has_an_effect_and_no_other_is_read(runbook: str) -> None:
    read = re.compile(r"\.options\.(\w+)")
    text = (collection.ROOT / f"playbooks/{runbook}.yml").read_text()
    included = "".join(path.read_text() for path in (collection.ROOT / "playbooks/tasks").glob("*.yml"))
    validated = set(RUNBOOKS[runbook][MODULE]["options"])
    own = set(read.findall(text))
    assert own <= validated <= own | set(read.findall(included))


@pytest.mark.parametrize("runbook", sorted(REQUIRED))
def test_missing_option_is_reported_by_name(runbook: str) -> None:
    found = " ".join(problems(runbook))
    assert set(re.findall(r"\w+_\w+", found)) == REQUIRED[runbook]


@pytest.mark.parametrize("runbook", sorted(OPTIONAL))
def test_runbook_without_required_options_runs_without_any(runbook: str) -> None:
    assert problems(runbook) == []


@pytest.mark.parametrize(("runbook", "name"), options())
def test_misspelt_option_is_refused_with_the_nearest_name(runbook: str, name: str) -> None:
    misspelt = name[:-2] + name[-1]
    (found,) = [problem for problem in problems(runbook, misspelt) if problem.startswith(f"{misspelt}: ")]
    assert f"did you mean {name}?" in found


@pytest.mark.parametrize(
    ("runbook", "name"),
    [
        (runbook, name)
        for runbook, name in options()
        if {"choices", "group"} & set(RUNBOOKS[runbook][MODULE]["options"][name])
        or RUNBOOKS[runbook][MODULE]["options"][name]["type"] in INVALID
    ],
)
def test_invalid_value_is_refused(runbook: str, name: str) -> None:
    option = RUNBOOKS[runbook][MODULE]["options"][name]
    found = problems(runbook, **{name: INVALID.get(option["type"], "nonsense")})
    assert [problem for problem in found if name in problem and not problem.startswith(("missing", "one of"))] != []


@pytest.mark.parametrize(
    ("runbook", "name"), [(runbook, name) for runbook, name in options() if name.endswith(("_host", "_replace_live"))]
)
def test_option_that_names_a_host_accepts_only_hosts_of_the_inventory(runbook: str, name: str) -> None:
    option = RUNBOOKS[runbook][MODULE]["options"][name]
    # The host of a backup may be lost, so that the inventory no longer has it.
    assert "group" in option or name == "restore_source_host"


@pytest.mark.parametrize(
    ("runbook", "values", "problem"),
    [
        ("restore_files", {"restore_replace_live": HOST, "restore_host": HOST}, "mutually exclusive"),
        ("restore_files", {"restore_replace_live": HOST, "restore_directory": "/x"}, "mutually exclusive"),
        ("restore_files", {"restore_host": HOST}, "required together: restore_host, restore_directory"),
        ("restore_database", {"restore_target_time": "now", "restore_target_lsn": "0/1"}, "mutually exclusive"),
        ("restore_database", {"restore_target_name": "x", "restore_target_immediate": True}, "mutually exclusive"),
    ],
)
def test_options_that_contradict_each_other_are_refused(runbook: str, values: dict[str, Any], problem: str) -> None:
    assert problem in " ".join(problems(runbook, **values))


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({}, ("latest", "")),
        ({"restore_target_time": "2026-03-01T12:30:00+00:00"}, ("time", "2026-03-01T12:30:00+00:00")),
        ({"restore_target_lsn": "0/3000028"}, ("lsn", "0/3000028")),
        ({"restore_target_name": "chapter one"}, ("name", "chapter one")),
        ({"restore_target_immediate": "true"}, ("immediate", "")),
        ({"restore_target_immediate": "false"}, ("latest", "")),
    ],
)
def test_target_of_a_restore_follows_from_its_option(values: dict[str, str], target: tuple[str, str]) -> None:
    validated, found = check(arguments("restore_database"), values, values, VARIABLES)
    assert found == []
    plays = yaml.safe_load((collection.ROOT / "playbooks/restore_database.yml").read_text())
    task = plays[1]["tasks"][0]
    variables = {**trusted(task["vars"]), "runbook": {"options": validated}}
    given = trusted({key: task["vise.platform.database_restore"][key] for key in ("target", "value")})
    evaluated = Templar(loader=DataLoader(), variables=variables).template(given)
    assert (evaluated["target"], evaluated["value"]) == target


@pytest.mark.parametrize(
    ("runbook", "arguments"),
    [
        *((runbook, []) for runbook in sorted(REQUIRED)),
        # It would restore to the latest state.
        ("restore_database", ["--extra-vars=restore_targt_time=2026-03-01T12:30:00+00:00"]),
        # A shell has removed the outer quotes: it would restore to midnight.
        ("restore_database", ["--extra-vars=restore_target_time=2026-03-01 12:30:00+00:00"]),
        ("restore_database", ["--extra-vars=restore_target_name=before drop-all=1"]),
        ("promote_standby", ["--extra-vars=standby=host-1"]),
        ("upgrade_postgresql", ["--extra-vars=upgrade_rolback=true", "--check"]),
        ("rotate_certificates", ["--extra-vars=certificate=docs"]),
        ("update_dependencies", ["--extra-vars=update=all"]),
        ("rebuild_standby", ["--extra-vars=standby_host=host-1", "--limit=host-2"]),
        ("rebuild_standby", ["--tags=postgresql"]),
    ],
)
def test_run_with_wrong_options_ends_after_its_first_task_with_the_usage(
    runbook: str, arguments: list[str], tmp_path: Path
) -> None:
    unreachable = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    variables = {**unreachable, "sites": SITES}
    hosts: dict[str, dict[str, Any]] = {"hosts": {HOST: {}, "host-2": {}}}
    children = {"database_standby": hosts, "database": hosts}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"vars": variables, "children": children}}))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), f"playbooks/{runbook}.yml", *arguments],
        cwd=collection.ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("TASK [") == 1, done.stdout
    assert "        Usage:\n" in done.stdout
    assert f"playbooks/{runbook}.yml" in done.stdout


@pytest.mark.parametrize("runbook", ["release_site", "rollback_site"])
@pytest.mark.parametrize("site", ["nots", "shop"])
def test_site_that_is_unknown_or_has_no_releases_is_refused_with_the_names_of_the_others(
    runbook: str, site: str, tmp_path: Path
) -> None:
    variables = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    # The description of the clone is next to its playbooks.
    given = json.dumps({"sites": SITES, runbook: site})
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"docs": {"hosts": {HOST: {}}, "vars": variables}}))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), f"vise.platform.{runbook}", "-e", given],
        cwd=collection.ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"value of {runbook} must be one of: docs, notes, got: {site}" in done.stdout
    assert f"ansible-playbook vise.platform.{runbook} -e {runbook}=SITE" in done.stdout
    assert done.stdout.count("TASK [") == 1, done.stdout


@pytest.mark.parametrize("settings", ["/home/alice/platform/ansible.cfg", None])
def test_stage_of_a_drill_has_the_settings_of_the_drill(settings: str | None) -> None:
    tasks = yaml.safe_load((collection.ROOT / "playbooks/tasks/drill_stage.yml").read_text())
    (environment,) = [task["environment"] for task in tasks if "environment" in task]
    variables = {"drill": {"report": "/x/1.json"}, "ansible_config_file": settings}
    found = Templar(loader=DataLoader(), variables=variables).template(trusted(environment))
    assert found == {"ANSIBLE_LOG_PATH": "/x/1.log", **({"ANSIBLE_CONFIG": settings} if settings else {})}


@pytest.mark.parametrize(("runbook", "option"), [("drill", "drill_reports"), ("upgrade_mail", "mail_upgrade_reports")])
def test_reports_are_written_to_the_present_directory(
    runbook: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/home/alice/platform")
    assert arguments(runbook)["options"][option]["default"].startswith("/home/alice/platform/reports/")
