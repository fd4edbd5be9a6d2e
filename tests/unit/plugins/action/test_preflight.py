"""Where preflight finds what, and how it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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


def test_variables_of_roles_are_known(tmp_path: Path) -> None:
    meta = tmp_path / "nginx/meta"
    meta.mkdir(parents=True)
    (meta / "argument_specs.yml").write_text("argument_specs: {main: {options: {nginx_sites: {}}}, other: {}}")
    assert preflight.role_options(str(tmp_path)) == {"nginx_sites"}


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


TASK_VARS = {
    "inventory_hostname": "a",
    "groups": {"edge": ["a"], "docs": ["a"]},
    "hostvars": {"a": {"ansible_host": "192.0.2.1"}},
}


def test_names_of_the_edge_are_to_lead_to_it() -> None:
    assert preflight.derived(values(), TASK_VARS) == ({"names": ["docs.vln.test"], "addresses": ["192.0.2.1"]}, [])


def test_group_without_hosts_is_a_problem() -> None:
    _duties, (problem,) = preflight.derived(values(), {**TASK_VARS, "groups": {"edge": ["a"]}})
    assert problem.line() == "sites.docs: no host is in group docs; put one into that group of the inventory"


def test_two_primaries_are_a_problem() -> None:
    groups = {**TASK_VARS["groups"], "database": ["a", "b"]}
    _duties, (problem,) = preflight.derived(values(), {**TASK_VARS, "groups": groups})
    assert problem.line() == (
        "group database: it has a, b, and there is one primary; put the others into database_standby"
    )


@pytest.mark.parametrize(("token", "expected"), [("abc", []), ("", ["vault_cloudflare_token"])])
def test_dns_challenge_needs_a_token(token: str, expected: list[str]) -> None:
    _duties, problems = preflight.derived(values(acme_challenge="dns-01", cloudflare_token=token), TASK_VARS)
    assert [problem.variable for problem in problems] == expected


@pytest.mark.parametrize(("allowed", "expected"), [({}, ["people"]), ({"admin_users_allow_none": True}, [])])
def test_platform_without_people_is_refused_unless_that_is_wanted(allowed: dict[str, Any], expected: list[str]) -> None:
    _duties, problems = preflight.derived(values(people=[]), {**TASK_VARS, **allowed})
    assert [problem.variable for problem in problems] == expected


def test_message_counts_and_lists() -> None:
    assert preflight.message("a", ["x", "y"]) == "a: 2 problems; nothing was changed\n- x\n- y"
