"""A complete run with stub proofs."""

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
    ProofError,
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


def use_stub_proofs(monkeypatch: pytest.MonkeyPatch, **proofs: Callable[[Outcome], None]) -> None:
    def proof(act: Callable[[Outcome], None]) -> Callable[..., None]:
        def prove(_settings: Settings, _repository: str, _bench: host.ScratchDirectory, outcome: Outcome) -> None:
            act(outcome)

        return prove

    monkeypatch.setattr(run, "PROOFS", {name: proof(act) for name, act in proofs.items()})


def raising(error: Exception) -> Callable[[Outcome], None]:
    def act(_outcome: Outcome) -> None:
        raise error

    return act


def fine(outcome: Outcome) -> None:
    outcome.record_rpo(5)


def metric(settings: Settings, text: str) -> bool:
    return text in (Path(settings.metrics) / "vise_restore_proof.prom").read_text()


def newest(settings: Settings) -> dict[str, Any]:
    text = max(Path(settings.reports).glob("*.json")).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_successful_run_proves_everything(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub_proofs(monkeypatch, restic=fine, redis=fine)
    assert run.run(settings, "") == 0
    assert newest(settings)["success"] is True
    assert metric(settings, 'success{tool="redis",repository="a"} 1')


@pytest.mark.parametrize("error", [ProofError("no snapshot"), KeyError("time"), OSError(28, "No space left on device")])
def test_next_proof_runs_after_a_failure(settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    use_stub_proofs(monkeypatch, restic=raising(error), redis=fine)
    assert run.run(settings, "") == 1
    assert metric(settings, 'success{tool="restic",repository="a"} 0')
    assert metric(settings, 'success{tool="redis",repository="a"} 1')


def test_proofs_after_a_stop_count_as_failed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub_proofs(monkeypatch, restic=raising(run.RunStopped("stopped by SIGTERM")), redis=fine)
    assert run.run(settings, "") == 1
    restic, redis = newest(settings)["proofs"]
    assert restic["problems"] == ["stopped by SIGTERM"]
    assert redis["problems"] == ["not proven: the run was stopped before"]
    assert metric(settings, 'success{tool="redis",repository="a"} 0')


def test_signal_stops_the_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = []
    monkeypatch.setattr(signal, "signal", lambda number, _handler: ignored.append(number))
    with pytest.raises(run.RunStopped, match="SIGTERM"):
        run.interrupt(signal.SIGTERM, None)
    assert signal.SIGTERM in ignored


def test_run_of_one_kind_keeps_the_metrics_of_the_others(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub_proofs(monkeypatch, restic=fine, redis=raising(ProofError("truncated")))
    assert run.run(settings, "") == 1
    assert run.run(settings, "restic") == 0
    assert metric(settings, 'success{tool="redis",repository="a"} 0')
    assert metric(settings, 'success{tool="restic",repository="a"} 1')


def test_no_secret_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_stub_proofs(monkeypatch, restic=raising(ProofError("login with very-secret refused")), redis=fine)
    run.run(settings, "")
    output = capsys.readouterr()
    texts = [path.read_text() for folder in (settings.reports, settings.metrics) for path in Path(folder).iterdir()]
    assert "login with (secret) refused" in output.out
    assert not any("very-secret" in text for text in [output.out, output.err, *texts])


def test_run_without_proofs_fails(settings: Settings) -> None:
    with pytest.raises(ProofError, match="nothing to prove"):
        run.run(dataclasses.replace(settings, restic_repositories=()), "")


def test_leftovers_are_removed_first_and_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_stub_proofs(monkeypatch, restic=fine, redis=fine)
    (Path(settings.scratch) / "run" / "data").mkdir(parents=True)
    assert run.run(settings, "") == 0
    assert "removed the leftovers of a killed run" in capsys.readouterr().out
    assert not (Path(settings.scratch) / "run").exists()
