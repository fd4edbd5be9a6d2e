"""The command line; certbot is a stand-in, and the store of certificates is a temporary directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import acme, program

WANTED = [{"name": "docs", "domains": ["docs.example.com"]}]
DATA = {"directory": "https://acme.example.com/dir", "wanted": WANTED, "reload_units": []}


@pytest.fixture(name="settings")
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings that the role has written."""
    path = tmp_path / "certificates.json"
    path.write_text(json.dumps(DATA))
    load = program.load_settings
    monkeypatch.setattr(program, "load_settings", lambda: load(str(path)))
    return path


@pytest.fixture(name="calls")
def _calls(settings: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that the commands call, in order; docs is issued, and old is unused."""
    assert settings.exists()
    noted: list[str] = []

    def run(_settings: acme.Settings, _command: object) -> acme.Outcome:
        noted.append("run")
        return acme.Outcome(["deploy docs"])

    def remove(_settings: acme.Settings, _command: object, outcome: acme.Outcome) -> None:
        noted.append("remove_unused")
        outcome.actions.append("remove old")

    monkeypatch.setattr(acme, "run", run)
    monkeypatch.setattr(acme, "remove_unused", remove)
    monkeypatch.setattr(acme, "preview", lambda _settings: acme.Outcome(["deploy docs"]))
    monkeypatch.setattr(acme, "find_unused", lambda _settings: ["old"])
    return noted


def test_run_issues_first_and_then_removes(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["run"]) == 0
    assert calls == ["run", "remove_unused"]
    assert capsys.readouterr().out == "deploy docs\nremove old\n"


def test_plan_shows_the_same_and_changes_nothing(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["plan"]) == 0
    assert calls == []
    assert capsys.readouterr().out == "deploy docs\nremove old\n"


@pytest.mark.parametrize("kind", ["failures", "warnings"])
@pytest.mark.usefixtures("calls")
def test_failure_and_warning_fail_the_run(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(acme, "run", lambda *_: acme.Outcome(**{kind: ["docs: not issued"]}))
    monkeypatch.setattr(acme, "remove_unused", lambda *_: None)
    assert program.main(["run"]) == 1
    output = capsys.readouterr()
    assert (output.out, output.err) == ("nothing to do\n", "docs: not issued\n")


def test_check_only_validates_the_settings(
    settings: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["check"]) == 0
    settings.write_text(json.dumps({**DATA, "renew_days": 0}))
    assert program.main(["check"]) == 1
    assert "renew_days is 0" in capsys.readouterr().out
    assert program.main(["run"]) == 1
    assert calls == []


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_missing_or_invalid_settings_say_what_to_do(
    text: str | None, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.unlink()
    if text is not None:
        settings.write_text(text)
    assert program.main(["run"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vise-certificates: ")
    assert "run the role certificates on this host" in error


@pytest.mark.usefixtures("settings")
def test_error_of_the_host_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_given: object) -> acme.Outcome:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(acme, "run", fail)
    assert program.main(["run"]) == 1
    assert capsys.readouterr().err == "vise-certificates: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [[], ["help"], ["run", "now"], ["plan", "run"]])
def test_usage_is_shown_for_other_arguments(
    arguments: list[str], calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert "usage: vise-certificates check" in capsys.readouterr().err
    assert calls == []


def test_commands_get_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    assert program.run_command(["sh", "-c", "echo $REQUESTS_CA_BUNDLE; echo error >&2; exit 4"]) == (4, "\n\nerror\n")
    assert program.run_command(["no-such-program"])[0] == 127
