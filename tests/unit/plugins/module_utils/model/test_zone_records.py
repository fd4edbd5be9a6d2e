"""DNS records are derived from sites, mail and inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.dns_records import FilterModule, dns_records
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import records
from ansible_collections.vise.platform.plugins.module_utils.model import topology, zone_records

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
    """Return the records of the only zone."""
    (entry,) = dns_records(sites, DOMAIN, groups, HOSTVARS, **options)
    assert entry["zone"] == DOMAIN
    records_of_zone: list[dict[str, Any]] = entry["records"]
    return records_of_zone


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
def test_sites_have_the_addresses_of_the_hosts_that_visitors_reach(
    groups: dict[str, list[str]], expected: list[str]
) -> None:
    assert lines(derive(groups), "A", "AAAA") == expected


def test_site_with_its_own_entrance_has_the_addresses_of_that_host() -> None:
    site = {"panel": {"domain": "panel.example.test", "group": "mail", "entrance": "mail"}}
    assert lines(derive(EACH, site), "A") == ["panel.example.test A 192.0.2.4"]


def test_mail_has_all_records_that_servers_and_clients_need() -> None:
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


def test_derived_records_are_valid() -> None:
    found = derive(mail=MAIL, dkim=[KEY, {**KEY, "selector": "2026b"}], tlsa=["ab" * 32])
    assert records.problems(found, DOMAIN, f"[vise {DOMAIN}]") == []


def test_there_are_no_mail_records_without_a_mail_host() -> None:
    assert lines(derive({"edge": ["a"]}, {}, mail=MAIL, dkim=[KEY])) == ['example.test CAA 0 issue "letsencrypt.org"']


def test_mail_host_is_not_proxied_even_when_a_site_has_its_name() -> None:
    site = {"mail": {"domain": "mail.example.test", "group": "mail", "entrance": "mail", "proxied": True}}
    assert lines(derive(EACH, site, mail=MAIL), "A") == ["mail.example.test A 192.0.2.4"]


def test_name_of_a_site_is_not_an_alias_of_the_mail_host() -> None:
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
def test_caa_names_the_authority_of_the_account(options: dict[str, Any], issuers: list[str]) -> None:
    assert [one["value"] for one in derive(sites={}, **options) if one["type"] == "CAA"] == issuers


def test_mail_policies_follow_the_description() -> None:
    strict = {**MAIL, "dmarc": "reject", "mta_sts": "enforce"}
    found = lines(derive(sites={}, mail=strict), "TXT")
    assert "_dmarc.example.test TXT v=DMARC1; p=reject; rua=mailto:postmaster@example.test" in found
    ids = {line for options in (MAIL, strict) for line in lines(derive(sites={}, mail=options)) if "id=" in line}
    assert len(ids) == 2


def test_retired_or_planned_key_is_not_published() -> None:
    keys = [
        {**KEY, "state": "active"},
        {**KEY, "selector": "old", "state": "retired"},
        {**KEY, "selector": "b", "txt": ""},
    ]
    found = derive(sites={}, mail=MAIL, dkim=keys)
    assert [one["name"] for one in found if "_domainkey" in one["name"]] == ["2026a._domainkey.example.test"]


def test_second_mail_domain_has_its_own_zone_and_its_reports_are_accepted() -> None:
    both = {**MAIL, "domains": [DOMAIN, "second.test"]}
    zones = [DOMAIN, "second.test"]
    keys = [KEY, {**KEY, "domain": "second.test"}]
    entries = dns_records({}, DOMAIN, ONE, HOSTVARS, mail=both, dkim=keys, zones=zones)
    assert [entry["zone"] for entry in entries] == zones
    first, second = (entry["records"] for entry in entries)
    assert "second.test._report._dmarc.example.test TXT v=DMARC1" in lines(first)
    assert {one["name"] for one in second if one["type"] == "MX"} == {"second.test"}
    assert "2026a._domainkey.second.test" in {one["name"] for one in second}
    assert not [one for one in second if one["name"].endswith(DOMAIN)]


def test_zone_may_be_above_the_domain() -> None:
    (entry,) = dns_records(SITES, "staging.example.test", ONE, HOSTVARS, zones=["example.test"])
    assert "staging.example.test" in {one["name"] for one in entry["records"] if one["type"] == "CAA"}


def test_name_is_in_the_most_specific_zone_and_a_zone_without_names_has_no_records() -> None:
    entries = dns_records(SITES, DOMAIN, ONE, HOSTVARS, zones=[DOMAIN, "edu.example.test", "other.test"])
    names = {entry["zone"]: {one["name"] for one in entry["records"]} for entry in entries}
    assert names == {
        DOMAIN: {DOMAIN, "docs.example.test", "www.example.test"},
        "edu.example.test": {"edu.example.test"},
        "other.test": set(),
    }


def test_further_records_are_added() -> None:
    extra = {"type": "TXT", "name": "example.test", "value": "site-verification=1"}
    assert derive(extra=[extra])[-1] == extra


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sites": {"x": {"domain": "x.other.test", "group": "docs"}}},
            "x.other.test (site x) is in none of the zones example.test",
        ),
        ({"mail": {**MAIL, "domians": []}}, "domians"),
        ({"groups": {"edge": ["named"]}}, "docs.example.test: web-1 is not an IP address; set `public_addresses"),
    ],
)
def test_contradiction_is_an_error_that_names_the_remedy(options: dict[str, Any], message: str) -> None:
    hostvars = {**HOSTVARS, "named": {"ansible_host": "web-1"}}
    arguments = {"sites": SITES, "groups": ONE, **options}
    sites, groups = arguments.pop("sites"), arguments.pop("groups")
    with pytest.raises(AnsibleFilterError) as refused:
        dns_records(sites, DOMAIN, groups, hostvars, **arguments)
    assert message in str(refused.value)


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"dns_records": dns_records}


def test_each_address_of_the_mail_host_has_one_reverse_name() -> None:
    mail = zone_records.Mail(**MAIL)
    hostvars = {"m": {"public_addresses": ["192.0.2.4", "192.0.2.4", "by-name"]}}
    found = zone_records.reverse_names(topology.Topology({}, {}, {"mail": ["m"]}, hostvars), mail)
    assert found == [{"address": "192.0.2.4", "name": "mail.example.test", "reverse": "4.2.0.192.in-addr.arpa"}]


@pytest.mark.parametrize(
    ("reports", "accepted"),
    [
        ("a@example.test", False),
        ("a@below.example.test", False),
        ("a@test", False),
        ("a@example.org", True),
        ("a@myexample.test", True),
    ],
)
def test_reports_to_another_domain_are_accepted_there(reports: str, accepted: bool) -> None:
    found = zone_records.mail_domain_records(DOMAIN, zone_records.Mail(**{**MAIL, "reports": reports}))
    assert any(one["name"].startswith(f"{DOMAIN}._report._dmarc.") for one in found) == accepted


def test_policies_are_published_and_served_with_safe_defaults() -> None:
    mail = zone_records.Mail(**MAIL)
    assert zone_records.policy(mail) == "version: STSv1\nmode: testing\nmx: mail.example.test\nmax_age: 604800\n"
    other = zone_records.Mail(**MAIL, mta_sts="enforce")
    assert zone_records.policy_id(mail) != zone_records.policy_id(other)
