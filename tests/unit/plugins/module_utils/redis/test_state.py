"""The state of a Redis: its settings and users."""

from __future__ import annotations

import hashlib
import re

import pytest
from ansible_collections.vise.platform.plugins.module_utils.redis import state

SHA256 = "5e0f1d2d9d3f4ff0b5d5b2f6ae6fd1ee6f7d6f0e6d0f8bb4e2a4e6f1a4a5c9d3"


@pytest.mark.parametrize(("memory", "expected"), [("25%", "250"), ("1%", "10"), ("512mb", "512mb"), ("1000", "1000")])
def test_percentage_refers_to_the_hosts_memory(memory: str, expected: str) -> None:
    assert state.compute_limit(memory, 1000) == expected


def test_last_line_of_each_setting_counts() -> None:
    text = '# comment\nTLS-port 1\n\ntls-port 2\ntls-protocols "TLSv1.2 TLSv1.3"\nlogfile ""\n'
    assert state.read_literal_settings(text) == {"tls-port": "2", "tls-protocols": "TLSv1.2 TLSv1.3", "logfile": ""}


def test_live_state_has_what_an_isolated_instance_overrides() -> None:
    isolated = state.State({"tls-port": "0", "dir": "/tmp/x", "logfile": "", "hz": "10"}, ["user a off"])
    live = state.describe_live(isolated, "tls-port 6379\ndir /var/lib/redis\nhz 99\n")
    changed = {"tls-port": "6379", "dir": "/var/lib/redis", "hz": "10"}
    empty = dict.fromkeys(("aclfile", "logfile", "pidfile", "unixsocket", "unixsocketperm"), "")
    assert live == state.State({**changed, **empty}, ["user a off"])


def test_differences_have_each_setting_under_one_name() -> None:
    wanted = {"maxmemory": "1", "replica-priority": "9", "slave-priority": "9", "daemonize": "yes", "hz": "10"}
    live = {"maxmemory": "2", "replica-priority": "1", "slave-priority": "1", "daemonize": "no", "hz": "10"}
    assert state.find_differences(wanted, live) == {"maxmemory": "1", "replica-priority": "9"}


def test_administrator_has_only_a_hash() -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    assert state.describe_admin("secret") == f"user admin on #{digest} ~* &* +@all"


def test_errors_are_the_last_lines_without_notices_and_hashes() -> None:
    notices = ["1:C 1 Jan * Redis is starting", "WARNING Memory overcommit must be enabled!"]
    lines = [*(f"line {number}" for number in range(9)), *notices, f"user a on #{SHA256} ~*"]
    found = state.find_errors("\n".join(lines)).splitlines()
    assert found == [*(f"line {number}" for number in range(2, 9)), "user a on #<hash> ~*"]


CONFIG = "hz 10\n# rename-command A B\ninclude /run/own/users.acl\ninclude /run/own/limits.conf\nTLS-port 1\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", ""),
        ('rename-command BGSAVE ""', "rename-command: .*Remove it: use `commands` of redis_users"),
        ("Rename-Command KEYS hidden", "rename-command: "),
        ("include /etc/redis/more.conf", "include: "),
        ("include /run/owner/more.conf", "include: "),
        ("rdb-key-save-delay 5", "rdb-key-save-delay: CONFIG GET does not show whether it is live"),
    ],
)
def test_setting_that_redis_does_not_show_is_named(line: str, message: str) -> None:
    found = state.find_unseen(f"{CONFIG}{line}\n{line}\n", {"hz", "tls-port"}, "/run/own")
    assert len(found) == bool(message)
    assert re.search(message, "".join(found))


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        ("1:M # Bad file format reading the append only file x: make a backup of your AOF file", "vise-redis repair"),
        ("1:M # Unexpected end of file reading the append only file x. You can: 1) Make a backup", "vise-redis repair"),
        ("1:M # Wrong RDB checksum expected: (1) but got (2). Aborting now.", "restore_redis.yml"),
        ("1:M # Fatal error loading the DB file appendonly.aof.1.base.rdb, check server logs.", "restore_redis.yml"),
        ("1:M # Could not create server TCP listening socket *:1: bind: Address already in use", ""),
        ("1:M * DB loaded from base file", ""),
    ],
)
def test_last_words_have_the_way_out_of_damaged_data(log: str, advice: str) -> None:
    found = state.explain_failure(log)
    assert advice in found
    assert ("Run" in found or "Replace" in found) == bool(advice)
    assert (log in found) == (" # " in log)
