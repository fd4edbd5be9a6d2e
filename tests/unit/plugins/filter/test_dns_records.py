"""All DNS records as a filter. The tests of the derived values are those of the model."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.dns_records import FilterModule

DERIVE = FilterModule().filters()["dns_records"]
GROUPS = {"edge": ["e"], "docs": ["e"], "mail": ["e"]}
HOSTVARS = {"e": {"ansible_host": "192.0.2.1"}}
SITES = {"docs": {"domain": "docs.example.org", "group": "docs"}}
MAIL = {"host": "mail.example.org", "domains": ["example.org"], "reports": "postmaster@example.org"}


def test_domain_is_the_only_zone_and_nothing_else_is_required() -> None:
    (zone,) = DERIVE(SITES, "example.org", GROUPS, HOSTVARS)
    assert zone["zone"] == "example.org"
    assert sorted({record["type"] for record in zone["records"]}) == ["A", "CAA"]
    assert [record["value"] for record in zone["records"] if record["type"] == "CAA"] == ["letsencrypt.org"]
    assert [one["zone"] for one in DERIVE(None, "example.org", GROUPS, HOSTVARS)] == ["example.org"]


def test_keys_and_hashes_belong_to_the_mail() -> None:
    key = {"domain": "example.org", "selector": "s", "txt": "v=DKIM1; p=AAAA"}
    options = {"mail": MAIL, "dkim": [key], "tlsa": ["ab"], "zones": ["example.org"], "contact": "a@example.org"}
    (zone,) = DERIVE(SITES, "example.org", GROUPS, HOSTVARS, **options)
    values = {record["name"]: record["value"] for record in zone["records"]}
    assert values["s._domainkey.example.org"] == key["txt"]
    assert values["_25._tcp.mail.example.org"] == "ab"
    assert "mailto:a@example.org" in [record["value"] for record in zone["records"] if record["type"] == "CAA"]


@pytest.mark.parametrize("options", [{"zones": ["example.com"]}, {"mail": {**MAIL, "unknown": 1}}])
def test_contradiction_is_an_error_of_the_filter(options: dict[str, object]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"none of the zones|unknown"):
        DERIVE(SITES, "example.org", GROUPS, HOSTVARS, **options)
