"""Domains of sites that the description accepts."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils import description

from tools import collection, description_schema

SCHEMA = description.inline_references(description_schema.load(collection.ROOT))
LONG = ".".join(["a" * 60] * 3 + ["example"])


@pytest.mark.parametrize(
    ("domain", "valid"),
    [
        *((name, True) for name in ("docs.example.org", "*.example.org", "bücher.example", "пример.рф", LONG)),
        *((name, True) for name in ("xn--bcher-kva.example", "xn--e1afmkfd.xn--p1ai")),
        *(
            (name, False)
            for name in ("Docs.example.org", "a b.example", "-a.example", "example", "ü", f"{'a' * 64}.org")
        ),
    ],
)
def test_domain_is_accepted_with_international_characters(domain: str, valid: bool) -> None:
    found = {"domain": "example.org", "sites": {"docs": {"domain": domain, "aliases": [domain], "group": "docs"}}}
    problems = [line for one in description.find_problems(found, SCHEMA) if "sites" in (line := one.line())]
    assert (problems == []) is valid, problems


@pytest.mark.parametrize(
    ("domain", "spelled"), [("Bücher.example", "xn--bcher-kva.example"), ("Example.ORG.", "example.org")]
)
def test_domain_of_the_platform_is_refused_with_its_spelling_in_the_dns(domain: str, spelled: str) -> None:
    found = description.find_problems({"domain": domain, "dns_zones": [domain]}, SCHEMA)
    lines = [one.line() for one in found if one.variable in ("domain", "dns_zones[0]")]
    assert lines == [f"{name}: `{domain}` is not valid; write `{spelled}`" for name in ("domain", "dns_zones[0]")]
