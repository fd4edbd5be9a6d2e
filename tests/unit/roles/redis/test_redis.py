"""The files that the role writes for Redis, and the pure functions of its program."""

from __future__ import annotations

import io
import re
import sys
import types
from collections.abc import Iterator

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tools import collection, templates

ROLE = collection.ROOT / "roles/redis"
CASES = templates.load_cases(ROLE, collection.ROOT)
SHA256 = "5e0f1d2d9d3f4ff0b5d5b2f6ae6fd1ee6f7d6f0e6d0f8bb4e2a4e6f1a4a5c9d3"


def rendered(case: str) -> dict[str, str]:
    return dict(templates.render_templates(ROLE, CASES[case]))


@pytest.fixture(scope="module", name="program")
def fixture_program() -> Iterator[types.ModuleType]:
    module = types.ModuleType("vise_redis")
    sys.modules["vise_redis"] = module
    exec(compile(rendered("defaults")["vise-redis.j2"], "vise-redis", "exec"), module.__dict__)  # noqa: S102  # a template is no importable module
    yield module
    del sys.modules["vise_redis"]


def test_file_of_users_has_only_hashes() -> None:
    text = rendered("every_setting")["users.acl.j2"]
    assert "password" not in text
    assert len(re.findall(r" #[0-9a-f]{64}\b", text)) == 3


@pytest.mark.parametrize(
    ("user", "expected"),
    [("edu", {"~edu:*", "&edu:*", "-@dangerous", "-@admin"}), ("exporter", {"+info", "+config|get"})],
)
def test_user_has_its_patterns_and_rules(user: str, expected: set[str]) -> None:
    line = next(
        line for line in rendered("every_setting")["users.acl.j2"].splitlines() if line.startswith(f"user {user} ")
    )
    assert expected <= set(line.split())


def test_user_without_patterns_has_no_keys() -> None:
    line = rendered("every_setting")["users.acl.j2"].splitlines()[-1]
    assert not re.search(r" [~&]", line)


def test_default_user_is_off() -> None:
    assert "user default off" in rendered("defaults")["users.acl.j2"].splitlines()


def test_settings_override_the_role_and_lists_become_lines(program: types.ModuleType) -> None:
    text = rendered("every_setting")["redis.conf.j2"]
    settings = program.read_literal_settings(text)
    assert (settings["databases"], settings["save"], settings["port"], settings["appendonly"]) == ("4", "", "0", "yes")
    assert text.count("client-output-buffer-limit ") == 2


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("+info", False),
        ("-@pubsub", False),
        ("+@scripting", False),
        ("+config|get", False),
        ("+client|tracking", False),
        ("+config", True),
        ("+config|set", True),
        ("+client", True),
        ("+acl|setuser", True),
        ("+flushall", True),
        ("+@admin", True),
        *((f"+@{name}", True) for name in ("slow", "fast", "read", "write", "keyspace", "connection", "setting")),
        *((f"+@{name}", False) for name in ("set", "stream", "blocking")),
        ("+@all", True),
        ("allcommands", True),
        ("~*", True),
        (">plain", True),
        ("+info ~*", True),
        ("", True),
    ],
)
def test_rule_that_gives_control_of_the_server_is_rejected(rule: str, refused: bool) -> None:
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    pattern = variables["__redis_refused_rules"].replace(" ", "")
    assert bool(re.match(pattern, rule)) is refused


def test_pattern_is_valid_for_ansible_too() -> None:
    templar = Templar(loader=DataLoader(), variables=CASES["defaults"])
    assert re.compile(templar.template(CASES["defaults"]["__redis_refused_pattern"]))


@pytest.mark.parametrize(("memory", "expected"), [("25%", "250"), ("1%", "10"), ("512mb", "512mb"), ("1000", "1000")])
def test_percentage_refers_to_the_hosts_memory(program: types.ModuleType, memory: str, expected: str) -> None:
    assert program.memory_limit(memory, 1000) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"+OK\r\n", "OK"),
        (b":7\r\n", "7"),
        (b"$-1\r\n", None),
        (b"$4\r\na\r\nb\r\n", "a\r\nb"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", ["1"]]),
        (b"*0\r\n", []),
    ],
)
def test_reply_is_read(program: types.ModuleType, answer: bytes, expected: object) -> None:
    assert program.read_reply(io.BytesIO(answer)) == expected


@pytest.mark.parametrize("answer", [b"-ERR no\r\n", b"", b"$4"])
def test_error_and_a_closed_connection_are_raised(program: types.ModuleType, answer: bytes) -> None:
    with pytest.raises(program.ProgramError):
        program.read_reply(io.BytesIO(answer))


def test_last_line_of_each_setting_counts(program: types.ModuleType) -> None:
    text = '# comment\nTLS-port 1\n\ntls-port 2\ntls-protocols "TLSv1.2 TLSv1.3"\nlogfile ""\n'
    assert program.read_literal_settings(text) == {"tls-port": "2", "tls-protocols": "TLSv1.2 TLSv1.3", "logfile": ""}


def test_differences_have_each_setting_under_one_name(program: types.ModuleType) -> None:
    wanted = {"maxmemory": "1", "replica-priority": "9", "slave-priority": "9", "daemonize": "yes", "hz": "10"}
    live = {"maxmemory": "2", "replica-priority": "1", "slave-priority": "1", "daemonize": "no", "hz": "10"}
    assert program.find_differences(wanted, live) == {"maxmemory": "1", "replica-priority": "9"}


def test_hashes_are_masked(program: types.ModuleType) -> None:
    assert program.mask_hashes(f"user a on #{SHA256} ~*") == "user a on #<hash> ~*"


def test_first_certificate_is_the_hosts_own(program: types.ModuleType) -> None:
    one, two = (f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n" for text in ("one", "two"))
    assert program.first_certificate(one + two) == one


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_unknown_command_prints_the_usage(
    program: types.ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert "vise-redis restore FILE" in capsys.readouterr().err
