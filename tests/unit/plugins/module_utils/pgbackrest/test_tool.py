"""Programs run as postgres, and credentials are in no output."""

from __future__ import annotations

import getpass
import multiprocessing
import time
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import tool
from ansible_collections.vise.platform.plugins.module_utils.postgresql import session

# A program that is busy; it notes its process id.
BUSY = "echo $$ >{}; exec sleep 600"
CONFIG = "repo1-s3-key=AKIA1\nrepo1-s3-key-secret=s3cret\nrepo2-cipher-pass = long pass\nrepo1-path=/x\n"


@pytest.fixture(autouse=True)
def own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "USER", getpass.getuser())


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "x.conf"
    path.write_text(CONFIG)
    return str(path)


def test_secrets_of_a_configuration_are_its_credentials(config: str) -> None:
    assert tool.read_secrets(config) == ["AKIA1", "s3cret", "long pass"]


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_secrets_are_hidden_in_the_output(
    config: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pgbackrest"
    program.write_text("#!/bin/sh\necho \"$@\" /x; echo 'AKIA1 long pass' >&2; exit 39\n")
    program.chmod(0o755)
    monkeypatch.setitem(programs.ENVIRONMENT, "PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PATH", programs.ENVIRONMENT["PATH"])
    result = tool.pgbackrest(config, "s3cret", "--repo=1", command)
    out = f"--config={config} --stanza=(hidden) --repo=1 {command} /x\n"
    assert result == programs.Result(39, out, "(hidden) (hidden)\n")


def test_failed_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "GRACE", 0.2)
    begun = time.monotonic()
    result = tool.run_to_verdict(["sh", "-c", "echo 'ERROR: [029]: gone'; sleep 600; true"])
    assert (result.failed, result.out) == (True, "ERROR: [029]: gone\n")
    assert time.monotonic() - begun < 60


def test_program_that_ends_by_itself_is_not_killed() -> None:
    assert tool.run_to_verdict(["sh", "-c", "echo 'ERROR: [029]: gone'; exit 29"]).code == 29
    assert tool.run_to_verdict(["sh", "-c", "echo done"]) == programs.Result(0, "done\n")


def test_query_ignores_an_operators_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def run(argv: list[str], **options: object) -> programs.Result:
        given.update(options, argv=argv)
        return programs.Result(0, "1\n")

    monkeypatch.setattr(programs, "run", run)
    assert tool.psql("select 1", "/run/s", 5433, "17").out == "1\n"
    assert given["argv"] == [
        *["psql", "-X", "-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1"],
        *["-h", "/run/s", "-p", "5433", "-d", "postgres", "-c", "select 1"],
    ]
    settings = session.build_environment("17")
    assert given["environment"] == {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "vise", **settings}


@pytest.mark.parametrize("command", ["backup", "restore"])
@pytest.mark.parametrize(("version", "expected"), [("17\n", True), ("15\n", False), ("", False)])
def test_session_of_pgbackrest_has_no_time_limit(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, version: str, expected: bool
) -> None:
    (tmp_path / "data").mkdir()
    if version:
        (tmp_path / "data/PG_VERSION").write_text(version)
    Path(config).write_text(f"{CONFIG}pg1-path={tmp_path}/data\n")
    program = tmp_path / "pgbackrest"
    program.write_text('#!/bin/sh\necho "$PGOPTIONS"\n')
    program.chmod(0o755)
    monkeypatch.setitem(programs.ENVIRONMENT, "PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PATH", programs.ENVIRONMENT["PATH"])
    options = tool.pgbackrest(config, "main", command).out
    assert "-c idle_session_timeout=0" in options
    # A server that does not know the setting would reject the session.
    assert ("transaction_timeout=0" in options.replace("idle_in_transaction", "")) is expected


def test_restore_does_not_outlive_a_run_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = ["sh", "-c", BUSY.format(note)]
    run = multiprocessing.get_context("fork").Process(target=tool.run_to_verdict, args=(command,))
    run.start()
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(note.read_text())
    run.kill()
    run.join()
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
