"""The files that the role writes for Redis."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.module_utils.redis.state import read_literal_settings

from tools import collection, templates

ROLE = collection.ROOT / "roles/redis"
CASES = templates.load_cases(ROLE, collection.ROOT)


def rendered(case: str) -> dict[str, str]:
    return dict(templates.render_templates(ROLE, CASES[case]))


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


def test_settings_override_the_role_and_lists_become_lines() -> None:
    text = rendered("every_setting")["redis.conf.j2"]
    settings = read_literal_settings(text)
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
