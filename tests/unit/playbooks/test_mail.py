"""What playbooks and the description of mail say, as Ansible evaluates it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tools import collection


def load(path: str) -> Any:
    return yaml.safe_load((collection.ROOT / path).read_text())


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/api/v1/get/domain/all",
        "/json_api",
        "/json_api.php",
        "/edit/domain/example.org",
        "/edit.php",
        "/rspamd/",
    ],
)
def test_pages_of_administration_are_closed(path: str) -> None:
    closed = load("group_vars/all/sites.yml")["sites"]["mail"]["nginx"]["restricted"]["paths"]
    assert any(re.search(pattern, path) for pattern in closed)


@pytest.mark.parametrize(
    ("states", "name", "spared"),
    [
        ({}, "s1._domainkey.example.org", True),
        ({"s1": "retired"}, "s1._domainkey.example.org", False),
        ({"s1": "retired"}, "s11._domainkey.example.org", True),
        ({"s1": "retired", "s2": "active"}, "s2._domainkey.example.org", True),
        ({}, "www.example.org", False),
    ],
)
def test_record_of_a_key_is_removed_only_when_the_key_is_retired(
    states: dict[str, str], name: str, spared: bool
) -> None:
    task = load("playbooks/tasks/publish_dns.yml")[0]
    keys = [{"record": f"{selector}._domainkey.example.org", "state": state} for selector, state in states.items()]
    variables = {"publish_dkim": keys, "retired": trust_as_template(task["vars"]["retired"])}
    (given,) = task["module_defaults"]["vise.platform.cloudflare_zone"]["purge_except"]
    pattern = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(given))
    assert bool(re.search(pattern, name)) == spared


def test_a_signature_is_verified_without_port_25() -> None:
    (probe,) = [
        task["vise.platform.mail_probe"]
        for block in load("playbooks/tasks/switch_dkim.yml")
        for task in block.get("block", [])
        if "vise.platform.mail_probe" in task
    ]
    assert probe["smtp_port"] == 0
