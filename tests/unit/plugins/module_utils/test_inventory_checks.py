"""Groups without an effect, variables that no host reads, and functions without a description are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import inventory_checks
from ansible_collections.vise.platform.plugins.module_utils.inventory_checks import Files
from ansible_collections.vise.platform.plugins.module_utils.model import datastores, topology

NONE = Files({}, {})
PRODUCTION = Files(
    {"all": "group_vars/all", "production": "group_vars/production", "staging": "group_vars/staging"},
    {},
    "production",
    ("production", "staging"),
)


def find_lines(groups: dict[str, list[str]], files: Files = NONE, described: Any = (), own: Any = ()) -> list[str]:
    everything = {"all": sorted({host for hosts in groups.values() for host in hosts}), "ungrouped": [], **groups}
    return [one.line() for one in inventory_checks.find_group_problems(everything, described, own, files)]


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("databse", "database"),
        ("databases", "database"),
        ("Database", "database"),
        ("database-standby", "database_standby"),
        ("caches", "cache"),
        ("egde", "edge"),
        ("monitorng", "monitoring"),
    ],
)
def test_misspelt_function_is_refused_with_the_right_one(group: str, meant: str) -> None:
    (line,) = find_lines({group: ["a"]}, Files({group: f"group_vars/{group}.yml"}, {}))
    assert line == (
        f"group {group}: unknown group; did you mean `{meant}`? Rename it in the inventory, or, for a group of your "
        f"own, write `preflight_own_groups: [{group}]`"
    )


def test_group_that_resembles_no_function_is_refused_with_all_functions() -> None:
    (line,) = find_lines({"webservers": ["a"]})
    assert line.startswith("group webservers: unknown group; the functions are docs, edu, mail,")


@pytest.mark.parametrize(
    ("files", "described", "own"),
    [
        (Files({"shop": "group_vars/shop.yml"}, {}), (), ()),
        (NONE, ("shop",), ()),
        (NONE, (), ("shop",)),
    ],
)
def test_own_group_with_a_purpose_is_known(files: Files, described: Any, own: Any) -> None:
    assert find_lines({"shop": ["a"], "edge": ["a"]}, files, described, own) == []


def test_misspelt_group_of_the_description_has_the_group_of_the_description() -> None:
    (line,) = find_lines({"shpo": ["a"]}, described=("shop",))
    assert "did you mean `shop`?" in line


@pytest.mark.parametrize("top", ["production", "edge"])
def test_inventory_of_the_environment_is_read(top: str) -> None:
    groups = {top: ["a"], "production": ["a"], "edge": ["a"]}
    assert find_lines(groups, PRODUCTION) == []


@pytest.mark.parametrize("top", ["prod", "live", "staging"])
def test_top_group_of_another_name_is_refused_with_the_files_that_are_not_read(top: str) -> None:
    assert find_lines({top: ["a", "b"], "edge": ["a"], "docs": ["b"]}, PRODUCTION) == [
        "group production: group_vars/production is not read, because no host is in group production; rename the group "
        f"{top} to `production` in the inventory"
    ]


def test_missing_top_group_is_refused() -> None:
    (line,) = find_lines({"edge": ["a"], "docs": ["b"]}, PRODUCTION)
    assert line.endswith("put the groups below `production: {children: ...}` in the inventory")


def test_inventory_without_files_of_its_environment_needs_no_top_group() -> None:
    assert find_lines({"edge": ["a"]}, PRODUCTION._replace(environment="")) == []


@pytest.mark.parametrize(("hosts", "expected"), [(["mail"], 0), (["mail", "a"], 1), (["a"], 1)])
def test_host_with_the_name_of_a_group_of_others_is_refused(hosts: list[str], expected: int) -> None:
    lines = find_lines({"mail": hosts, "edge": ["mail"]})
    assert lines == expected * [
        f"host mail: a group with the hosts {', '.join(hosts)} has the same name; rename the host in the inventory, "
        "for example to `mail-1`"
    ]


def test_environments_are_not_mixed() -> None:
    (line,) = find_lines({"production": ["a"], "staging": ["a", "b"]}, PRODUCTION)
    assert line.startswith("group production: the hosts are in more than one environment: production, staging; use one")


@pytest.mark.parametrize(
    ("groups", "hosts", "expected"),
    [
        (
            {"databse": "group_vars/databse.yml"},
            {},
            ["group databse (group_vars/databse.yml): no group has this name; "],
        ),
        ({"database": "group_vars/database.yml"}, {}, []),
        (
            {},
            {"web1": "host_vars/web1.yml"},
            ["host web1 (host_vars/web1.yml): no host has this name; did you mean `web-1`"],
        ),
        ({}, {"Web_1.example.org": "x"}, ["host Web_1.example.org (x): no host has this name; did you mean `web-1`?"]),
        ({}, {"web-1": "x", "web-2": "y"}, []),
    ],
)
def test_file_that_no_group_or_host_reads_is_found(
    groups: dict[str, str], hosts: dict[str, str], expected: list[str]
) -> None:
    found = [one.line() for one in inventory_checks.find_unread_files({"all": ["web-1"]}, Files(groups, hosts))]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


SCHEMA: dict[str, Any] = {
    "properties": {name: {"type": "object", "examples": [{"x": 1}]} for name in ("sites", "databases", "caches")}
}
SITES: dict[str, Any] = {"docs": {"group": "docs"}, "mail": {"group": "mail", "entrance": "mail"}}


@pytest.mark.parametrize(
    ("groups", "filled", "sites", "expected"),
    [
        (["database"], [], {}, ["group database: it has a, and `databases` has no entry; write `databases: {x: 1}`"]),
        (["database_standby"], [], {}, ["group database_standby: it has a, and `databases` has no entry; write"]),
        (["cache"], [], {}, ["group cache: it has a, and `caches` has no entry; write `caches: {x: 1}`"]),
        (["edge"], [], {}, ["group edge: it has a, and `sites` has no entry; write `sites: {x: 1}`"]),
        (
            ["docs"],
            ["sites"],
            {"shop": {"group": "shop"}},
            ["group docs: it has a, and no site has `group: docs`; write"],
        ),
        (["docs"], ["sites"], {"shop": {}}, []),
        (
            ["mail"],
            ["sites"],
            {"docs": {"group": "docs"}},
            [
                "group mail: it has a, and `mail_domains` has no entry",
                "group mail: it has a, and `mail_probes` has no entry",
                "group mail: it has a, and `sites` has no entry `mail`, whose certificate the mail server uses",
            ],
        ),
        (["mail", "docs"], ["sites", "mail_domains", "mail_probes"], SITES, []),
        (["database", "database_standby", "cache"], ["databases", "caches"], {}, []),
        (["edu", "monitoring", "shop"], [], {}, []),
        ([], [], {}, []),
    ],
)
def test_function_with_a_host_needs_its_description(
    groups: list[str], filled: list[str], sites: dict[str, Any], expected: list[str]
) -> None:
    hosts = {group: ["a"] for group in groups}
    found = inventory_checks.find_undescribed_functions(hosts, filled, {"sites": sites}, SCHEMA)
    lines = [one.line() for one in found]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


UPLOADS = [{"name": "uploads", "group": "edu"}]


@pytest.mark.parametrize(
    ("groups", "filled", "valid", "expected"),
    [
        (["database"], ["backup_repositories"], {}, []),
        (["database"], [], {"backup_excluded_groups": ["database"]}, []),
        (
            ["database"],
            [],
            {},
            ["group database: it has a, and its data are not backed up: `backup_repositories` has no"],
        ),
        (
            ["mail"],
            ["backup_repositories"],
            {},
            ["group mail: it has a, and its data are not backed up: `backup_sets` has"],
        ),
        (["mail"], ["backup_repositories"], {"backup_sets": [{"group": "all"}]}, []),
        (["mail"], [], {"backup_excluded_groups": ["mail"]}, []),
        (
            ["edu"],
            [],
            {"backup_sets": UPLOADS},
            ["backup_sets: files of edu are listed, and `backup_repositories` has"],
        ),
        (["docs"], [], {"backup_sets": UPLOADS}, []),
        (["edge", "cache"], [], {}, []),
    ],
)
def test_data_without_backups_need_an_explicit_word(
    groups: list[str], filled: list[str], valid: dict[str, Any], expected: list[str]
) -> None:
    hosts = {group: ["a"] for group in groups}
    lines = [one.line() for one in inventory_checks.find_missing_backups(hosts, filled, valid)]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_description_names_its_groups() -> None:
    valid = {
        "sites": {"shop": {"group": "shop", "entrance": "gate"}},
        "databases": {"shop": {"clients": "jobs"}},
        "backup_sets": [{"group": "all"}, {"group": "files"}],
        "open_ports": {"all": [], "games": []},
    }
    assert inventory_checks.named_groups(valid) == {"shop", "gate", "jobs", "files", "games"}


@pytest.mark.parametrize("own", [[], ["databse"]])
def test_stage_that_runs_separately_refuses_a_misspelt_group(own: list[str]) -> None:
    groups = {"all": ["a"], "databse": ["a"], "edge": []}
    plan = topology.Topology({}, {}, groups, {"a": {"ansible_host": "192.0.2.1", "preflight_own_groups": own}})
    stages: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: topology.host_services(plan, "a", ""),
        lambda: datastores.data_services(plan, "a", datastores.Description({}, {}, {})),
    )
    for stage in stages:
        if own:
            assert stage()["firewall_allow"] == []
        else:
            with pytest.raises(topology.TopologyError, match="group databse: unknown group; did you mean `database`"):
                stage()
