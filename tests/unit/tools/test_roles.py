from __future__ import annotations

from pathlib import Path

import pytest

from tools import roles

SPECS = "roles/web/meta/argument_specs.yml"
DEFAULTS = "roles/web/defaults/main.yml"


def complaints(root: Path) -> list[str]:
    return roles.all_complaints(root / "roles/web", root)


def test_role_that_keeps_every_rule_has_no_complaints(checkout: Path) -> None:
    assert complaints(checkout) == []


@pytest.mark.parametrize("name", [*roles.REQUIRED, "../../molecule/web/molecule.yml"])
def test_missing_file_is_named(checkout: Path, name: str) -> None:
    path = (checkout / "roles/web" / name).resolve()
    path.unlink()
    wanted = str(path.relative_to(checkout)).removeprefix("roles/web/")
    assert f"web: {wanted} is missing" in complaints(checkout)


@pytest.mark.parametrize(
    ("path", "old", "new", "complaint"),
    [
        (DEFAULTS, "web_port: 80", "web_port: 81", "web: web_port is 80 in argument_specs but 81 in defaults/main.yml"),
        (
            DEFAULTS,
            "web_port: 80",
            "web_port: 80.0",
            "web: web_port is 80 in argument_specs but 80.0 in defaults/main.yml",
        ),
        (
            DEFAULTS,
            "web_sites: []",
            "web_sites: [{}]",
            "web: web_sites is [] in argument_specs but [{}] in defaults/main.yml",
        ),
        (DEFAULTS, "web_port: 80\n", "", "web: web_port has a default in argument_specs but none in defaults/main.yml"),
        (DEFAULTS, "web_port: 80", "web_port: 80\nweb_new: 1", "web: web_new is in defaults but not in argument_specs"),
        (SPECS, "default: 80, ", "", "web: web_port is neither required nor has a default in argument_specs"),
        (SPECS, "default: 80", "required: true", "web: web_port is required but has a default"),
        (SPECS, ", description: Where it listens", "", "web: web_port has no description"),
        (SPECS, "type: int, ", "", "web: web_port has no type"),
        ("roles/web/README.md", "| `web_port`", "| `port`", "out of date; run `make docs-tables`"),
        ("roles/web/README.md", "<!-- variables: end -->", "", "lacks the markers"),
        (
            "roles/web/README.md",
            "# web\n",
            "# web\n\n## Variables\n\n- `web_port`\n",
            "one section ## Variables, which",
        ),
        (
            "roles/web/README.md",
            "# web\n",
            "# web\n\n### Role variables\n",
            "variables: ### Role variables, ## Variables",
        ),
        (
            "roles/web/README.md",
            "<!-- variables: end -->\n",
            "<!-- variables: end -->\n\nMore.\n",
            "must end with one section",
        ),
        ("roles/web/README.md", "## Variables", "## All variables", "list variables: ## All variables"),
        ("roles/web/README.md", "# web\n", "# web\n" + "text\n" * 61, "lines beside its table, over 60"),
        ("roles/web/tasks/main.yml", "---\n", "---\n" + "# long\n" * 40, "web: tasks/main.yml has 50 lines, over 40"),
        (DEFAULTS, "---\n", "---\n" + "# long\n" * 80, "web: defaults/main.yml has 83 lines, over 80"),
        (
            "roles/web/templates/site.conf.j2",
            "{{ ansible_managed | comment }}\n",
            "",
            "templates/site.conf.j2 does not begin with",
        ),
    ],
)
def test_broken_rule_is_named(checkout: Path, path: str, old: str, new: str, complaint: str) -> None:
    file = checkout / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    assert complaint in "\n".join(complaints(checkout))


def test_long_tasks_file_is_named(checkout: Path) -> None:
    (checkout / "roles/web/tasks/more.yml").write_text("# long\n" * 101)
    assert "web: tasks/more.yml has 101 lines, over 100" in complaints(checkout)


def test_option_with_the_name_of_another_role_is_named(checkout: Path) -> None:
    for path in (checkout / SPECS, checkout / DEFAULTS):
        path.write_text(path.read_text().replace("web_port", "nginx_port"))
    assert "web: nginx_port does not begin with web_" in complaints(checkout)


def test_template_may_begin_with_a_shebang(checkout: Path) -> None:
    path = checkout / "roles/web/templates/site.conf.j2"
    path.write_text("#!/bin/sh\n" + path.read_text())
    assert complaints(checkout) == []


@pytest.fixture
def description(tmp_path: Path) -> Path:
    """The role that has defaults only: long, without a common prefix, and without a scenario."""
    role = tmp_path / "roles" / roles.DEFAULTS_ONLY
    for name, text in {
        "README.md": "# description\n",
        "defaults/main.yml": "---\n" + "# long\n" * 80 + "databases: {}\n",
        "meta/main.yml": "---\ngalaxy_info: {}\n",
    }.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    return role


def test_role_with_defaults_only_is_exempt_by_its_name(description: Path) -> None:
    assert roles.all_complaints(description, description.parents[1]) == []
    other = description.rename(description.with_name("other"))
    assert len(roles.all_complaints(other, other.parents[1])) > 3


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("tasks/main.yml", "description: tasks does not belong to a role that has defaults only"),
        (
            "meta/argument_specs.yml",
            "description: meta/argument_specs.yml does not belong to a role that has defaults only",
        ),
    ],
)
def test_role_with_defaults_only_has_nothing_that_runs(description: Path, name: str, complaint: str) -> None:
    (description / name).parent.mkdir(exist_ok=True)
    (description / name).write_text("---\n")
    assert roles.all_complaints(description, description.parents[1]) == [complaint]


@pytest.mark.parametrize("name", ["README.md", "defaults/main.yml", "meta/main.yml"])
def test_missing_file_of_the_role_with_defaults_only_is_named(description: Path, name: str) -> None:
    (description / name).unlink()
    assert roles.all_complaints(description, description.parents[1]) == [f"description: {name} is missing"]


def test_long_readme_of_the_role_with_defaults_only_is_named(description: Path) -> None:
    (description / "README.md").write_text("text\n" * 61)
    (complaint,) = roles.all_complaints(description, description.parents[1])
    assert "61 lines beside its table, over 60" in complaint
