"""Where the names of a site lead by their name servers, and for how long resolvers keep it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.vise.platform.plugins.modules import site_lookup
from ansible_collections.vise.platform.plugins.modules.site_lookup import Answer

WANTED = ["192.0.2.2", "2001:db8::2"]
NONE = Answer(frozenset(), "", 0)


def answer(*addresses: str, lifetime: int = 300, target: str = "") -> Answer:
    return Answer(frozenset(addresses), target, lifetime)


ZONE: dict[tuple[str, str, str], Answer | Exception] = {
    ("one", "docs.test", "A"): answer("192.0.2.2"),
    ("one", "docs.test", "AAAA"): answer("2001:db8::2", lifetime=60),
    ("one", "old.test", "A"): answer("192.0.2.1", lifetime=7200),
    ("one", "half.test", "A"): answer("192.0.2.2"),
    ("one", "both.test", "A"): answer("192.0.2.1", "192.0.2.2"),
    ("one", "both.test", "AAAA"): answer("2001:db8::2"),
    ("one", "alias.test", "A"): answer(target="docs.test.", lifetime=30),
    ("one", "alias.test", "AAAA"): answer(target="docs.test.", lifetime=900),
}


def query(server: str, name: str, kind: str) -> Answer:
    if server == "unreachable":
        raise OSError(101, "no route")
    return ZONE.get((server, name.rstrip("."), kind), NONE)  # type: ignore[return-value]


def servers(_name: str) -> Sequence[str]:
    return ["unreachable", "one"]


@pytest.mark.parametrize(
    ("name", "lifetime", "line"),
    [
        ("docs.test", 300, ""),
        ("alias.test", 900, ""),
        ("old.test", 7200, "old.test at one: 192.0.2.1"),
        # The former address in addition to the new ones
        ("both.test", 300, "both.test at one: 192.0.2.1, 192.0.2.2, 2001:db8::2"),
        ("half.test", 300, "half.test at one: 192.0.2.2"),
        ("none.test", 0, "none.test at one: no address"),
    ],
)
def test_name_leads_to_exactly_the_wanted_addresses(name: str, lifetime: int, line: str) -> None:
    assert site_lookup.look_up([name], WANTED, servers, query) == (lifetime, [line] if line else [])


def test_name_without_a_server_that_can_be_reached_is_an_error() -> None:
    with pytest.raises(site_lookup.LookupFailed, match="no route to any of its name servers"):
        site_lookup.look_up(["docs.test"], WANTED, lambda _: ["unreachable"], query)
