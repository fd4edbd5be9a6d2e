"""What a killed run has left is found and ended; what belongs to somebody else is not."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import Failed


def sleeper(tmp_path: Path, name: str, place: Path) -> subprocess.Popen[bytes]:
    program = Path(shutil.copy(shutil.which("sleep") or "sleep", tmp_path / name))
    return subprocess.Popen([program, "60"], cwd=place)


def test_a_leftover_is_ended_and_removed(tmp_path: Path) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    left = sleeper(tmp_path, "postgres", tmp_path / "run" / "data")
    # Its parent is this test, so that it stays a zombie until it is waited for; a zombie has no directory.
    found = host.clear(str(tmp_path))
    assert left.wait(10) == -signal.SIGKILL
    assert found == [f"postgres (process {left.pid})", str(tmp_path / "run")]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "place"), [("bash-of-somebody", "run"), ("postgres", "."), ("postgres", "runner")])
def test_somebody_elses_program_is_left_alone(tmp_path: Path, name: str, place: str) -> None:
    for folder in ("run", "runner"):
        (tmp_path / folder).mkdir()
    process = sleeper(tmp_path, name, tmp_path / place)
    try:
        assert host.clear(str(tmp_path)) == [str(tmp_path / "run")]
        assert process.poll() is None
    finally:
        host.stop(process, signal.SIGKILL, 10)


def test_nothing_left_is_nothing_to_clear(tmp_path: Path) -> None:
    assert host.clear(str(tmp_path)) == []


def test_a_link_in_the_place_of_data_is_not_followed(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(live)
    host.clear(str(tmp_path))
    assert (live / "file").exists()


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    with host.alone(str(tmp_path)), pytest.raises(Failed, match="under way"), host.alone(str(tmp_path)):
        pass


def test_programs_do_not_see_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "/run/postgresql")
    assert "PGHOST" not in host.environment({"RESTIC_REPOSITORY": "/r"})
    assert host.environment({"RESTIC_REPOSITORY": "/r"})["RESTIC_REPOSITORY"] == "/r"


def test_a_command_ends_with_its_parent_and_runs_as_the_user() -> None:
    bench = host.Bench("/scratch", "verify", print)
    assert bench.argv(["restic"], root=True) == ["setpriv", "--pdeathsig", "KILL", "restic"]
    assert bench.argv(["postgres"], root=False)[3:] == [
        *("--reuid", "verify", "--regid", "verify", "--init-groups", "postgres")
    ]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    host.replace(str(path), "one", 0o600)
    host.replace(str(path), "two", 0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o640)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_an_absent_file_reads_as_nothing(tmp_path: Path) -> None:
    assert host.read(str(tmp_path / "absent")) == ""


def test_log_is_not_written_into_what_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "roots").write_text("root's")
    (tmp_path / "server.log").symlink_to(tmp_path / "roots")
    bench = host.Bench(str(tmp_path), "nobody", print)
    with pytest.raises(FileExistsError), bench.server(["true"], "server.log"):
        pass
    assert (tmp_path / "roots").read_text() == "root's"
