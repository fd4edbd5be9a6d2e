"""A complete run with stub proofs."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import locks
from ansible_collections.vise.platform.plugins.module_utils.restic.repository import Repository
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host, run
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome
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


def test_backups_have_metrics_before_their_first_proof_and_keep_those_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.record_targets(settings) == 0
    assert metric(settings, 'timestamp_seconds{tool="redis",repository="a"} 0')
    assert list(Path(settings.reports).iterdir()) == []
    use_stub_proofs(monkeypatch, restic=fine, redis=raising(ProofError("truncated")))
    run.run(settings, "")
    run.record_targets(settings)
    assert not metric(settings, 'timestamp_seconds{tool="restic",repository="a"} 0')
    assert metric(settings, 'success{tool="restic",repository="a"} 1')
    # A repository that is no longer configured has none.
    run.record_targets(dataclasses.replace(settings, restic_sets=()))
    assert not metric(settings, 'tool="redis"')


def test_running_proof_is_not_disturbed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with locks.lock(f"{settings.scratch}/lock", directory_mode=0o711):
        assert run.record_targets(settings) == 0
    assert "a run is in progress" in capsys.readouterr().out
    assert list(Path(settings.metrics).iterdir()) == []


def test_no_secret_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_stub_proofs(monkeypatch, restic=raising(ProofError("login with very-secret refused")), redis=fine)
    run.run(settings, "")
    output = capsys.readouterr()
    texts = [path.read_text() for folder in (settings.reports, settings.metrics) for path in Path(folder).iterdir()]
    assert "login with (hidden) refused" in output.out
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


@pytest.fixture(name="host_files")
def _host_files(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the two files that the role writes; this process is root's, and its signals stay as they are."""
    data = {**dataclasses.asdict(settings)}
    repositories = data.pop("restic_repositories")
    (tmp_path / "settings.json").write_text(json.dumps(data))
    (tmp_path / "repositories.json").write_text(json.dumps(repositories))
    monkeypatch.setattr(run, "SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setattr(run, "REPOSITORIES", str(tmp_path / "repositories.json"))
    monkeypatch.setattr(run, "SIGNALS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.usefixtures("host_files")
def test_program_runs_the_chosen_proofs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub_proofs(monkeypatch, restic=fine, redis=raising(ProofError("truncated")))
    assert run.main(["--only", "restic"]) == 0
    assert run.main([]) == 1
    assert [proof["proof"] for proof in newest(settings)["proofs"]] == ["restic", "redis"]


def test_check_only_validates_the_settings(host_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--check"]) == 0
    change(host_files / "settings.json", scratch="/etc/vise/proof")
    assert run.main(["--check"]) == 1
    assert "choose one outside /etc, which contains live data" in capsys.readouterr().err


def test_dangerous_settings_stop_a_run(host_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(host_files / "settings.json", scratch="/etc/vise/proof")
    monkeypatch.setattr(run, "run", lambda *_: pytest.fail("it ran"))
    assert run.main([]) == 1


@pytest.mark.parametrize("name", ["settings.json", "repositories.json"])
@pytest.mark.parametrize("text", [None, "{", "3"])
def test_missing_or_invalid_settings_say_what_to_do(
    name: str, text: str | None, host_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (host_files / name).unlink()
    if text is not None:
        (host_files / name).write_text(text)
    assert run.main([]) == 1
    assert "is invalid: run the role backup_verify again" in capsys.readouterr().err


@pytest.mark.usefixtures("host_files")
def test_second_run_is_refused(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with locks.lock(f"{settings.scratch}/lock"):
        assert run.main([]) == 1
    assert "another run is in progress" in capsys.readouterr().err


def test_other_users_than_root_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run.main([]) == 1
    assert "run sudo vise-backup-verify" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "files"], ["now"]])
def test_usage_is_shown_for_other_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run.main(arguments)
    assert raised.value.code == 2
    assert "usage: vise-backup-verify" in capsys.readouterr().err
