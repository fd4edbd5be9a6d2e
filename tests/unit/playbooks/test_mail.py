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


SITE = load("group_vars/all/sites.yml")["sites"]["mail"]["nginx"]


def is_closed(path: str) -> bool:
    return any(re.search(pattern, path) for pattern in SITE["restricted"]["paths"])


@pytest.mark.parametrize("path", ["/admin", "/admin/dashboard", "/domainadmin", "/domainadmin/mailbox", "/rspamd/"])
def test_pages_of_administration_are_closed(path: str) -> None:
    assert is_closed(path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/edit/self",
        "/api/v1/get/app-passwd/all",
        "/api/v1/add/fido2-registration",
        "/json_api.php",
        "/edit/app-passwd/7",
        "/user",
        "/quarantine",
        "/SOGo/so/",
    ],
)
def test_pages_of_users_are_open(path: str) -> None:
    assert not is_closed(path)


def test_requests_with_an_api_key_are_closed() -> None:
    assert SITE["restricted"]["headers"] == ["X-API-Key"]


def test_activesync_can_wait_for_an_hour() -> None:
    assert min(SITE["upstream"]["timeouts"][name] for name in ("read", "send")) >= 3600
    assert SITE["upstream"]["buffers"]["header"] == "128k"


@pytest.mark.parametrize(
    ("name", "accepted"), [("mail.example.org", True), ("example.org", False), ("Example.org", False)]
)
def test_mail_domain_must_differ_from_the_name_of_the_server(name: str, accepted: bool) -> None:
    (task,) = load("playbooks/mail.yml")[0]["pre_tasks"]
    variables = {"mail_hostname": name, "mail_domains": [{"name": "example.org"}]}
    condition = trust_as_template("{{ " + task["ansible.builtin.assert"]["that"] + " }}")
    assert Templar(loader=DataLoader(), variables=variables).template(condition) is accepted


@pytest.mark.parametrize(
    "directive",
    [
        "'unsafe-inline'",
        "'unsafe-eval'",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "connect-src 'self' https://api.pwnedpasswords.com https://api.github.com;",
    ],
)
def test_policy_permits_what_the_pages_and_sogo_need(directive: str) -> None:
    assert directive in SITE["csp"]
    assert SITE["headers"]["X-Frame-Options"] == "SAMEORIGIN"


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
