"""Leftovers of a killed run are removed; other programs and files are not touched."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import host


def sleeper(tmp_path: Path, name: str, place: Path) -> subprocess.Popen[bytes]:
    program = Path(shutil.copy(shutil.which("sleep") or "sleep", tmp_path / name))
    return subprocess.Popen([program, "60"], cwd=place)


def test_leftover_is_killed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    left = sleeper(tmp_path, "postgres", tmp_path / "run" / "data")
    # The child stays a zombie until wait(), because its parent is this test; a zombie has no working directory.
    found = host.remove_leftovers(str(tmp_path))
    assert left.wait(10) == -signal.SIGKILL
    assert found == [f"postgres (process {left.pid})", str(tmp_path / "run")]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "place"), [("bash-of-an-operator", "run"), ("postgres", "."), ("postgres", "runner")])
def test_other_programs_are_not_killed(tmp_path: Path, name: str, place: str) -> None:
    for folder in ("run", "runner"):
        (tmp_path / folder).mkdir()
    process = sleeper(tmp_path, name, tmp_path / place)
    try:
        assert host.remove_leftovers(str(tmp_path)) == [str(tmp_path / "run")]
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)


def test_nothing_is_removed_without_leftovers(tmp_path: Path) -> None:
    assert host.remove_leftovers(str(tmp_path)) == []


def test_symbolic_link_in_place_of_data_is_not_followed(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(live)
    host.remove_leftovers(str(tmp_path))
    assert (live / "file").exists()


def test_programs_do_not_get_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "/run/postgresql")
    scratch = host.ScratchDirectory(str(tmp_path), "", print)
    result = scratch.run(
        ["sh", "-c", "echo $PGHOST $RESTIC_REPOSITORY $PWD; cat"], env={"RESTIC_REPOSITORY": "/r"}, text="in"
    )
    assert (result.code, result.out) == (0, f"/r {tmp_path}\nin")


def test_program_ends_with_the_proof(tmp_path: Path) -> None:
    scratch = host.ScratchDirectory(str(tmp_path), "", print)
    # The kernel's signal at the end of the parent, from the status of the process itself
    code = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    assert scratch.run([sys.executable, "-c", code]).out == f"{int(signal.SIGKILL)}\n"


def test_log_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "roots").write_text("root's")
    (tmp_path / "server.log").symlink_to(tmp_path / "roots")
    scratch = host.ScratchDirectory(str(tmp_path), "", print)
    with scratch.run_postgres(["sh", "-c", "echo new; sleep 60"], "server.log"):
        while not scratch.read_file("server.log"):
            pass
    assert ((tmp_path / "roots").read_text(), scratch.read_file("server.log")) == ("root's", "new\n")
