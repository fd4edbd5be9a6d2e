"""The order of the stage edge: files before virtual hosts, hosts behind the edge before the edge."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools.collection import ROOT

PLAYS = {play["name"]: play for play in yaml.safe_load((ROOT / "playbooks/edge.yml").read_text())}
SERVING, EDGE = "Sites: certificates, files and nginx", "Edge: certificates and nginx"


def roles(play: str) -> list[dict[str, Any]]:
    return [{**role, "role": role["role"].removeprefix("vise.platform.")} for role in PLAYS[play]["roles"]]


@pytest.mark.parametrize("play", [SERVING, EDGE])
def test_files_exist_before_the_virtual_host_and_are_proven_after_it(play: str) -> None:
    names = [role["role"] for role in roles(play)]
    assert names == ["description", "certificates", "static_site", "nginx", "static_site"]
    first, second = (role["vars"] for role in roles(play) if role["role"] == "static_site")
    assert first["static_site_prepare"] is True
    assert "static_site_prepare" not in second


def test_hosts_behind_the_edge_come_first_and_each_host_has_one_turn() -> None:
    names = list(PLAYS)
    assert names.index(SERVING) < names.index(EDGE)
    turns = {name: PLAYS[name]["vars"]["has_turn"] for name in (SERVING, EDGE)}
    assert turns == {SERVING: "{{ not host_services.forwards }}", EDGE: "{{ host_services.forwards }}"}
    for play in (SERVING, EDGE):
        assert all(role["when"].startswith("has_turn and ") for role in roles(play)[1:])
