"""A whole run, with proofs that are played."""

from __future__ import annotations

import dataclasses
import getpass
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host, run
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.repository import Repository
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import (
    Failed,
    ResticSet,
    Settings,
)

REPOSITORY = Repository("a", "s3:https://a/b", "very-secret", "access", "also-secret")


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    for name in ("scratch", "reports", "metrics"):
        (tmp_path / name).mkdir()
    return Settings(
        user=getpass.getuser(),
        scratch=str(tmp_path / "scratch"),
        reports=str(tmp_path / "reports"),
        metrics=str(tmp_path / "metrics"),
        keep_reports=2,
        rpo_seconds=3600,
        pgbackrest_config="",
        pgbackrest_stanza="main",
        pgbackrest_repositories=(),
        postgresql_settings={},
        restic_host="",
        restic_sets=(ResticSet("redis", "/dump.rdb"),),
        restic_ca_file="",
        restic_age_seconds=3600,
        restic_parts=1,
        restic_repositories=(REPOSITORY,),
    )


def played(monkeypatch: pytest.MonkeyPatch, **proofs: Callable[[Outcome], None]) -> None:
    def proof(act: Callable[[Outcome], None]) -> Callable[..., None]:
        def prove(_settings: Settings, _repository: str, _bench: host.Bench, outcome: Outcome) -> None:
            act(outcome)

        return prove

    monkeypatch.setattr(run, "PROOFS", {name: proof(act) for name, act in proofs.items()})


def raising(error: Exception) -> Callable[[Outcome], None]:
    def act(_outcome: Outcome) -> None:
        raise error

    return act


def fine(outcome: Outcome) -> None:
    outcome.lower(5)


def metric(settings: Settings, text: str) -> bool:
    return text in (Path(settings.metrics) / "vise_restore_proof.prom").read_text()


def newest(settings: Settings) -> dict[str, Any]:
    text = max(Path(settings.reports).glob("*.json")).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_good_run_proves_everything(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, restic=fine, redis=fine)
    assert run.run(settings, "") == 0
    assert newest(settings)["success"] is True
    assert metric(settings, 'success{tool="redis",repository="a"} 1')


@pytest.mark.parametrize("error", [Failed("no snapshot"), KeyError("time"), OSError(28, "No space left on device")])
def test_one_that_fails_leaves_the_next_its_turn(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    played(monkeypatch, restic=raising(error), redis=fine)
    assert run.run(settings, "") == 1
    assert metric(settings, 'success{tool="restic",repository="a"} 0')
    assert metric(settings, 'success{tool="redis",repository="a"} 1')


def test_what_a_stopped_run_did_not_reach_is_not_proven(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, restic=raising(run.Stopped("stopped by SIGTERM")), redis=fine)
    assert run.run(settings, "") == 1
    restic, redis = newest(settings)["proofs"]
    assert restic["problems"] == ["stopped by SIGTERM"]
    assert redis["problems"] == ["not reached: the run was stopped before"]
    assert metric(settings, 'success{tool="redis",repository="a"} 0')


def test_a_signal_ends_the_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = []
    monkeypatch.setattr(signal, "signal", lambda number, _handler: ignored.append(number))
    with pytest.raises(run.Stopped, match="SIGTERM"):
        run.interrupt(signal.SIGTERM, None)
    assert signal.SIGTERM in ignored


def test_only_one_kind_leaves_the_others_as_they_were(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, restic=fine, redis=raising(Failed("truncated")))
    assert run.run(settings, "") == 1
    assert run.run(settings, "restic") == 0
    assert metric(settings, 'success{tool="redis",repository="a"} 0')
    assert metric(settings, 'success{tool="restic",repository="a"} 1')


def test_no_secret_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played(monkeypatch, restic=raising(Failed("login with very-secret refused")), redis=fine)
    run.run(settings, "")
    said = capsys.readouterr()
    texts = [path.read_text() for folder in (settings.reports, settings.metrics) for path in Path(folder).iterdir()]
    assert "login with (secret) refused" in said.out
    assert not any("very-secret" in text for text in [said.out, said.err, *texts])


def test_nothing_to_prove_is_a_failure(settings: Settings) -> None:
    with pytest.raises(Failed, match="nothing to prove"):
        run.run(dataclasses.replace(settings, restic_repositories=()), "")


def test_leftovers_are_cleared_first_and_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played(monkeypatch, restic=fine, redis=fine)
    (Path(settings.scratch) / "run" / "data").mkdir(parents=True)
    assert run.run(settings, "") == 0
    assert "cleared away what a killed run had left" in capsys.readouterr().out
    assert not (Path(settings.scratch) / "run").exists()
