"""The module's result for each result of the adoption."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import adoption
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host.settings import Problem
from ansible_collections.vise.platform.plugins.modules import mailcow_adoption

NAMES = {"COMPOSE_PROJECT_NAME": "mailcowdockerized", "DBNAME": 7}
PASSWORDS = {"DBPASS": "secret-of-the-database"}


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, adopt: t.Callable[..., str]
) -> dict[str, t.Any]:
    monkeypatch.setattr(adoption, "adopt", adopt)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    basic._ANSIBLE_ARGS = None
    options = {"directory": "/opt/mailcow", "version": "2026-07a", "names": NAMES, "passwords": PASSWORDS}
    with patch_module_args({**options, "_ansible_diff": True}), contextlib.suppress(SystemExit):
        mailcow_adoption.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


def test_own_mailcow_is_no_change(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run(capsys, monkeypatch, lambda *_: "")["changed"]


def test_adoption_is_a_change_and_reports_the_snapshot(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(capsys, monkeypatch, lambda *_: "before-adoption-1")
    assert answer["actions"] == ["create the snapshot before-adoption-1", "take over mailcow 2026-07a"]
    assert answer["changed"]


def test_refusal_is_an_error_without_passwords(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_config: object, variables: dict[str, str], agreed: bool, dry_run: bool) -> str:
        assert (variables["DBNAME"], agreed, dry_run) == ("7", False, False)
        raise Problem(f"a mailcow of somebody else, {variables['DBPASS']}")

    answer = run(capsys, monkeypatch, refuse)
    assert answer["failed"]
    assert answer["msg"].startswith("a mailcow of somebody else, ***")
    assert "secret-of-the-database" not in json.dumps(answer)
