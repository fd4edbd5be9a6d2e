"""Which DNS records follow from sites, mail and inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.dns_records import FilterModule, dns_records
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import records

DOMAIN = "example.test"
SITES: dict[str, dict[str, Any]] = {
    "docs": {"domain": "docs.example.test", "group": "docs"},
    "edu": {"domain": "edu.example.test", "aliases": ["www.example.test"], "group": "edu", "proxied": True},
}
MAIL: dict[str, Any] = {"host": "mail.example.test", "domains": [DOMAIN], "reports": "postmaster@example.test"}
ONE = {"edge": ["a"], "docs": ["a"], "edu": ["a"], "mail": ["a"]}
EACH = {"edge": ["e", "f"], "docs": ["d"], "edu": ["d"], "mail": ["m"]}
HOSTVARS: dict[str, dict[str, Any]] = {
    "a": {"ansible_host": "10.0.0.1", "public_addresses": ["192.0.2.1", "2001:db8::1"]},
    "d": {"ansible_host": "10.0.0.4"},
    "e": {"public_addresses": ["192.0.2.2"]},
    "f": {"public_addresses": ["192.0.2.3"]},
    "m": {"ansible_host": "192.0.2.4"},
}
KEY = {"domain": DOMAIN, "selector": "2026a", "txt": "v=DKIM1; k=rsa; p=" + "A" * 700}


def derive(groups: dict[str, list[str]] = ONE, sites: Any = SITES, **options: Any) -> list[dict[str, Any]]:
    return dns_records(sites, DOMAIN, groups, HOSTVARS, **options)


def lines(found: list[dict[str, Any]], *types: str) -> list[str]:
    """The records in the words of a zone file."""
    rows = [records.from_options(one, DOMAIN, "") for one in found]
    shown = [f"{row.name} {row.type} {row.content}{' proxied' if row.proxied else ''}" for row in rows]
    return [line for line, row in zip(shown, rows, strict=True) if not types or row.type in types]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (
            ONE,
            [
                "docs.example.test A 192.0.2.1",
                "docs.example.test AAAA 2001:db8::1",
                "edu.example.test A 192.0.2.1 proxied",
                "edu.example.test AAAA 2001:db8::1 proxied",
                "www.example.test A 192.0.2.1 proxied",
                "www.example.test AAAA 2001:db8::1 proxied",
            ],
        ),
        (
            EACH,
            [
                "docs.example.test A 192.0.2.2",
                "docs.example.test A 192.0.2.3",
                "edu.example.test A 192.0.2.2 proxied",
                "edu.example.test A 192.0.2.3 proxied",
                "www.example.test A 192.0.2.2 proxied",
                "www.example.test A 192.0.2.3 proxied",
            ],
        ),
        ({"docs": ["d"]}, []),
    ],
    ids=["one host", "a host a group", "no edge"],
)
def test_sites_lead_to_the_hosts_that_visitors_reach(groups: dict[str, list[str]], expected: list[str]) -> None:
    assert lines(derive(groups), "A", "AAAA") == expected


def test_site_with_an_entrance_of_its_own_leads_there() -> None:
    site = {"panel": {"domain": "panel.example.test", "group": "mail", "entrance": "mail"}}
    assert lines(derive(EACH, site), "A") == ["panel.example.test A 192.0.2.4"]


def test_mail_has_all_that_others_look_for() -> None:
    found = derive(EACH, {}, mail=MAIL, dkim=[KEY], tlsa=["ab" * 32], contact="hostmaster@example.test")
    (sts,) = [line for line in lines(found) if line.startswith("_mta-sts.")]
    assert len(sts.partition("id=")[2]) == 20
    assert [line for line in lines(found) if line != sts] == [
        "mail.example.test A 192.0.2.4",
        "mail.example.test TXT v=spf1 a -all",
        f"_25._tcp.mail.example.test TLSA 3 1 1 {'ab' * 32}",
        "example.test MX 10 mail.example.test",
        "example.test TXT v=spf1 mx ~all",
        "_dmarc.example.test TXT v=DMARC1; p=quarantine; rua=mailto:postmaster@example.test",
        f"2026a._domainkey.example.test TXT {KEY['txt']}",
        "_smtp._tls.example.test TXT v=TLSRPTv1; rua=mailto:postmaster@example.test",
        "_submission._tcp.example.test SRV 0 1 587 mail.example.test",
        "_submissions._tcp.example.test SRV 0 1 465 mail.example.test",
        "_imaps._tcp.example.test SRV 0 1 993 mail.example.test",
        "_autodiscover._tcp.example.test SRV 0 1 443 mail.example.test",
        "autoconfig.example.test CNAME mail.example.test",
        "autodiscover.example.test CNAME mail.example.test",
        "mta-sts.example.test CNAME mail.example.test",
        'example.test CAA 0 issue "letsencrypt.org"',
        'example.test CAA 0 iodef "mailto:hostmaster@example.test"',
    ]


def test_records_are_such_that_the_zone_takes_them() -> None:
    found = derive(mail=MAIL, dkim=[KEY, {**KEY, "selector": "2026b"}], tlsa=["ab" * 32])
    assert records.problems(found, DOMAIN, f"[vise {DOMAIN}]") == []


def test_nothing_of_mail_follows_without_a_mail_host() -> None:
    assert lines(derive({"edge": ["a"]}, {}, mail=MAIL, dkim=[KEY])) == ['example.test CAA 0 issue "letsencrypt.org"']


def test_mail_host_is_never_proxied_even_when_a_site_has_its_name() -> None:
    site = {"mail": {"domain": "mail.example.test", "group": "mail", "entrance": "mail", "proxied": True}}
    assert lines(derive(EACH, site, mail=MAIL), "A") == ["mail.example.test A 192.0.2.4"]


def test_name_that_a_site_has_is_no_alias_of_the_mail_host() -> None:
    site = {"mail": {"domain": "mail.example.test", "aliases": ["mta-sts.example.test"], "group": "mail"}}
    found = lines(derive(ONE, site, mail=MAIL), "A", "CNAME")
    assert "mta-sts.example.test A 192.0.2.1" in found
    assert not [line for line in found if line.startswith("mta-sts.example.test CNAME")]


@pytest.mark.parametrize(
    ("options", "issuers"),
    [
        ({"acme_directory": "staging"}, ["letsencrypt.org"]),
        ({"acme_directory": "https://acme-v02.api.letsencrypt.org/directory"}, ["letsencrypt.org"]),
        ({"acme_directory": "https://acme.example.org/dir"}, []),
        ({"acme_directory": "https://acme.example.org/dir", "caa": ["ca.example.org"]}, ["ca.example.org"]),
        ({"caa": ["pki.goog", "letsencrypt.org"]}, ["pki.goog", "letsencrypt.org"]),
    ],
)
def test_certificates_come_from_the_authority_of_the_account(options: dict[str, Any], issuers: list[str]) -> None:
    assert [one["value"] for one in derive(sites={}, **options) if one["type"] == "CAA"] == issuers


def test_policy_of_mail_is_what_the_description_says() -> None:
    strict = {**MAIL, "dmarc": "reject", "mta_sts": "enforce"}
    found = lines(derive(sites={}, mail=strict), "TXT")
    assert "_dmarc.example.test TXT v=DMARC1; p=reject; rua=mailto:postmaster@example.test" in found
    ids = {line for options in (MAIL, strict) for line in lines(derive(sites={}, mail=options)) if "id=" in line}
    assert len(ids) == 2


def test_key_that_is_retired_or_not_made_yet_is_not_published() -> None:
    keys = [
        {**KEY, "state": "active"},
        {**KEY, "selector": "old", "state": "retired"},
        {**KEY, "selector": "b", "txt": ""},
    ]
    found = derive(sites={}, mail=MAIL, dkim=keys)
    assert [one["name"] for one in found if "_domainkey" in one["name"]] == ["2026a._domainkey.example.test"]


def test_second_mail_domain_has_a_zone_of_its_own_and_its_reports_are_taken() -> None:
    both = {**MAIL, "domains": [DOMAIN, "second.test"]}
    zones = [DOMAIN, "second.test"]
    keys = [KEY, {**KEY, "domain": "second.test"}]
    first = derive(sites={}, mail=both, dkim=keys, zones=zones)
    second = derive(sites={}, mail=both, dkim=keys, zones=zones, zone="second.test")
    assert "second.test._report._dmarc.example.test TXT v=DMARC1" in lines(first)
    assert {one["name"] for one in second if one["type"] == "MX"} == {"second.test"}
    assert "2026a._domainkey.second.test" in {one["name"] for one in second}
    assert not [one for one in second if one["name"].endswith(DOMAIN)]


def test_zone_may_be_above_the_domain() -> None:
    found = dns_records(SITES, "staging.example.test", ONE, HOSTVARS, zones=["example.test"])
    assert "staging.example.test" in {one["name"] for one in found if one["type"] == "CAA"}


def test_further_records_are_added() -> None:
    extra = {"type": "TXT", "name": "example.test", "value": "site-verification=1"}
    assert derive(extra=[extra])[-1] == extra


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"sites": {"x": {"domain": "x.other.test", "group": "docs"}}},
            "x.other.test (site x) is in none of example.test",
        ),
        ({"mail": {**MAIL, "domians": []}}, "domians"),
        ({"groups": {"edge": ["named"]}}, "docs.example.test: web-1 is no IP address; write `public_addresses"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_write(options: dict[str, Any], said: str) -> None:
    hostvars = {**HOSTVARS, "named": {"ansible_host": "web-1"}}
    arguments = {"sites": SITES, "groups": ONE, **options}
    sites, groups = arguments.pop("sites"), arguments.pop("groups")
    with pytest.raises(AnsibleFilterError) as refused:
        dns_records(sites, DOMAIN, groups, hostvars, **arguments)
    assert said in str(refused.value)


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"dns_records": dns_records}
