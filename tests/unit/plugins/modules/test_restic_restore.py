"""Options of the module; its library has its own tests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, restoring
from ansible_collections.vise.platform.plugins.modules import restic_restore


class Exited(Exception):
    """Carries the result of the module."""


class Module:
    """Stub of AnsibleModule: the given parameters with the defaults of the spec."""

    given: dict[str, Any]
    check_mode = False

    def __init__(self, spec: dict[str, Any], **_rules: Any) -> None:
        self.params = {name: option.get("default") for name, option in spec.items()} | self.given

    def fail_json(self, **result: Any) -> None:
        raise Exited(json.dumps({"failed": True, **result}))

    def exit_json(self, **result: Any) -> None:
        raise Exited(json.dumps(result))


def run_module(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], outcome: Any
) -> tuple[dict[str, Any], list[Any]]:
    calls: list[Any] = []

    def restore(_settings: Any, request: restoring.Request, _check_mode: bool) -> dict[str, Any]:
        calls.append(request)
        if isinstance(outcome, Exception):
            raise outcome
        answer: dict[str, Any] = outcome
        return answer

    monkeypatch.setattr(Module, "given", given, raising=False)
    monkeypatch.setattr(restic_restore, "AnsibleModule", Module)
    monkeypatch.setattr(jobs, "load_settings", lambda: None)
    monkeypatch.setattr(restoring, "restore", restore)
    with pytest.raises(Exited) as ended:
        restic_restore.main()
    return json.loads(str(ended.value)), calls


def test_target_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = run_module(monkeypatch, {"set": "files", "target": "/srv/x/"}, {"files": 1})
    assert result == {"changed": True, "files": 1}
    assert calls == [restoring.Request("files", target="/srv/x")]


def test_in_place_requests_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    _result, calls = run_module(monkeypatch, {"set": "files", "in_place": True}, {})
    assert calls == [restoring.Request("files", target="")]


@pytest.mark.parametrize("given", [{}, {"target": ""}, {"in_place": False, "target": "/"}])
def test_restore_in_place_needs_explicit_consent(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    result, calls = run_module(monkeypatch, {"set": "files", **given}, {})
    assert result["failed"]
    assert calls == []


@pytest.mark.parametrize(
    "error", [jobs.JobError("no repository"), ValueError("no repository"), OSError("no repository")]
)
def test_error_is_reported(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    result, _asked = run_module(monkeypatch, {"set": "files", "target": "/srv/x"}, error)
    assert result == {"failed": True, "msg": "no repository"}
