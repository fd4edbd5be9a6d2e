"""The module's options; what it does is tested with its library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, restoring
from ansible_collections.vise.platform.plugins.modules import restic_restore


class Exited(Exception):
    """Carries what the module says."""


class Module:
    """Stands in for AnsibleModule: parameters as given, with the defaults of the spec."""

    given: dict[str, Any]
    check_mode = False

    def __init__(self, spec: dict[str, Any], **_rules: Any) -> None:
        self.params = {name: option.get("default") for name, option in spec.items()} | self.given

    def fail_json(self, **result: Any) -> None:
        raise Exited(json.dumps({"failed": True, **result}))

    def exit_json(self, **result: Any) -> None:
        raise Exited(json.dumps(result))


def said(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], outcome: Any) -> tuple[dict[str, Any], list[Any]]:
    asked: list[Any] = []

    def restore(_settings: Any, request: restoring.Request, _check_mode: bool) -> dict[str, Any]:
        asked.append(request)
        if isinstance(outcome, Exception):
            raise outcome
        answer: dict[str, Any] = outcome
        return answer

    monkeypatch.setattr(Module, "given", given, raising=False)
    monkeypatch.setattr(restic_restore, "AnsibleModule", Module)
    monkeypatch.setattr(jobs, "settings", lambda: None)
    monkeypatch.setattr(restoring, "restore", restore)
    with pytest.raises(Exited) as ended:
        restic_restore.main()
    return json.loads(str(ended.value)), asked


def test_target_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = said(monkeypatch, {"set": "files", "target": "/srv/x/"}, {"files": 1})
    assert result == {"changed": True, "files": 1}
    assert asked == [restoring.Request("files", target="/srv/x")]


def test_in_place_has_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    _result, asked = said(monkeypatch, {"set": "files", "in_place": True}, {})
    assert asked == [restoring.Request("files", target="")]


@pytest.mark.parametrize("given", [{}, {"target": ""}, {"in_place": False, "target": "/"}])
def test_nothing_is_overwritten_that_was_not_meant(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    result, asked = said(monkeypatch, {"set": "files", **given}, {})
    assert result["failed"]
    assert asked == []


@pytest.mark.parametrize(
    "error", [jobs.JobError("no repository"), ValueError("no repository"), OSError("no repository")]
)
def test_error_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    result, _asked = said(monkeypatch, {"set": "files", "target": "/srv/x"}, error)
    assert result == {"failed": True, "msg": "no repository"}
