"""The newest backup of each set, from the lists of the repositories."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs as pgbackrest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, restoring
from ansible_collections.vise.platform.plugins.modules import backup_inspection

from ..module_utils.pgbackrest.samples import backup, info

SETTINGS = SimpleNamespace(config="/main.conf", repositories={1: "s3-a", 2: "s3-b"})


class Ended(Exception):
    """The module's answer."""


def run(monkeypatch: pytest.MonkeyPatch, snapshots: Any, repositories: Any = "", **arguments: Any) -> dict[str, Any]:
    """Run the module with these snapshots of a set by repository, and these repositories of the database."""

    def ended(_module: Any, **answer: Any) -> None:
        raise Ended(answer)

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", ended)
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", lambda module, **answer: ended(module, failed=True, **answer))
    monkeypatch.setattr(jobs, "load_settings", lambda: SimpleNamespace(host="host-1"))
    monkeypatch.setattr(restoring, "list_snapshots", lambda _config, _request: snapshots)
    monkeypatch.setattr(pgbackrest.Settings, "load", lambda _path: SETTINGS)
    monkeypatch.setattr(pgbackrest, "query_repositories", lambda _settings: {"/main.conf": repositories})
    with patch_module_args(arguments), pytest.raises(Ended) as answer:
        backup_inspection.main()
    found: dict[str, Any] = answer.value.args[0]
    return found


def snapshot(day: int) -> dict[str, str]:
    return {"id": "0" * 64, "time": f"2026-03-0{day}T02:11:18.5Z"}


@pytest.mark.parametrize(
    ("snapshots", "passed", "detail"),
    [
        (({"a": [snapshot(1)], "b": [snapshot(2)]}, []), True, "the newest of 2026-03-02T02:11:18 in b"),
        (({"a": [], "b": [snapshot(2)]}, []), True, "the newest of 2026-03-02T02:11:18 in b"),
        (({"b": [snapshot(2)]}, ["a: no route"]), True, "the newest of 2026-03-02T02:11:18 in b"),
        (({"a": [], "b": []}, []), False, "a has no snapshot of it; b has no snapshot of it"),
        (({"a": []}, ["b: no route"]), False, "a has no snapshot of it; b: no route"),
    ],
)
def test_set_has_a_backup_if_any_repository_has_one(
    snapshots: Any, passed: bool, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(monkeypatch, snapshots, sets=["mail"])
    assert answer["backups"] == [{"name": "mail of host-1", "passed": passed, "detail": detail}]
    assert answer["changed"] is False


@pytest.mark.parametrize(
    ("answer", "passed", "detail"),
    [
        (
            info(backup(1, "20260301-013000F", 1772328600), backup(2, "20260301-013000F", 1772332200)),
            True,
            "the newest of 2026-03-01T02:30:00 in s3-b",
        ),
        (info(codes=(2, 1)), False, "s3-a has no backup of it; s3-b has no backup of it"),
        (info(codes=(2, 99), message="refused"), False, "s3-a has no backup of it; s3-b refused"),
    ],
)
def test_database_has_a_backup_if_any_repository_has_one(
    answer: str, passed: bool, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(monkeypatch, None, repository.parse_info(answer, "main"), database=True)
    assert found["backups"] == [{"name": "database", "passed": passed, "detail": detail}]


def test_error_of_pgbackrest_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, None, "ERROR: [041]: no such file", database=True)
    assert found["backups"] == [{"name": "database", "passed": False, "detail": "ERROR: [041]: no such file"}]


def test_every_set_is_listed_also_after_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, ({"a": []}, []), sets=["configuration", "mail"])["backups"]
    assert [entry["name"] for entry in found] == ["configuration of host-1", "mail of host-1"]


def test_missing_settings_name_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise jobs.JobError("run the role restic on this host")

    monkeypatch.setattr(backup_inspection, "inspect_set", lambda *_: fail())
    assert run(monkeypatch, None, sets=["mail"])["msg"] == "run the role restic on this host"
