"""The states of the module; the orders are tested with the code that it calls."""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.tls import acme, program, rotation
from ansible_collections.vise.platform.plugins.modules import certificate_rotation

WANTED = [{"name": "docs", "domains": ["docs.example.com"]}, {"name": "all-in", "domains": ["example.com"]}]
FACTS = [{"name": "docs"}]


def run(capsys: pytest.CaptureFixture[str], **options: t.Any) -> dict[str, t.Any]:
    basic._ANSIBLE_ARGS = None
    with patch_module_args(options), contextlib.suppress(SystemExit):
        certificate_rotation.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[t.Any, ...]]:
    """What was called; the host has two certificates."""
    settings = tmp_path / "certificates.json"
    settings.write_text(json.dumps({"directory": "https://acme.example.com/dir", "wanted": WANTED, "reload_units": []}))
    found: list[tuple[t.Any, ...]] = []
    monkeypatch.setattr(program, "SETTINGS", str(settings))
    monkeypatch.setattr(program.load_settings, "__defaults__", (str(settings),))
    monkeypatch.setattr(rotation, "survey", lambda *_given: FACTS)

    def rehearse(_settings: t.Any, names: list[str], hours: int, *_more: t.Any) -> list[str]:
        found.append(("rehearse", names, hours))
        return ["docs: failed"] if "docs" in names else []

    def renew(_settings: t.Any, names: list[str], hours: int, *_more: t.Any, new_key: bool) -> acme.Outcome:
        found.append(("renew", names, hours, new_key))
        return acme.Outcome(["deploy docs"])

    monkeypatch.setattr(rotation, "rehearse", rehearse)
    monkeypatch.setattr(rotation, "renew", renew)
    monkeypatch.setattr(rotation, "preview", lambda *_given: ["would deploy docs"])
    return found


def test_plan_only_reads(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    answer = run(capsys, names=["all"])
    assert (answer["changed"], answer["certificates"], calls) == (False, FACTS, [])


def test_renewal_of_all_is_a_change_with_a_diff(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    answer = run(capsys, state="renewed", names=["all"], hours=2, new_key=True, _ansible_diff=True)
    assert calls == [("renew", ["docs", "all-in"], 2, True)]
    assert (answer["changed"], answer["diff"]) == (True, {"prepared": "> deploy docs\n"})


@pytest.mark.parametrize(("state", "actions"), [("renewed", ["would deploy docs"]), ("rehearsed", [])])
def test_check_mode_contacts_no_server(
    capsys: pytest.CaptureFixture[str], calls: list[t.Any], state: str, actions: list[str]
) -> None:
    answer = run(capsys, state=state, names=["docs"], _ansible_check_mode=True)
    assert (answer["actions"], answer["changed"], calls) == (actions, bool(actions), [])


def test_failed_rehearsal_fails_without_a_change(capsys: pytest.CaptureFixture[str], calls: list[t.Any]) -> None:
    answer = run(capsys, state="rehearsed", names=["docs", "unknown"])
    assert calls == [("rehearse", ["docs"], 24)]
    assert (answer["failed"], answer["changed"], answer["msg"]) == (True, False, "docs: failed")


@pytest.mark.usefixtures("calls")
def test_host_without_the_role_has_no_certificates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SETTINGS", "/absent")
    assert run(capsys, state="renewed", names=["all"])["certificates"] == []


@pytest.mark.usefixtures("calls")
def test_damaged_settings_are_reported_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    Path(program.SETTINGS).write_text("{")
    assert "run the role certificates on this host" in run(capsys)["msg"]
