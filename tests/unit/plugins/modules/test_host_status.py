"""The module reads every part of a host, also of one that has nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.host_status import facts
from ansible_collections.vise.platform.plugins.modules import host_status


def test_documented_options_are_those_of_the_module() -> None:
    options: dict[str, dict[str, Any]] = yaml.safe_load(host_status.DOCUMENTATION)["options"]
    specs = {name: {key: value for key, value in one.items() if key != "description"} for name, one in options.items()}
    assert specs == host_status.ARGUMENT_SPEC


def test_programs_that_fail_or_hang_are_errors_and_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: list[str], **_options: Any) -> programs.Result:
        code = programs.TIMED_OUT if argv[0] == "systemctl" else programs.NOT_FOUND
        return programs.Result(code, "", f"{argv[0]}: timed out after 15 s")

    monkeypatch.setattr(programs, "run", run)
    found, errors = host_status.read_facts(differences=True)
    assert {"units", "failed_units", "versions", "updates"} == set(errors)
    assert "systemctl: timed out after 15 s" in errors["units"]
    assert {"host", "samples", "leftovers", "certificates", "replication", "repositories"} <= set(found)


@pytest.mark.parametrize("wanted", [True, False])
def test_differences_are_read_only_when_they_are_wanted(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    names: list[str] = []

    def collect(readers: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        names.extend(readers)
        return {}, {}

    monkeypatch.setattr(facts, "collect", collect)
    host_status.read_facts(wanted)
    assert ("differences" in names) == wanted


def test_components_are_read_with_their_units_and_journals(tmp_path: Path) -> None:
    for name, file, text in (
        ("nginx", "manifest.json", "{}"),
        (
            "nginx",
            "record.json",
            '{"units": [{"name": "nginx.service", "state": "started"}, {"name": "a", "state": "stopped"}]}',
        ),
        ("redis", "manifest.json", "{}"),
        ("redis", "pending.json", "{}"),
        ("checked-only", "lock", ""),
    ):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text(text)
    assert facts.read_components(str(tmp_path)) == {
        "nginx": {"units": ["nginx.service"], "complete": True, "pending": False, "busy": False},
        "redis": {"units": [], "complete": False, "pending": True, "busy": False},
    }


def test_staged_file_of_a_killed_run_is_found(tmp_path: Path) -> None:
    (tmp_path / "components/nginx").mkdir(parents=True)
    (tmp_path / "conf.d").mkdir()
    manifest = f'{{"paths": ["{tmp_path}/conf.d/site.conf"]}}'
    (tmp_path / "components/nginx/manifest.json").write_text(manifest)
    (tmp_path / "conf.d/.site.conf.vise-new").write_text("")
    found = facts.read_leftovers(["nginx"], str(tmp_path / "components"))
    assert [one["path"] for one in found if str(tmp_path) in one["path"]] == [f"{tmp_path}/conf.d/.site.conf.vise-new"]
