"""Surveys on the controller: their files, their age and the connection that they belong to."""

from __future__ import annotations

import stat
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import surveys

FOUND = {"generation": "g", "differences": []}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of the process."""
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def test_survey_is_used_once_and_only_with_its_key() -> None:
    surveys.begin()
    surveys.keep("a", surveys.read_clock(), {"ssh": FOUND, "base": FOUND})
    assert surveys.take("b", "ssh") == {}
    assert surveys.take("a", "nginx") == {}
    assert surveys.take("a", "ssh")["generation"] == "g"
    assert surveys.take("a", "ssh") == {}
    assert surveys.take("a", "base")["differences"] == []


def test_survey_is_too_old_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    surveys.begin()
    surveys.keep("a", 1000.0, {"ssh": FOUND, "base": FOUND})
    monkeypatch.setattr(surveys, "read_clock", lambda: 1000.0 + surveys.LONGEST_AGE)
    assert surveys.take("a", "ssh")
    monkeypatch.setattr(surveys, "read_clock", lambda: 1000.1 + surveys.LONGEST_AGE)
    assert not surveys.take("a", "base")


def test_only_the_user_of_the_run_can_read_a_survey(folder: Path) -> None:
    surveys.begin()
    surveys.keep("a", 1.0, {"ssh": FOUND})
    (file,) = (folder / "vise-surveys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_nothing_is_kept_before_the_begin_and_after_the_end(folder: Path) -> None:
    for prepare in (surveys.end, surveys.begin, surveys.end, surveys.end):
        prepare()
        allowed = surveys.are_allowed()
        surveys.keep("a", surveys.read_clock(), {"ssh": FOUND})
        assert bool(surveys.take("a", "ssh")) is allowed is (prepare is surveys.begin)
    assert list(folder.iterdir()) == []


def test_next_playbook_replaces_what_an_earlier_one_kept() -> None:
    surveys.begin()
    surveys.keep("a", surveys.read_clock(), {"ssh": {"generation": "old and longer"}})
    surveys.begin()
    surveys.keep("a", surveys.read_clock(), {"ssh": FOUND})
    assert surveys.take("a", "ssh")["generation"] == "g"


def build_action(
    options: dict[str, t.Any], become: dict[str, t.Any] | None = None, environment: dict[str, str] | None = None
) -> SimpleNamespace:
    """Return what identify needs of an action plugin."""
    user = become and SimpleNamespace(ansible_name="ansible.builtin.sudo", get_options=lambda: become)
    connection = SimpleNamespace(ansible_name="ansible.builtin.ssh", get_options=lambda: options, become=user)
    return SimpleNamespace(
        _connection=connection, _compute_environment_string=lambda found: found.update(environment or {})
    )


def test_every_property_of_the_connection_makes_another_key() -> None:
    options = {"host": "192.0.2.1", "port": 22, "remote_user": "root", "ssh_common_args": ""}
    actions = [
        build_action(options),
        *(build_action({**options, name: "other"}) for name in options),
        build_action(options, {"become_user": "root"}),
        build_action(options, {"become_user": "postgres"}),
        build_action(options, environment={"HTTPS_PROXY": "http://192.0.2.2"}),
    ]
    keys = [surveys.identify(action, "a") for action in actions]
    assert len({*keys, surveys.identify(actions[0], "b")}) == len(actions) + 1
    assert surveys.identify(build_action(dict(options)), "a") == keys[0]


def test_digest_covers_the_code_that_compares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("action/component.py", "modules/component.py", "module_utils/component/plan.py")
    digests = set()
    monkeypatch.setattr(surveys, "PLUGINS", tmp_path)
    for name in (*names, "module_utils/host/files.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        digests.add(surveys.compute_code_digest())
        path.write_text("1")
        digests.add(surveys.compute_code_digest())
    assert len(digests) == 8


def test_patterns_of_the_code_find_files() -> None:
    assert all(list(surveys.PLUGINS.glob(pattern)) for pattern in surveys.CODE)
