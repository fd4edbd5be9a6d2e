from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import locks

HOLDER = "import fcntl,sys;f=open(sys.argv[1]);fcntl.flock(f,fcntl.LOCK_EX);print('held',flush=True);sys.stdin.read()"


def test_lock_is_exclusive_until_its_context_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "new/lock")
    with locks.lock(path), pytest.raises(locks.LockedError, match="new/lock"), locks.lock(path, wait=False):
        pass
    with locks.lock(path, wait=False):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    argv = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(locks.LockedError), locks.lock(str(path), wait=False):
            pass
        holder.kill()
        holder.wait()
        with locks.lock(str(path)):
            pass


def test_directory_and_file_of_a_lock_have_their_access(tmp_path: Path) -> None:
    with locks.lock(str(tmp_path / "a/lock"), directory_mode=0o700):
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "a/lock").stat().st_mode & 0o777 == 0o600


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"), locks.lock(str(tmp_path / "lock")):
        pass
    assert not (tmp_path / "elsewhere").exists()
