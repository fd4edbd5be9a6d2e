"""Each application reaches its own keys over TLS and nothing else; no acknowledged write is lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import socket
import ssl
import threading
import time
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.redis_client import PORT, Client, RedisError
from tests.scenario import ADDRESS, NAME, Role

EDU = ("edu", "canary-edu-password-1")
DOCS = ("docs", "canary-docs-password-1")
EDU_USER = {"name": "edu", "passwords": [EDU[1]]}
PID = "systemctl show -P MainPID redis-server"
STATE = f"sha256sum /etc/redis/*; {PID}; vise-redis verify >&2"
# They would give an application the server, or others' keys.
DENIED = (
    "KEYS *", "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1", "DEBUG SLEEP 0", "SCRIPT FLUSH",
    "SHUTDOWN", "EVAL return(1) 0", "FUNCTION LIST", "ACL LIST", "ACL SETUSER edu allkeys", "SAVE", "BGSAVE",
    "BGREWRITEAOF", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT TRACKING on BCAST", "MODULE LIST",
    "REPLICAOF no one", "SLOWLOG GET", "MIGRATE 192.0.2.1 1 k 0 1", "RESTORE edu:r 0 x", "SWAPDB 0 1", "SORT edu:a",
    "SCAN 0", "RANDOMKEY", "DBSIZE", "INFO", "CLUSTER INFO", "GET docs:a", "SET docs:a 1", "COPY docs:a edu:a",
    "RENAME docs:a edu:b", "MGET edu:a docs:a", "DEL docs:a", "SUBSCRIBE docs:news", "PUBLISH docs:news 1",
    "GET plain",
)  # fmt: skip


def cli(host: Host, *words: str) -> str:
    """Run a command as Redis' administrator on the host."""
    return str(host.check_output(" ".join(["vise-redis", "cli", *map(shlex.quote, words)])))


def info(host: Host, *names: str) -> list[int]:
    """Return figures of INFO."""
    lines = dict(line.split(":", 1) for line in cli(host, "INFO").splitlines() if ":" in line)
    return [int(lines[name]) for name in names]


def configured(host: Host, name: str) -> str:
    """Return a setting of the running server."""
    return cli(host, "CONFIG", "GET", name).splitlines()[1]


@pytest.fixture(scope="module", autouse=True)
def keys(host: Host) -> None:
    """A key of each application, one of no application, and one that must survive all faults."""
    cli(host, "MSET", "docs:a", "1", "edu:a", "2", "plain", "3", "edu:whole", "1")


def test_connection_without_tls_gets_no_answer() -> None:
    with socket.create_connection((ADDRESS, PORT), 5) as plain, contextlib.suppress(ConnectionResetError):
        plain.sendall(b"PING\r\n")
        assert b"PONG" not in plain.recv(100)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_is_accepted(version: ssl.TLSVersion) -> None:
    assert Client(EDU, (version, version)).call("PING") == "PONG"


def test_old_tls_is_refused() -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(EDU, (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1))


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (EDU[0], "wrong"),
        # A stored hash is not a password.
        (EDU[0], hashlib.sha256(EDU[1].encode()).hexdigest()),
        ("default", ""),
        ("default", "x"),
        ("admin", ""),
        ("admin", "admin"),
    ],
)
def test_login_without_the_password_is_refused(name: str, password: str) -> None:
    assert Client().error("PING").startswith("NOAUTH")
    assert Client().error("AUTH", name, password).startswith("WRONGPASS")


def test_application_uses_its_own_keys() -> None:
    edu = Client(EDU)
    assert edu.call("SET", "edu:a", 2) == "OK"
    edu.call("MULTI")
    edu.call("INCR", "edu:a")
    assert edu.call("EXEC") == [3]


def test_rotation_has_two_valid_passwords() -> None:
    assert Client(DOCS).call("GET", "docs:a") == "1"
    assert Client(("docs", "canary-docs-password-2")).call("GET", "docs:a") == "1"


def test_rules_of_a_user_are_in_effect() -> None:
    assert "redis_version" in Client(DOCS).call("INFO")
    assert Client(DOCS).error("PUBLISH", "docs:news", 1).startswith("NOPERM")


@pytest.mark.parametrize("command", DENIED)
def test_command_beyond_the_own_keys_is_refused(command: str) -> None:
    assert Client(EDU).error(*command.split()).startswith(("NOPERM", "ERR DEBUG command not allowed"))


def test_full_memory_evicts_expiring_keys_and_then_refuses_writes(host: Host) -> None:
    client, value = Client(EDU), "x" * 100_000
    (limit,) = info(host, "maxmemory")
    for number in range(900):
        client.call("SET", f"edu:session:{number}", value, "EX", 3600)
    evicted, used = info(host, "evicted_keys", "used_memory")
    assert evicted > 0
    assert used <= limit * 1.05
    with pytest.raises(RedisError, match=r"^OOM"):
        for number in range(900):
            client.call("SET", f"edu:kept:{number}", value)
    assert client.call("GET", "edu:kept:0") == value
    assert info(host, "used_memory")[0] <= limit * 1.05
    for number in range(900):
        client.call("UNLINK", f"edu:kept:{number}", f"edu:session:{number}")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("stat -c '%U %G %a' /run/vise-redis", "root redis 750"),
        ("stat -c '%U %a' /run/redis/redis.sock", "redis 700"),
        ("stat -c '%U %a' /run/vise-redis/admin", "root 600"),
        ("stat -c %a /etc/redis/users.acl", "640"),
        ("ss -Hltn | grep -c ':6379 '", "2"),
        ("grep -rl canary- /etc /run/redis /run/vise-redis /var/lib/vise || true", ""),
    ],
)
def test_only_the_administrator_has_the_passwords(host: Host, command: str, expected: str) -> None:
    assert host.check_output(command) == expected


@pytest.mark.parametrize(
    "command",
    [
        "setpriv --reuid redis --regid redis --clear-groups touch /etc/redis/redis.conf",
        "setpriv --reuid nobody --clear-groups redis-cli -s /run/redis/redis.sock PING",
    ],
)
def test_other_account_has_no_access(host: Host, command: str) -> None:
    assert host.run(command).rc != 0


def test_invalid_input_is_refused_and_changes_nothing(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    server = "do not give control of the server"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"redis_settings": {"maxmemory-samples": "lots"}}, "nothing was changed.*maxmemory-samples"),
        ({"redis_settings": {"no-such-setting": 1}}, "nothing was changed.*no-such-setting"),
        ({"redis_users": [{**EDU_USER, "commands": ["+nosuchcommand"]}]}, "nothing was changed.*nosuchcommand"),
        ({"redis_users": [EDU_USER, EDU_USER]}, "nothing was changed.*[Dd]uplicate user"),
        (
            {"redis_tls_certificate": "/etc/vise/tls/internal/nowhere.pem"},
            "nothing was changed.*certificate",
        ),
        (
            {"redis_settings": {"rdb-key-save-delay": 5}},
            "nothing was changed.*rdb-key-save-delay.*CONFIG GET does not show",
        ),
        ({"redis_settings": {"rename-command": "BGSAVE x"}}, "limit `commands` of redis_users"),
        ({"redis_settings": {"hz 9\nmaxclients": 5}}, "single words as names"),
        ({"redis_memory": "90000gb"}, "nothing was changed.*more than the host has"),
        ({"redis_port": 22}, "Rolled back to the previous configuration"),
        ({"redis_memory": "lots"}, "redis_memory must be a size"),
        ({"redis_settings": {"appendonly": False}}, "must not contain settings that the role controls"),
        *[
            ({"redis_users": [{**EDU_USER, "commands": [rule]}]}, server)
            for rule in ("+@admin", "+@slow", "~*", "+config|set")
        ],
        ({"redis_users": [{"name": "edu", "passwords": ["canary"]}]}, "password of 16"),
        ({"redis_users": [{"name": "admin", "passwords": [EDU[1]]}]}, "`admin` is a user of the role"),
        ({"redis_port": "tls"}, "redis_port.*int"),
    ]
    role.assert_refused(cases, secret="canary")  # noqa: S106
    assert host.check_output(STATE) == before


# By id: the fault, its proof, and whether its correction restarts Redis.
DRIFT = {
    "live setting": (
        "vise-redis cli CONFIG SET maxmemory-policy allkeys-random appendfsync no",
        "vise-redis cli CONFIG GET maxmemory-policy | grep allkeys-random",
        False,
    ),
    "user in the file": (
        "echo 'user intruder on nopass ~* +@all' >>/etc/redis/users.acl && systemctl reload redis-server",
        "vise-redis cli ACL LIST | grep intruder",
        False,
    ),
    "stopped and disabled": (
        "systemctl disable --now redis-server",
        'test "$(systemctl is-active redis-server)" = inactive',
        True,
    ),
}
DEEP_DRIFT = {
    "file that Redis has read": (
        "echo 'maxclients 77' >>/etc/redis/redis.conf && systemctl restart redis-server",
        "vise-redis cli CONFIG GET maxclients | grep -x 77",
        False,
    ),
    "live user with more rights": (
        "vise-redis cli ACL SETUSER edu allkeys +@all",
        r"vise-redis cli ACL GETUSER edu | grep -x '~\*'",
        False,
    ),
    "lost password of the administrator": (
        "rm /run/vise-redis/admin",
        'test "$(vise-redis cli PING)" != PONG',
        True,
    ),
}


@pytest.mark.parametrize(
    ("fault", "proof", "restarts"),
    [
        *[pytest.param(*values, id=name) for name, values in DRIFT.items()],
        *[pytest.param(*values, id=name, marks=pytest.mark.deep) for name, values in DEEP_DRIFT.items()],
    ],
)
def test_drift_is_reported_and_corrected(role: Role, host: Host, fault: str, proof: str, restarts: bool) -> None:
    machines.script(host, f"{fault}\n{proof}")
    before = host.check_output(PID)
    role.correct()
    assert host.run(proof).rc != 0
    assert restarts or host.check_output(PID) == before
    assert cli(host, "GET", "edu:whole") == "1"


def test_live_change_keeps_the_process(role: Role, host: Host) -> None:
    before, certificate = host.check_output(PID), Client(EDU).certificate()
    limits = ["normal 0 0 0", "pubsub 16mb 4mb 60"]
    role.apply(redis_users=[EDU_USER], redis_settings={"slowlog-max-len": 64, "client-output-buffer-limit": limits})
    role.tasks("renew_certificate.yml")
    assert host.check_output(PID) == before
    assert Client(EDU).certificate() != certificate
    assert configured(host, "slowlog-max-len") == "64"
    assert "docs" not in cli(host, "ACL", "LIST")


def test_change_that_needs_a_restart_keeps_the_keys(role: Role, host: Host) -> None:
    before = host.check_output(PID)
    role.apply(redis_settings={"databases": 4})
    assert host.check_output(PID) != before
    assert configured(host, "databases") == "4"
    assert cli(host, "GET", "edu:whole") == "1"


def test_new_password_is_in_no_output(role: Role, host: Host) -> None:
    user = {"name": "edu", "passwords": ["canary-shown-nowhere"], "commands": ["-@pubsub"]}
    run = role.play(role.folder / "converge.yml", "-vvv", "--extra-vars", json.dumps({"redis_users": [user]}))
    assert run.code == 0
    assert "vise-redis apply" in run.output
    assert "canary-" not in run.output
    assert "canary-shown" not in host.check_output("journalctl --no-pager")
    assert "-client|tracking -@pubsub" in cli(host, "ACL", "LIST")


class Writer(threading.Thread):
    """A client that writes numbers, remembers each acknowledged one, and connects again after a crash."""

    def __init__(self, name: int) -> None:
        super().__init__(daemon=True)
        self.number, self.acknowledged, self.done = name, 0, threading.Event()
        self.lost_connections = 0

    def run(self) -> None:
        """Write one after the other; one without an answer is written again."""
        client = None
        while not self.done.is_set():
            try:
                client = client or Client(EDU)
                client.call("SET", f"edu:w{self.number}:{self.acknowledged}", self.acknowledged)
                self.acknowledged += 1
            except (OSError, RedisError):
                self.lost_connections += client is not None
                client = None
                time.sleep(0.02)

    def lost(self) -> int:
        """Return how many acknowledged numbers Redis does not have."""
        client, lost = Client(EDU), 0
        for start in range(0, self.acknowledged, 500):
            numbers = range(start, min(start + 500, self.acknowledged))
            found = client.call("MGET", *(f"edu:w{self.number}:{n}" for n in numbers))
            lost += sum(value != str(n) for n, value in zip(numbers, found, strict=True))
        return lost


KILL_IN_REWRITE = f"""
vise-redis cli CONFIG SET rdb-key-save-delay 500
vise-redis cli BGREWRITEAOF
until vise-redis cli INFO persistence | grep aof_rewrite_in_progress:1; do :; done
sleep 0.2
vise-redis cli INFO persistence | grep aof_rewrite_in_progress:1
ls /var/lib/redis/temp-rewriteaof-*
kill -9 $({PID})
"""


def is_writable() -> bool:
    """Return whether an application can write."""
    with contextlib.suppress(OSError, RedisError):
        return str(Client(EDU).call("SET", "edu:alive", 1)) == "OK"
    return False


@pytest.mark.deep
def test_server_killed_in_a_rewrite_comes_back_with_every_acknowledged_write(role: Role, host: Host) -> None:
    role.apply()
    client, kills = Client(EDU), 3
    for number in range(200):
        client.call("MSET", *(word for i in range(100) for word in (f"edu:f:{number}:{i}", i)))
    writers = [Writer(number) for number in range(4)]
    for writer in writers:
        writer.start()
    for _kill in range(kills):
        machines.script(host, KILL_IN_REWRITE)
        assert machines.eventually(is_writable, 60, 0.02)
    for writer in writers:
        writer.done.set()
        writer.join()
    assert all(writer.lost_connections >= kills for writer in writers)
    assert all(writer.acknowledged > 0 for writer in writers)
    assert [writer.lost() for writer in writers] == [0, 0, 0, 0]
    client = Client(EDU)
    for number in range(200):
        client.call("UNLINK", *(f"edu:f:{number}:{i}" for i in range(100)))
    assert host.check_output("find /var/lib/redis -name 'temp-*'") == ""


CUT_TAIL = """
vise-redis cli SET edu:whole 1
vise-redis cli SET edu:cut 1
systemctl stop redis-server
tail=$(ls -t /var/lib/redis/appendonlydir/*.incr.aof | head -n 1)
tail -c 40 "$tail" | grep -a edu:cut
truncate -s -5 "$tail"
systemctl start redis-server
test "$(vise-redis cli EXISTS edu:whole)" = 1
test "$(vise-redis cli EXISTS edu:cut)" = 0
journalctl -u redis-server -o cat | grep -i 'Truncating the AOF'
"""
# As a server that had no append-only file until now, and as at boot: /run is empty.
FIRST_APPEND_ONLY_FILE = """
vise-redis cli SAVE
systemctl stop redis-server
rm -r /var/lib/redis/appendonlydir
rm -r /run/vise-redis
systemctl start redis-server
test "$(vise-redis cli EXISTS edu:whole)" = 1
test "$(stat -c '%U %G %a' /run/vise-redis)" = 'root redis 750'
"""
# As the file system leaves the file after a power cut.
NUL_TAIL = """
vise-redis cli SET edu:whole 1
systemctl stop redis-server
tail=$(ls -t /var/lib/redis/appendonlydir/*.incr.aof | head -n 1)
head -c 4096 /dev/zero >>"$tail"
(! systemctl start redis-server)
sleep 2
(! vise-redis verify) 2>&1 | grep 'Bad file format reading the append only file'
(! vise-redis verify) 2>&1 | tee /dev/stderr | grep 'Run `vise-redis repair`'
vise-redis repair | tee /dev/stderr | grep '^4096 bytes were cut off, 0 of them not NUL'
test "$(vise-redis cli GET edu:whole)" = 1
vise-redis verify
tail -c 4096 /var/lib/redis/before-repair-*/appendonlydir/"$(basename "$tail")" | cmp -n 4096 - /dev/zero
(! vise-redis repair) 2>&1 | grep 'nothing to repair'
rm -r /var/lib/redis/before-repair-*
"""
# Links that a program with Redis' account can make, where root once wrote and read.
LINKS = """
redis() { setpriv --reuid redis --regid redis --clear-groups "$@"; }
install -d /srv/roots
systemctl stop redis-server
cd /var/lib/redis
mv appendonlydir whole
redis ln -s /srv/roots appendonlydir
(! systemctl start redis-server)
systemctl stop redis-server
test "$(stat -c '%U %a' /srv/roots)" = 'root 755'
test -z "$(ls /srv/roots)"
rm appendonlydir
mv dump.rdb whole.rdb
redis ln -s /etc/shadow dump.rdb
(! systemctl start redis-server)
systemctl stop redis-server
test ! -e appendonlydir
rm dump.rdb
mv whole.rdb dump.rdb
mv whole appendonlydir
systemctl start redis-server
test "$(vise-redis cli EXISTS edu:whole)" = 1
"""


def test_damaged_end_of_the_data_is_explained_and_repaired(host: Host) -> None:
    machines.script(host, NUL_TAIL)


@pytest.mark.deep
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(CUT_TAIL, id="the end of the append-only file is cut off"),
        pytest.param(FIRST_APPEND_ONLY_FILE, id="no append-only file and an empty run directory"),
        pytest.param(LINKS, id="links in Redis' directory"),
    ],
)
def test_start_after_a_fault_keeps_what_is_whole(host: Host, fault: str) -> None:
    machines.script(host, fault)


def test_dumps_for_several_repositories_begin_at_the_same_time(host: Host) -> None:
    cli(host, "SET", "edu:slow", "1")
    cli(host, "CONFIG", "SET", "rdb-key-save-delay", "300000")
    try:
        machines.script(
            host,
            """
            vise-redis dump /root/one.rdb & one=$!
            vise-redis dump /root/other.rdb & other=$!
            wait $one && wait $other
            rm /root/one.rdb /root/other.rdb
            """,
        )
    finally:
        cli(host, "CONFIG", "SET", "rdb-key-save-delay", "0")


@pytest.fixture(scope="module")
def dump(role: Role, host: Host) -> None:
    """A dump and a broken one on the controller, and data that has changed since."""
    cli(host, "MSET", "edu:kept", "1", "docs:kept", "2")
    host.check_output("vise-redis dump /root/good.rdb")
    content = host.file("/root/good.rdb").content
    (role.scratch / "good.rdb").write_bytes(content)
    (role.scratch / "bad.rdb").write_bytes(content[:-9])
    cli(host, "DEL", "edu:kept", "docs:kept")
    cli(host, "SET", "edu:later", "3")


# A start that fails once, after the data has changed places.
START_FAILS_ONCE = """
mkdir -p /run/systemd/system/redis-server.service.d
cat >/run/systemd/system/redis-server.service.d/once.conf <<'UNIT'
[Service]
ExecStartPost=+/bin/sh -c 'test -e /run/once || { touch /run/once; exit 1; }'
UNIT
systemctl daemon-reload
"""
RESTORE = "restore_redis"
OVERWRITE = f"restore_replace_live={NAME}"


@pytest.mark.deep
@pytest.mark.usefixtures("dump")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["restore_dump={scratch}/good.rdb"], "restore_replace_live", id="without the host's name"),
        pytest.param(
            [OVERWRITE, "restore_dump={scratch}/bad.rdb"], "is not a dump that can be restored", id="broken dump"
        ),
    ],
)
def test_restore_is_refused_and_the_data_stays(role: Role, host: Host, arguments: list[str], message: str) -> None:
    extra = [word for one in arguments for word in ("--extra-vars", one.format(scratch=role.scratch))]
    run = role.runbook(RESTORE, *extra)
    assert run.code != 0
    assert message in run.output
    assert cli(host, "GET", "edu:later") == "3"


@pytest.mark.deep
@pytest.mark.usefixtures("dump")
def test_restore_whose_start_fails_is_rolled_back(role: Role, host: Host) -> None:
    machines.script(host, START_FAILS_ONCE)
    options = f"{OVERWRITE} restore_dump=/root/good.rdb restore_dump_location=host"
    run = role.runbook(RESTORE, "--extra-vars", options)
    assert run.code != 0
    assert "previous data was restored and is live" in run.output
    machines.script(
        host, "test -e /run/once; rm /run/systemd/system/redis-server.service.d/once.conf; systemctl daemon-reload"
    )
    assert cli(host, "GET", "edu:later") == "3"


@pytest.mark.deep
@pytest.mark.usefixtures("dump")
def test_restored_dump_is_live_and_the_old_data_is_kept(role: Role, host: Host) -> None:
    run = role.runbook(RESTORE, "--extra-vars", f"{OVERWRITE} restore_dump={role.scratch}/good.rdb")
    assert run.code == 0, run.tail
    assert "keys are live" in run.output
    for command in ("true", "systemctl restart redis-server"):
        host.check_output(command)
        assert cli(host, "MGET", "edu:kept", "docs:kept", "edu:later").split("\n")[:2] == ["1", "2"]
        assert cli(host, "EXISTS", "edu:later") == "0"
    host.check_output("ls /var/lib/redis/before-restore-*/appendonlydir/*.manifest")
    assert host.check_output("find /var/tmp /var/lib/redis -name 'ansible*' -o -name '.vise*'") == ""


def test_variables_of_a_login_have_no_effect(role: Role, host: Host) -> None:
    role.assert_login_environment_has_no_effect(host, "vise-redis verify", "vise-redis cli PING | grep -x PONG")


# The last test: it removes Redis.
def test_host_that_left_the_function_keeps_only_its_data(role: Role, host: Host) -> None:
    options = ["--extra-vars", f"retire_host={NAME} retire_function=cache"]
    for more, message in (([], "Nothing was changed"), (["--check", "--diff"], "> stop and disable redis-server")):
        run = role.runbook("retire_function", *options, *more)
        assert (run.code == 0) == bool(more), run.tail
        assert message in run.output
        assert cli(host, "GET", "edu:whole") == "1"
    confirmed = [options[0], f"{options[1]} retire_confirm=cache"]
    run = role.runbook("retire_function", *confirmed)
    assert run.code == 0, run.tail
    assert "Its data stays: /var/lib/vise/retired/cache-" in run.output
    machines.script(
        host,
        """
        ! ss -Hltn | grep -q :6379
        ! pgrep -x redis-server
        for path in /etc/vise/redis.json /etc/redis/users.acl /usr/local/sbin/vise-redis /usr/local/lib/vise/redis \\
          /etc/systemd/system/redis-server.service.d /var/lib/vise/components/redis; do test ! -e $path; done
        test "$(stat -c %a /var/lib/vise/retired)" = 700
        grep -raq edu:whole /var/lib/vise/retired/cache-*/var/lib/redis
        """,
    )
    run = role.runbook("retire_function", *confirmed)
    assert run.code == 0 and "Nothing of cache is left" in run.output, run.tail
