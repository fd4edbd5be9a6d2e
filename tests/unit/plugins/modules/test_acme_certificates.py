"""The module's results; its decisions are tested with the code that the timer also runs."""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.tls import acme
from ansible_collections.vise.platform.plugins.modules import acme_certificates

WANTED = [{"name": "docs", "domains": ["docs.example.com"]}]
OPTIONS = {"directory": "https://acme.example.com/dir", "wanted": WANTED}


def run(capsys: pytest.CaptureFixture[str], **options: t.Any) -> dict[str, t.Any]:
    basic._ANSIBLE_ARGS = None
    with patch_module_args({**OPTIONS, **options}), contextlib.suppress(SystemExit):
        acme_certificates.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> acme.Outcome:
    """The outcome of a fake run; the fake preview returns a different one."""
    result = acme.Outcome()
    monkeypatch.setattr(acme, "run", lambda _settings, _command: result)
    monkeypatch.setattr(acme, "preview", lambda settings: acme.Outcome([f"would issue {settings.wanted[0].challenge}"]))
    return result


def test_no_action_is_no_change(capsys: pytest.CaptureFixture[str], outcome: acme.Outcome) -> None:
    answer = run(capsys)
    assert (answer["changed"], answer["actions"]) == (False, outcome.actions)


def test_actions_are_a_change_with_a_diff(capsys: pytest.CaptureFixture[str], outcome: acme.Outcome) -> None:
    outcome.actions.append("deploy docs")
    answer = run(capsys, _ansible_diff=True)
    assert answer["changed"]
    assert answer["diff"] == {"prepared": "> deploy docs\n"}


def test_check_mode_only_previews(capsys: pytest.CaptureFixture[str], outcome: acme.Outcome) -> None:
    outcome.failures.append("must not run")
    assert run(capsys, _ansible_check_mode=True)["actions"] == ["would issue http-01"]


def test_warning_does_not_fail_the_module(
    capsys: pytest.CaptureFixture[str], outcome: acme.Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome.warnings.append("docs: not issued; stays valid")
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    assert not run(capsys).get("failed")
    assert warned == ["docs: not issued; stays valid"]


def test_failure_reports_the_actions_that_were_done(capsys: pytest.CaptureFixture[str], outcome: acme.Outcome) -> None:
    outcome.actions.append("create a placeholder for docs")
    outcome.failures.append("docs: not issued")
    answer = run(capsys)
    assert (answer["failed"], answer["changed"], answer["msg"]) == (True, True, "docs: not issued")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"directory": "production"}, "ACME directory"),
        ({"wanted": [{"name": "docs", "domains": ["*.example.com"]}]}, "wildcard"),
        ({"wanted": [{"name": "docs", "domain": "x"}]}, "domain"),
        ({"renew_days": "soon"}, "renew_days"),
    ],
)
@pytest.mark.usefixtures("outcome")
def test_invalid_options_are_refused(capsys: pytest.CaptureFixture[str], options: dict[str, t.Any], text: str) -> None:
    answer = run(capsys, **options)
    assert answer["failed"]
    assert text in answer["msg"]
