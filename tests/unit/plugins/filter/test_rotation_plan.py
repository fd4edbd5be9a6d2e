"""The plan of a renewal: what is renewed, and what is refused before the first order."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.filter.rotation_plan import FilterModule, rotation_plan

STAGED, OTHER = "https://acme-v02.api.letsencrypt.org/directory", "https://ca.example.test/dir"
NOON = 1_796_040_000.0  # 2026-11-30 12:00 UTC
KEY = "ab" * 32


def certificate(name: str = "docs", **changes: Any) -> dict[str, Any]:
    found = {"name": name, "domains": [f"{name}.example.org"], "directory": STAGED, "serial": "5A", "key": KEY}
    times = {
        "begin": "2026-10-01 08:00 UTC",
        "end": "2026-12-30 08:00 UTC",
        "young": False,
        "problem": "",
        "issued": [],
    }
    return {**found, **times, **changes}


def plan(hosts: dict[str, list[dict[str, Any]]], names: list[str], limit: int = 5, **options: Any) -> dict[str, Any]:
    hostvars = {host: {"rotation": {"certificates": listed}} for host, listed in hosts.items()}
    return rotation_plan(hostvars, list(hosts), names, limit, **options)


@pytest.mark.parametrize(
    ("names", "renewed"),
    [
        ([], {}),
        (["docs"], {"a": ["docs"], "b": ["docs"]}),
        (["shop"], {"b": ["shop"]}),
        (["all"], {"a": ["docs"], "b": ["docs", "shop"]}),
    ],
)
def test_chosen_certificates_are_renewed_on_each_host_that_has_them(names: list[str], renewed: Any) -> None:
    found = plan({"a": [certificate()], "b": [certificate(), certificate("shop")], "c": []}, names)
    assert (found["renewed"], found["problems"], len(found["lines"])) == (renewed, [], 3)


@pytest.mark.parametrize(
    ("changes", "names", "text"),
    [
        ({}, ["docs"], "since 2026-10-01 08:00 UTC, until 2026-12-30 08:00 UTC, serial 5A; is renewed"),
        ({"young": True}, ["docs"], "stays, because it is young"),
        ({"problem": "only a self-signed placeholder is served"}, ["all"], "placeholder is served; is renewed"),
        ({}, [], "is not part of this run"),
    ],
)
def test_line_has_what_is_served_and_what_happens(changes: dict[str, Any], names: list[str], text: str) -> None:
    (line,) = plan({"a": [certificate(**changes)]}, names)["lines"]
    assert line.startswith("a: docs (docs.example.org): ")
    assert text in line


def test_hosts_without_certificates_are_no_problem() -> None:
    assert plan({"a": []}, ["all"])["lines"] == ["no host has a certificate of an ACME server"]


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    (problem,) = plan({"a": [certificate()], "b": [certificate("shop")]}, ["doc", "shop"])["problems"]
    assert problem == "no host of this run has a certificate doc; they have docs, shop"


@pytest.mark.parametrize(
    ("hosts", "directory", "issued", "limit", "text"),
    [
        (1, STAGED, 4, 5, ""),
        (1, STAGED, 5, 5, "would order 1 certificates for docs.example.org, and 5 were issued in the last 7 days"),
        # Each host has ordered some for the same domains.
        (3, STAGED, 1, 5, "h0, h1, h2: this run would order 3 certificates"),
        (2, STAGED, 1, 5, ""),
        # Only the limit of the run itself: waiting does not help.
        (6, STAGED, 0, 5, "on fewer hosts in one week, by --limit"),
        # Without a staging environment each rehearsal is an order.
        (1, OTHER, 3, 5, ""),
        (1, OTHER, 4, 5, "would order 2 certificates"),
        (1, OTHER, 4, 100, ""),
    ],
)
def test_limit_of_the_acme_server_counts_all_hosts(
    hosts: int, directory: str, issued: int, limit: int, text: str
) -> None:
    listed = {
        f"h{n}": [certificate(directory=directory, issued=[NOON + 60 * k for k in range(issued)])] for n in range(hosts)
    }
    problems = " ".join(plan(listed, ["all"], limit)["problems"])
    assert (text in problems) if text else problems == ""


def test_refusal_names_the_time_at_which_enough_orders_are_forgotten() -> None:
    issued = [NOON, NOON + 3600, NOON + 7200, NOON + 9000]
    (problem,) = plan({"a": [certificate(issued=issued)], "b": [certificate(young=False)]}, ["docs"])["problems"]
    assert "wait until 2026-12-07 12:00 UTC, or set rotate_limit" in problem


@pytest.mark.parametrize("changes", [{"young": True}, {"name": "x", "domains": ["x.example.org"]}])
def test_certificate_that_is_not_ordered_does_not_count(changes: dict[str, Any]) -> None:
    assert plan({"a": [certificate(issued=[NOON] * 9, **changes)]}, ["docs"])["problems"][:1] in (
        [],
        ["no host of this run has a certificate docs; they have x"],
    )


def test_same_domains_in_another_order_share_a_limit() -> None:
    one = certificate(domains=["a.example.org", "b.example.org"], issued=[NOON] * 3)
    two = certificate(domains=["b.example.org", "a.example.org"], issued=[NOON] * 2)
    assert "5 were issued" in plan({"a": [one], "b": [two]}, ["all"])["problems"][0]


@pytest.mark.parametrize(
    ("tlsa", "new_key", "hosts", "text"),
    [
        ([KEY.upper()], False, ["m"], ""),
        ([KEY], True, ["m"], "Set `dns_tlsa: []`, run publish_dns.yml"),
        (["cd" * 32], False, ["m"], f"does not contain the key of port 25 of mail.example.org, {KEY}"),
        ([], True, ["m"], ""),
        # A host of another function does not serve port 25.
        ([KEY], True, ["other"], ""),
    ],
)
def test_key_in_tlsa_records_is_never_replaced(tlsa: list[str], new_key: bool, hosts: list[str], text: str) -> None:
    given: dict[str, Any] = {"tlsa": tlsa, "new_key": new_key, "mail_host": "mail.example.org", "mail_hosts": hosts}
    problems = " ".join(plan({"m": [certificate("mail"), certificate()]}, ["all"], **given)["problems"])
    assert (text in problems) if text else problems == ""


def test_filter_is_known() -> None:
    assert list(FilterModule().filters()) == ["rotation_plan"]
