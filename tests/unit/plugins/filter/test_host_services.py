"""The services of one host as a filter. The tests of the derived values are those of the model."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.host_services import FilterModule

DERIVE = FilterModule().filters()["host_services"]
GROUPS = {"edge": ["e"], "docs": ["d"]}
HOSTVARS = {"e": {"ansible_host": "10.0.0.1"}, "d": {"ansible_host": "10.0.0.2"}}


@pytest.mark.parametrize(("host", "ports"), [("e", ["443"]), ("d", [])])
def test_platform_without_sites_has_only_open_ports(host: str, ports: list[str]) -> None:
    found = DERIVE(None, host, GROUPS, HOSTVARS, {"edge": [443]})
    assert (found["nginx_sites"], found["certificates_wanted"]) == ([], [])
    assert [rule["port"] for rule in found["firewall_allow"]] == ports


def test_platform_without_open_ports_opens_none_and_uses_http_01() -> None:
    found = DERIVE({"docs": {"domain": "docs.example.org", "group": "docs"}}, "e", GROUPS, HOSTVARS)
    assert found["firewall_allow"] == []
    assert [one["challenge"] for one in found["certificates_wanted"]] == ["http-01"]


def test_contradiction_is_an_error_of_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="no host is in group edu"):
        DERIVE({"edu": {"domain": "edu.example.org", "group": "edu"}}, "e", GROUPS, HOSTVARS)
