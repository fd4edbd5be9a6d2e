from __future__ import annotations

import getpass
import os
import time

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs, servers

SCRIPT = "echo begun; echo wrong >&2; echo $PGHOST; umask; pwd; exec sleep 60"


def test_server_runs_until_the_end_of_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "of the operator")
    with servers.run_server(["sh", "-c", SCRIPT], user=getpass.getuser(), directory="/usr", umask=0o077) as server:
        end = time.monotonic() + 20
        while "/usr" not in server.output and time.monotonic() < end:
            time.sleep(0.01)
        assert not server.ended
        assert server.output == "begun\nwrong\n\n0077\n/usr\n"
    assert server.process.returncode == -9


def test_server_ends_with_a_context_that_fails() -> None:
    with pytest.raises(KeyError), servers.run_server(["sleep", "60"], user=getpass.getuser()) as server:
        raise KeyError
    assert server.ended


def test_output_of_a_server_that_has_stopped_is_known() -> None:
    with servers.run_server(["sh", "-c", "echo why; exit 3"], user=getpass.getuser()) as server:
        server.process.wait()
        assert (server.ended, server.output) == (True, "why\n")


def test_missing_server_raises() -> None:
    with pytest.raises(FileNotFoundError), servers.run_server(["no-such-program"], user=getpass.getuser()):
        pass


def test_user_gets_its_groups_and_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    plain, more = programs.identity("root"), programs.identity("root", ["daemon"])
    assert (plain["user"], plain["group"]) == (0, 0)
    assert more["extra_groups"] == [*plain["extra_groups"], 1]
    with pytest.raises(KeyError):
        programs.identity("root", ["no-such-group"])
