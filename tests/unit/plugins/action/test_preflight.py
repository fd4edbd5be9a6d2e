"""Where preflight finds what, and how it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.vise.platform.plugins.action import preflight
from ansible_collections.vise.platform.plugins.module_utils.description import Problem


def test_files_of_a_group_are_a_file_or_a_folder_without_what_ansible_leaves_out(tmp_path: Path) -> None:
    for name in (
        "all.yml",
        "web/b.yaml",
        "web/a.yml",
        "web/deep/c.json",
        "web/README.md",
        "web/.hidden.yml",
        "other.yml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in preflight.files(tmp_path, ["all", "web", "none"])]
    assert found == ["all.yml", "web/a.yml", "web/b.yaml", "web/deep/c.json"]


def test_variables_of_roles_are_known_but_for_those_that_playbooks_overrule(tmp_path: Path) -> None:
    for name, text in (
        ("roles/nginx/meta/argument_specs.yml", "argument_specs: {main: {options: {a: {}, b: {}}}, other: {}}"),
        ("playbooks/edge.yml", "[{hosts: all, roles: [base, {role: nginx, vars: {b: 1}}]}, {import_playbook: x.yml}]"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert preflight.role_options(str(tmp_path / "roles")) == {"a"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("'vault_x' is undefined", Problem("vault_x", "is missing, and topic needs it", "write it encrypted")),
        ("no\n such file", Problem("topic", "no such file", "mend it")),
    ],
)
def test_variable_without_a_value_names_the_secret_that_is_missing(error: str, expected: Problem) -> None:
    assert preflight.failure("topic", error) == expected


@pytest.mark.parametrize(
    ("variable", "file"),
    [("sites.docs.gruop", "sites.yml"), ("people[0].name", "people.yml"), ("vault_x", "vault.yml"), ("domain", "")],
)
def test_problem_names_the_file_of_its_variable(variable: str, file: str) -> None:
    problem = preflight.located(Problem(variable, "", ""), {"sites": "sites.yml", "people": "people.yml"}, "vault.yml")
    assert problem.file == file


def values(**more: Any) -> dict[str, Any]:
    return {"sites": {"docs": {"domain": "docs.vln.test", "group": "docs"}}, "people": [{"name": "alice"}], **more}


TOKEN = {"cloudflare_acme_token": "abc"}
TASK_VARS: dict[str, Any] = {
    "inventory_hostname": "a",
    "groups": {"edge": ["a"], "docs": ["a"]},
    "hostvars": {"a": {"ansible_host": "192.0.2.1"}},
}


def derived(right: dict[str, Any], task_vars: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    return preflight.derived(right, right, task_vars)


def test_names_of_the_edge_are_to_lead_to_it() -> None:
    assert derived(values(), TASK_VARS) == ({"names": {"docs.vln.test": ["192.0.2.1"]}}, [])


def test_group_without_hosts_is_a_problem() -> None:
    _duties, (problem,) = derived(values(), {**TASK_VARS, "groups": {"edge": ["a"]}})
    assert problem.line() == "sites.docs: no host is in group docs; put one into that group of the inventory"


def test_two_primaries_are_a_problem() -> None:
    groups = {**TASK_VARS["groups"], "database": ["a", "b"]}
    _duties, (problem,) = derived(values(), {**TASK_VARS, "groups": groups})
    assert problem.line() == (
        "group database: it has a, b, but only one host can be the primary; move the others to database_standby"
    )


@pytest.mark.parametrize(("token", "expected"), [("abc", []), ("", ["vault_cloudflare_token"])])
def test_dns_challenge_needs_a_token(token: str, expected: list[str]) -> None:
    _duties, problems = derived(values(acme_challenge="dns-01", cloudflare_token=token), TASK_VARS)
    assert [problem.variable for problem in problems] == expected


@pytest.mark.parametrize(("challenge", "expected"), [("http-01", 1), ("dns-01", 0)])
def test_name_that_leads_to_several_hosts_is_proven_by_dns(challenge: str, expected: int) -> None:
    task_vars = {
        **TASK_VARS,
        "groups": {"edge": ["a", "b"], "docs": ["a", "b"]},
        "hostvars": {"a": {"ansible_host": "192.0.2.1"}, "b": {"ansible_host": "192.0.2.2"}},
    }
    _names, problems = derived(values(acme_challenge=challenge, **TOKEN), task_vars)
    assert [problem.line() for problem in problems] == expected * [
        "sites.docs.challenge: http-01 proves a name at one host, and visitors reach this one at a, b; "
        "write dns-01, here or as acme_challenge"
    ]


@pytest.mark.parametrize(("allowed", "expected"), [({}, ["people"]), ({"admin_users_allow_none": True}, [])])
def test_platform_without_people_is_refused_unless_that_is_wanted(allowed: dict[str, Any], expected: list[str]) -> None:
    _duties, problems = derived(values(people=[]), {**TASK_VARS, **allowed})
    assert [problem.variable for problem in problems] == expected


def test_faulty_site_does_not_hide_what_another_lacks() -> None:
    sites = {name: {"domain": f"{name}.vln.test", "group": group} for name, group in (("a", "edu"), ("b", "mail"))}
    sites["c"] = {"domain": "c.vln.test"}  # its group was wrong
    names, problems = derived(values(sites=sites), TASK_VARS)
    assert list(names["names"]) == ["a.vln.test", "b.vln.test", "c.vln.test"]
    assert [problem.variable for problem in problems] == ["sites.a", "sites.b"]


@pytest.mark.parametrize("faulty", [{"acme_challenge": "dns01"}, {"sites": {"docs": {"challenge": "dns01"}}}])
def test_name_whose_challenge_is_unclear_is_not_asked_for(faulty: dict[str, Any]) -> None:
    names, problems = preflight.derived(values(**faulty), values(), TASK_VARS)
    assert (names["names"], problems) == ({}, [])


def test_incomplete_database_is_left_out() -> None:
    _names, problems = derived(values(databases={"edu": {"clients": "edu"}}), TASK_VARS)
    assert problems == []


@pytest.mark.parametrize("source", ["hosts.yml", "hosts.ini", "."])
def test_variables_in_inventory_files_are_found_with_their_file(tmp_path: Path, source: str) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: {one: false}}, vars: {two: null}}")
    (tmp_path / "hosts.ini").write_text("[web]\na one=1\n[web:vars]\ntwo=x\n")
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / source)])
    inventory.get_host("a").set_variable("told_by_a_cloud", "x")
    names = VariableManager(loader=loader, inventory=inventory).get_vars(host=inventory.get_host("a"))
    found = preflight.inventory_variables(names, [tmp_path / source])
    assert set(found) == {"one", "two"}
    assert all(Path(file).name.startswith("hosts.") for file in found.values())


def test_message_counts_and_lists() -> None:
    assert preflight.message("a", ["x", "y"]) == "a: 2 problems; nothing was changed\n- x\n- y"
