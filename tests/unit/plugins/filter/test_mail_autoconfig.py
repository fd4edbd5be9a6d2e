"""The settings of mail programs."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.mail_autoconfig import FilterModule, mail_autoconfig

from tools import collection

MAIL = {"host": "mail.example.test", "domains": ["example.test", "a&b.test"]}


def test_only_open_ports_are_announced() -> None:
    ports = re.findall(r"<port>(.*)</port>", mail_autoconfig(MAIL))
    opened = yaml.safe_load((collection.ROOT / "roles/description/defaults/main.yml").read_text())
    (of_mail,) = [groups["mail"] for groups in opened.values() if isinstance(groups, dict) and "mail" in groups]
    assert ports == ["993", "465", "587"]
    assert {f"{port}/tcp" for port in ports} <= set(of_mail)


def test_settings_contain_each_domain_and_fit_into_a_parameter_of_nginx() -> None:
    text = mail_autoconfig(MAIL)
    assert re.findall(r"<domain>(.*)</domain>", text) == ["example.test", "a&amp;b.test"]
    assert len(text) < 2000


def test_missing_host_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="host and domains are required"):
        mail_autoconfig({"domains": []})


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"mail_autoconfig": mail_autoconfig}
