"""site.yml surveys its hosts, and none of its tasks ends the surveys unless it changes something."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.vise.platform.plugins.callback import record, summary, survey

from tools.collection import ROOT

FOLDER = ROOT / "playbooks"
SITE = FOLDER / "site.yml"
IMPORTS = re.compile(r"ansible\.builtin\.(?:import_playbook|import_tasks|include_tasks)")


def read_tasks(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the tasks of a file, of its roles and of the files that it imports, with the file that they are in."""
    yield from walk(path, yaml.safe_load(path.read_text()))


def walk(path: Path, entries: list[dict[str, Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the tasks of plays, of blocks and of lists of tasks."""
    for entry in entries:
        for key in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from walk(path, entry.get(key, []))
        for role in entry.get("roles", []):
            name = role["role"].removeprefix("vise.platform.")
            for file in sorted(ROOT.glob(f"roles/{name}/*/*.yml")):
                if file.parent.name in ("tasks", "handlers"):
                    yield from read_tasks(file)
        for key, value in entry.items():
            if IMPORTS.fullmatch(key) and isinstance(value, str):
                yield from read_tasks(path.parent / value)
        if "hosts" not in entry and "block" not in entry:
            yield path, entry


def find_action(task: dict[str, Any]) -> str:
    """Return the name of the module of a task."""
    return next((key for key in task if "." in key), "")


def test_only_the_run_of_all_stages_surveys() -> None:
    uses = {path.name for path in FOLDER.rglob("*.yml") if "preflight_survey" in path.read_text()}
    assert uses == {"site.yml"}
    first = yaml.safe_load(SITE.read_text())[0]
    assert first["ansible.builtin.import_playbook"] == "preflight.yml"
    assert first["vars"] == {"preflight_survey": True}


def test_project_enables_the_callbacks() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "ansible.cfg")
    names = [one.CallbackModule.CALLBACK_NAME for one in (survey, record, summary)]
    assert settings["defaults"]["callbacks_enabled"].split(", ") == names


def test_no_task_of_the_site_ends_the_surveys_without_a_change() -> None:
    tasks = list(read_tasks(SITE))
    assert len({find_action(task) for _path, task in tasks}) > 15
    assert not [
        f"{path.relative_to(ROOT)}: {task.get('name')}"
        for path, task in tasks
        if survey.can_hide_changes(find_action(task), task)
    ]
