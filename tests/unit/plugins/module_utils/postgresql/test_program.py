"""The program of a cluster's unit: it validates and activates the files, and prevents a second primary."""

from __future__ import annotations

import dataclasses
import getpass
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.vise.platform.plugins.action import component
from ansible_collections.vise.platform.plugins.module_utils.component.programs import Program
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.postgresql import instance, program, session
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError

PEER, SELF = "192.0.2.1", "2001:db8::1"
CONTROL = "Database system identifier:           7\nLatest checkpoint's TimeLineID:       {timeline}\n"
Result = programs.Result


class Host:
    """A host below a directory, with the answers of its programs and servers."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls: list[str] = []
        self.timeline = 1
        self.peers: dict[str, str] = {}
        # Answers to queries on this host, by a word of the query; each list ends with the answer that stays.
        self.answers: dict[str, list[str]] = {}
        self.up = True
        self.broken: list[str] = []
        for name in ("data", "config"):
            (place / name).mkdir()
        (place / "config/postgresql.conf").touch()
        self.settings = program.Settings(
            config=str(place / "config"),
            data=str(place / "data"),
            binaries="/bin/17",
            unit="postgresql@17-main.service",
            fence=str(place / "fenced"),
            port=5432,
            standby=False,
            peers=(PEER, SELF),
            user="follow",
            passfile="/pass",
            ca_file="/ca.pem",
        )

    def run(self, argv: list[str], **options: object) -> Result:
        """Stand in for programs.run."""
        name = argv[0].rpartition("/")[2]
        if name == "psql":
            environment = {"HOME": "/nonexistent", **session.build_environment("")}
            assert options == {"user": "postgres", "environment": environment}
            return self.query(argv)
        self.calls.append(" ".join([name, *argv[1:]]))
        if name == "pg_controldata":
            return Result(0, CONTROL.format(timeline=self.timeline))
        if argv[1:3] == ["-q", "is-active"]:
            return Result(0 if self.up else 3, "")
        return Result(1, "", "broken") if name in self.broken else Result(0, "")

    def query(self, argv: list[str]) -> Result:
        """Answer a query on a peer or on this host."""
        if "replication=true" in argv[-1]:
            answer = self.peers.get(argv[-1].split("host=")[1].split()[0], "")
            return Result(0 if answer else 2, answer)
        if not self.up:
            return Result(2, "", "connection refused")
        self.calls.append(" ".join([argv[argv.index("-p") + 1], argv[-1].strip()]))
        waiting = next((lines for word, lines in self.answers.items() if word in argv[-1]), [""])
        return Result(0, (waiting.pop(0) if len(waiting) > 1 else waiting[0]) + "\n")

    @property
    def fence(self) -> str:
        path = self.place / "fenced"
        return path.read_text() if path.exists() else ""


def primary(timeline: int, system: int = 7) -> str:
    return f"{system}|{timeline}|0/3000060|\noff\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host(tmp_path)
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return found


# ---- a second primary ----


@pytest.mark.parametrize(
    ("answer", "starts", "fenced"),
    [
        ("", True, False),
        ("half an answer\n", True, False),
        (primary(3).replace("off", "on"), True, False),
        (primary(3, system=8), True, False),
        # The other server is on an older timeline: it must not prevent this one from starting.
        (primary(1), True, False),
        (primary(2), False, False),
        (primary(3), False, True),
    ],
)
def test_primary_starts_unless_a_peer_is_on_its_timeline_or_later(
    machine: Host, answer: str, starts: bool, fenced: bool
) -> None:
    machine.timeline, machine.peers[SELF] = 2, answer
    if starts:
        program.guard(machine.settings)
    else:
        with pytest.raises(ClusterError, match="must not serve"):
            program.guard(machine.settings)
    assert bool(machine.fence) is fenced


def test_refusal_names_the_primary(machine: Host) -> None:
    machine.peers[PEER] = primary(2)
    with pytest.raises(ClusterError) as raised:
        program.guard(machine.settings)
    assert str(raised.value) == (
        f"{PEER} is primary of this cluster on timeline 2; this host is on timeline 1 and must not serve"
    )
    assert machine.fence == f"{PEER} was promoted, to timeline 2\n"


def test_refused_start_is_not_repeated_at_once(machine: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    machine.peers[PEER] = primary(1)
    with pytest.raises(ClusterError):
        program.guard(machine.settings)
    assert slept == [program.REFUSAL_SECONDS]


def test_fence_keeps_its_reason(machine: Host) -> None:
    (machine.place / "fenced").write_text("db-2 was promoted in its place\n")
    machine.peers[PEER] = primary(2)
    with pytest.raises(ClusterError):
        program.guard(machine.settings)
    assert machine.fence == "db-2 was promoted in its place\n"


def test_standby_starts_next_to_its_primary(machine: Host) -> None:
    (machine.place / "data/standby.signal").touch()
    machine.peers[PEER] = primary(2)
    program.guard(machine.settings)


def test_server_without_peers_starts_and_queries_nothing(machine: Host) -> None:
    program.guard(dataclasses.replace(machine.settings, peers=()))
    assert machine.calls == []


@pytest.mark.parametrize(
    ("live", "answers", "stops"),
    [
        (1, {PEER: primary(2)}, True),
        (1, {PEER: primary(1)}, False),
        (1, {PEER: ""}, False),
        # Timelines are hexadecimal, as in the names of WAL files.
        (10, {PEER: primary(9)}, False),
        (10, {PEER: primary(11)}, True),
        # Just promoted: its control file still has the previous timeline.
        (2, {PEER: primary(1), SELF: primary(2)}, False),
        # A standby.
        (0, {PEER: primary(2)}, False),
    ],
)
def test_running_primary_yields_to_a_promoted_peer(
    machine: Host, live: int, answers: dict[str, str], stops: bool
) -> None:
    machine.peers = answers
    machine.answers = {"pg_walfile_name": [f"{live:08X}" if live else ""]}
    program.yield_to_promoted(machine.settings)
    stopped = f"systemctl stop --no-block {machine.settings.unit}" in machine.calls
    assert (stopped, bool(machine.fence)) == (stops, stops)


def test_server_that_does_not_answer_yields_to_nobody(machine: Host) -> None:
    machine.up, machine.peers = False, {PEER: primary(2)}
    program.yield_to_promoted(machine.settings)
    assert (machine.calls, machine.fence) == ([], "")


# ---- configuration ----


def test_stopped_server_is_started(machine: Host) -> None:
    machine.up = False
    program.activate(machine.settings)
    verbs = [call.split()[1] for call in machine.calls]
    assert verbs == ["-q", "reset-failed", "start"]


def test_files_are_loaded_and_settings_of_alter_system_are_removed(machine: Host) -> None:
    machine.answers = {
        "postgresql.auto.conf": ['work_mem\n"odd name"'],
        "pg_conf_load_time": ["before", "before", "after"],
    }
    program.activate(machine.settings)
    statements = [call for call in machine.calls if "ALTER" in call or "reload" in call]
    assert statements == [
        "5432 ALTER SYSTEM RESET work_mem",
        '5432 ALTER SYSTEM RESET "odd name"',
        "5432 SELECT pg_reload_conf()",
    ]
    assert not any("restart" in call for call in machine.calls if call.startswith("systemctl"))


def test_server_is_restarted_for_settings_that_need_it(machine: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # The time of the load does not change, for example because the files are invalid.
    monkeypatch.setattr(program, "LOAD_SECONDS", 0)
    machine.answers = {"WHERE pending_restart": ["max_connections"]}
    program.activate(machine.settings)
    assert machine.calls[-1] == f"systemctl restart {machine.settings.unit}"


def test_running_server_is_queried_at_its_own_port(machine: Host) -> None:
    # The files already have a new one.
    (machine.place / "data/postmaster.pid").write_text("7\n/data\n1\n5433\n")
    program.query(machine.settings, "SELECT 1")
    assert machine.calls == ["5433 SELECT 1"]


@pytest.mark.parametrize(
    ("standby", "word"), [(False, "not a primary, but a standby"), (True, "does not stream from the primary")]
)
def test_live_state_is_verified_for_the_role_of_the_server(machine: Host, standby: bool, word: str) -> None:
    program.verify_live_state(dataclasses.replace(machine.settings, standby=standby))
    problems, generation = machine.calls
    assert word in problems
    assert ("not a standby" in problems) is standby
    assert generation == "5432 SHOW vise.generation"


def test_live_generation_is_printed(machine: Host, capsys: pytest.CaptureFixture[str]) -> None:
    machine.answers = {"SHOW": ["abc123"]}
    program.verify_live_state(machine.settings)
    assert capsys.readouterr().out == "abc123\n"


def test_difference_from_the_files_is_an_error(machine: Host, capsys: pytest.CaptureFixture[str]) -> None:
    machine.answers = {"UNION ALL": ["restart pending: port\nno data checksums"]}
    with pytest.raises(ClusterError, match="restart pending: port\nno data checksums"):
        program.verify_live_state(machine.settings)
    assert capsys.readouterr().out == ""


@pytest.fixture
def server(machine: Host, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The temporary server of a check."""
    found = SimpleNamespace(log="", ready=True, command=[], ended=0, place="")
    monkeypatch.setattr(program, "USER", getpass.getuser())
    monkeypatch.setattr("shutil.chown", lambda *_: None)

    def start(command: list[str], log: str, **_options: str) -> SimpleNamespace:
        found.command = command
        found.place = str(Path(log).parent)
        Path(log).write_text(found.log)
        return SimpleNamespace(poll=lambda: 1, returncode=1)

    def stop(*_arguments: object) -> None:
        found.ended += 1

    monkeypatch.setattr(instance, "start", start)
    monkeypatch.setattr(instance, "is_ready", lambda _data: found.ready)
    monkeypatch.setattr(instance, "stop", stop)
    assert machine.calls == []
    return found


def test_files_are_checked_by_a_private_temporary_server(machine: Host, server: SimpleNamespace) -> None:
    program.check(machine.settings)
    assert machine.calls[0].startswith(f"initdb -D {server.place}/data -A peer")
    assert f"config_file={machine.settings.config}/postgresql.conf" in server.command
    for word in (
        "listen_addresses=",
        "archive_mode=off",
        "huge_pages=off",
        "shared_buffers=128MB",
        f"unix_socket_directories={server.place}",
    ):
        assert word in server.command
    assert server.ended == 1
    assert not Path(server.place).exists()


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ('10:00 [7] LOG:  starting\n10:00 [7] FATAL:  no "x"\nDETAIL: why\n', '10:00 [7] FATAL:  no "x"\nDETAIL: why'),
        ("10:00 LOG:  unrecognized configuration parameter\n", "10:00 LOG:  unrecognized configuration parameter"),
        ("libc: killed\n", "libc: killed"),
        ("", "the server ended while it started (exit 1)"),
    ],
)
def test_rejected_files_are_explained_from_the_log(
    machine: Host, server: SimpleNamespace, log: str, message: str
) -> None:
    server.log, server.ready = log, False
    with pytest.raises(ClusterError) as raised:
        program.check(machine.settings)
    assert str(raised.value) == message
    assert server.ended == 1
    assert not Path(server.place).exists()


def test_host_without_a_cluster_has_nothing_to_check(machine: Host, server: SimpleNamespace) -> None:
    (machine.place / "config/postgresql.conf").unlink()
    program.check(machine.settings)
    assert (server.command, machine.calls) == ([], [])


# ---- the command line ----


@pytest.fixture
def described(machine: Host, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of the host."""
    path = machine.place / "postgresql-17.json"
    path.write_text(json.dumps(dataclasses.asdict(machine.settings)))
    monkeypatch.setattr(program, "SETTINGS", f"{machine.place}/{{}}.json")
    monkeypatch.setattr(program, "find_name", lambda: "postgresql-17")
    return path


@pytest.mark.usefixtures("described")
def test_command_is_run_with_the_settings_of_its_version(machine: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["guard"]) == 0
    machine.peers[PEER] = primary(2)
    assert program.main(["guard"]) == 1
    assert "must not serve" in capsys.readouterr().err
    machine.up = False
    machine.broken = ["systemctl"]
    assert program.main(["activate"]) == 1
    assert "broken" in capsys.readouterr().err
    assert program.main(["live"]) == 1
    assert capsys.readouterr().err == "the server on port 5432 does not answer: connection refused\n"


def test_missing_settings_name_the_role(described: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described.unlink()
    assert program.main(["live"]) == 1
    assert capsys.readouterr().err == f"{described} does not exist: run the role postgresql on this host\n"


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize("line", ["", "start", "guard now"])
def test_other_arguments_are_answered_with_the_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(line.split()) == 2
    assert capsys.readouterr().err.startswith("usage: vise-postgresql-17 check ")


def test_installed_program_knows_its_version(tmp_path: Path) -> None:
    installed = component.add_programs(
        {"name": "x", "files": [], "links": [], "programs": [{"name": "postgresql-17", "module": "postgresql.program"}]}
    )
    directory = Program("postgresql-17", "postgresql.program").directory
    for file in installed["files"]:
        path = tmp_path / file["dest"].removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"].replace(directory, f"{tmp_path}{directory}"))
        path.chmod(int(file["mode"], 8))
    link = tmp_path / "vise-postgresql-17"
    link.symlink_to(f"{tmp_path}{directory}/run")
    done = subprocess.run([link], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0].split()[1]) == (2, "vise-postgresql-17")


MEMORY = "MemTotal: 4096000 kB\nHugePages_Total: 500\n"


@pytest.mark.parametrize(
    ("megabytes", "huge_pages", "meminfo", "message"),
    [
        (4000, 500, MEMORY, ""),
        (4001, 0, MEMORY, "needs 4001 MB of shared memory, and this host has 4000 MB: reduce shared_buffers"),
        (1024, 501, MEMORY, "needs 501 huge pages, and this host has 500: set vm.nr_hugepages to 501"),
        (1024, 1, "MemTotal: 4096000 kB\n", "needs 1 huge pages, and this host has 0"),
    ],
)
def test_memory_that_the_host_does_not_have_is_reported(
    megabytes: int, huge_pages: int, meminfo: str, message: str
) -> None:
    found = program.describe_missing_memory(megabytes, huge_pages, meminfo)
    assert message in found
    assert bool(found) is bool(message)
