"""One execution of the module: read, plan, apply, and the refusals before."""

from __future__ import annotations

import contextlib
import json
import pathlib
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.postgresql import catalog, objects
from ansible_collections.vise.platform.plugins.modules import postgresql_objects

DESCRIBED: dict[str, Any] = {
    "databases": [{"name": "edu", "owner": "own"}],
    "users": [{"name": "own", "password": "canary-word"}],
}
SLOT = objects.CurrentState(slots={"old": objects.Slot()}, available={"pg_trgm": frozenset()})


class Server:
    """A stub catalogue: the state that it returns, and the steps that were executed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, socket: pathlib.Path) -> None:
        self.found, self.executed, self.socket = SLOT, list[str](), socket
        (socket / ".s.PGSQL.5432").touch()
        monkeypatch.setattr(catalog, "IMPORT_ERROR", "")
        monkeypatch.setattr(catalog, "read_state", lambda _connect, _wanted: self.found)
        monkeypatch.setattr(
            catalog, "execute_steps", lambda _connect, steps: self.executed.extend(s.text for s in steps)
        )

    def run(self, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
        basic._ANSIBLE_ARGS = None
        arguments = {**DESCRIBED, "socket": str(self.socket), **options}
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            postgresql_objects.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Server:
    return Server(monkeypatch, tmp_path)


def test_differences_are_changed_and_reported_without_a_secret(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = server.run(capsys, _ansible_diff=True)
    assert answer["changed"]
    assert answer["actions"] == server.executed
    assert "> create database edu\n" in answer["diff"]["prepared"]
    assert "canary-word" not in json.dumps(answer)
    assert "SCRAM" not in json.dumps(answer)


def test_check_mode_changes_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.run(capsys, _ansible_check_mode=True)["changed"]
    assert server.executed == []


def test_check_mode_without_a_server_plans_for_an_empty_cluster(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "IMPORT_ERROR", "no psycopg2")
    assert "create user own" in server.run(capsys, _ansible_check_mode=True)["actions"]


def test_empty_description_changes_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    answer = server.run(capsys, databases=[], users=[])
    assert (answer["changed"], answer["actions"]) == (False, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extensions": ["postgis"]}, "extension postgis is not available"),
        ({"users": []}, "the owner own is not in the list of users"),
        ({"users": [{"name": "postgres"}]}, "`postgres` is reserved by PostgreSQL"),
    ],
)
def test_invalid_options_are_refused_before_any_change(
    server: Server, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    answer = server.run(capsys, **options)
    assert answer["failed"]
    assert message in answer["msg"]
    assert server.executed == []


def test_missing_driver_is_reported(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "IMPORT_ERROR", "no psycopg2")
    assert "psycopg2" in server.run(capsys)["msg"]
