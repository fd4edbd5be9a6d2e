"""The files that redis.conf includes, the isolated instance that reads all files, and the settings of the program."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import servers
from ansible_collections.vise.platform.plugins.module_utils.redis import included, isolated, state
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import RedisError, Settings

from .stand_ins import ConnectionFailed, Loading, Server


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with 1000 bytes."""
    monkeypatch.setattr(included, "read_host_memory", lambda: 1000)


def test_settings_are_read_or_name_the_role(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"memory": "512mb"}')
    assert Settings.load(str(tmp_path / "settings.json")).memory == "512mb"
    with pytest.raises(RedisError, match="run the role redis"):
        Settings.load(str(tmp_path / "nowhere"))


def test_run_directory_has_the_limit_the_users_and_the_administrator(settings: Settings) -> None:
    run = Path(settings.run)
    run.rmdir()
    previous = os.umask(0o077)
    try:
        included.write_run_directory(settings)
    finally:
        os.umask(previous)
    secret = (run / "admin").read_text()
    assert len(secret) == 64
    users = ["user default off", "user edu on #0 ~edu:*", state.describe_admin(secret)]
    assert (run / "users.acl").read_text().splitlines() == users
    assert (run / "limits.conf").read_text() == "maxmemory 250\n"
    modes = [mode(path) for path in (run, run / "admin", run / "users.acl", run / "limits.conf")]
    assert modes == [0o750, 0o600, 0o640, 0o640]


def test_password_stays_until_the_next_boot(settings: Settings) -> None:
    included.write_run_directory(settings)
    secret = included.read_secret(settings)
    included.write_run_directory(settings)
    assert included.read_secret(settings) == secret
    (Path(settings.run) / "admin").unlink()
    assert included.read_secret(settings) != secret


class Isolated:
    """What runs in place of the isolated redis-server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script = "exec sleep 60"
        self.seen: dict[str, str] = {}
        self.real = servers.run_server
        monkeypatch.setattr(servers, "run_server", self.run)

    @contextlib.contextmanager
    def run(self, argv: list[str], *, directory: str, umask: int, **options: str) -> Iterator[servers.Server]:
        """Stand in for servers.run_server."""
        assert (argv[0], umask, os.path.basename(directory)) == ("redis-server", 0o077, "own")  # noqa: PTH119
        self.seen = {path.name: path.read_text() for path in Path(argv[1]).parent.iterdir() if path.is_file()}
        self.seen["directory"] = str(Path(argv[1]).parent)
        with self.real(["sh", "-c", self.script], user=options["user"]) as server:
            yield server


@pytest.fixture(name="process")
def fixture_process(monkeypatch: pytest.MonkeyPatch, server: Server) -> Isolated:
    shown = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file", "aclfile")
    server.settings = {"maxmemory": "250", "tls-port": "0", "hz": "10", **dict.fromkeys(shown, "")}
    server.users = ["user default off"]
    monkeypatch.setattr(isolated, "PATIENCE", 20)
    return Isolated(monkeypatch)


def test_wanted_state_comes_from_an_isolated_instance(settings: Settings, server: Server, process: Isolated) -> None:
    server.infos = [{"loading": 1}, {"loading": 0}]
    wanted = isolated.read_wanted_state(settings)
    assert wanted.users == ["user default off"]
    assert {key: wanted.settings[key] for key in ("hz", "tls-port", "aclfile")} == {
        "hz": "10",
        "tls-port": "6379",
        "aclfile": f"{settings.run}/users.acl",
    }
    directory = process.seen["directory"]
    config = process.seen["isolated.conf"]
    assert f"aclfile {directory}/users.acl\n" in config
    assert config.splitlines()[-5:] == [
        "tls-port 0",
        f"unixsocket {directory}/own/socket",
        "unixsocketperm 700",
        f"dir {directory}/own",
        'logfile ""',
    ]
    assert "replication" not in config
    assert process.seen["limits.conf"] == "maxmemory 250\n"
    assert "user admin on #" in process.seen["users.acl"]
    assert server.options["unix_socket_path"] == f"{directory}/own/socket"
    assert not Path(directory).exists()
    # Nothing of the live instance is written.
    assert list(Path(settings.run).iterdir()) == []


@pytest.mark.usefixtures("server")
def test_certificate_is_loaded_on_request(settings: Settings, process: Isolated) -> None:
    isolated.read_wanted_state(settings, certificate=True)
    assert "\ntls-replication yes\n" in process.seen["isolated.conf"]


@pytest.mark.usefixtures("process")
def test_limit_above_the_hosts_memory_is_refused(settings: Settings, server: Server) -> None:
    server.settings["maxmemory"] = "1001"
    with pytest.raises(RedisError, match="redis_memory is 25%, more than the host has"):
        isolated.read_wanted_state(settings)


def test_reason_of_a_rejection_has_no_hashes(settings: Settings, process: Isolated, server: Server) -> None:
    process.script = f"echo '1:C 1 * Starting'; echo 'Bad user #{'0' * 64}'; exit 1"
    server.errors["connect"] = [ConnectionFailed("no such file") for _number in range(10000)]
    with pytest.raises(RedisError) as raised:
        isolated.read_wanted_state(settings)
    assert str(raised.value) == "Bad user #<hash>"


@pytest.mark.parametrize("line", ["rename-command CONFIG hidden", "include /etc/redis/more.conf"])
def test_setting_that_could_hide_the_state_is_refused_before_redis_reads_it(
    settings: Settings, process: Isolated, line: str
) -> None:
    with Path(settings.config).open("a") as handle:
        handle.write(f"{line}\n")
    with pytest.raises(RedisError, match=f"redis_settings: {line.split()[0]}: CONFIG GET does not show"):
        isolated.read_wanted_state(settings)
    assert process.seen == {}


def test_hidden_setting_is_refused(settings: Settings, process: Isolated) -> None:
    with Path(settings.config).open("a") as handle:
        handle.write("rdb-key-save-delay 5\n")
    with pytest.raises(RedisError, match="redis_settings: rdb-key-save-delay: "):
        isolated.read_wanted_state(settings)
    assert process.seen != {}


@pytest.mark.usefixtures("process")
def test_connection_waits_for_the_socket_and_the_data(settings: Settings, server: Server) -> None:
    server.errors = {"connect": [ConnectionFailed("no such file")], "info": [Loading("loading")]}
    isolated.read_wanted_state(settings)
    assert [call[0] for call in server.calls[:4]] == ["connect", "connect", "info", "info"]


@pytest.mark.usefixtures("process")
def test_instance_must_answer_in_time(settings: Settings, server: Server) -> None:
    server.infos = [{"loading": 1}]
    directory = settings.run
    (Path(directory) / "own").mkdir()
    with (
        pytest.raises(RedisError, match="does not answer after 0 s"),
        isolated.run_isolated(settings, directory, "", "secret", 0),
    ):
        pass


@pytest.mark.usefixtures("process")
def test_missing_library_is_reported_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(RedisError, match="install the package python3-redis"):
        isolated.read_wanted_state(settings)
