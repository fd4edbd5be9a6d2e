"""The states of the module; what apt does is tested with the code that it calls."""

from __future__ import annotations

import contextlib
import json
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils import package_updates as updates
from ansible_collections.vise.platform.plugins.module_utils.component.host import HostError
from ansible_collections.vise.platform.plugins.modules import package_updates

OPENSSL = {"name": "openssl", "from": "1", "to": "2", "security": True, "foreign": ""}


class Host:
    """The code on the host."""

    def __init__(self) -> None:
        self.calls, self.error, self.fails = list[str](), "", False

    def refresh(self) -> str:
        self.calls.append("refresh")
        return self.error

    def read_plan(self) -> dict[str, t.Any]:
        return {"updates": [OPENSSL], "problems": []}

    def update(self, _plan: t.Any) -> list[str]:
        self.calls.append("update")
        if self.fails:
            raise HostError("apt failed")
        return ["openssl 1 -> 2 (security)"]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    for name in ("refresh", "read_plan", "update"):
        monkeypatch.setattr(updates, name, getattr(found, name))
    return found


def run(capsys: pytest.CaptureFixture[str], **options: t.Any) -> dict[str, t.Any]:
    basic._ANSIBLE_ARGS = None
    with patch_module_args(options), contextlib.suppress(SystemExit):
        package_updates.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


def test_plan_refreshes_the_lists_and_changes_nothing(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    answer = run(capsys)
    assert (answer["changed"], answer["actions"], host.calls) == (False, [], ["refresh"])
    assert answer["rollback"] == "apt-get install --allow-downgrades openssl=1"


def test_archive_that_cannot_be_read_is_a_problem_of_the_plan(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    host.error = "not signed"
    assert "apt cannot read all archives: not signed" in run(capsys)["plan"]["problems"][0]


def test_update_installs_what_was_planned(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    answer = run(capsys, state="updated", _ansible_diff=True)
    assert (answer["changed"], host.calls) == (True, ["update"])
    assert answer["diff"] == {"prepared": "> openssl 1 -> 2 (security)\n"}


def test_check_mode_reports_the_same_actions_and_calls_nothing(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    answer = run(capsys, state="updated", _ansible_check_mode=True)
    assert (answer["changed"], answer["actions"], host.calls) == (True, ["openssl 1 -> 2 (security)"], [])


def test_failure_is_reported(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    host.fails = True
    assert run(capsys, state="updated")["msg"] == "apt failed"
