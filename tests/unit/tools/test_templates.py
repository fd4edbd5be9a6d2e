from __future__ import annotations

from pathlib import Path

import pytest

from tools import templates

TASKS = "roles/web/tasks/main.yml"
CASES = "tests/unit/roles/web/template_vars.yml"
SITE = "roles/web/templates/site.conf.j2"
WEB = "roles/web/templates/web.conf.j2"


def find_problems(root: Path) -> list[str]:
    return templates.find_problems(root / "roles/web", root)


def test_templates_of_a_correct_role_render(checkout: Path) -> None:
    assert find_problems(checkout) == []


def test_template_sees_the_entry_the_defaults_and_the_vars_of_its_file(checkout: Path) -> None:
    role = checkout / "roles/web"
    texts = [
        text.splitlines()[-1]
        for _, text in templates.render_templates(role, templates.load_cases(role, checkout)["two_sites"])
    ]
    assert [text.partition(" @")[0] for text in texts] == ["port 80 hello", "site docs 80", "site edu 80"]


@pytest.mark.parametrize(
    ("path", "old", "new", "problem"),
    [
        (WEB, "{{ web_port }}", "{{ web_prot }}", "case defaults: 'web_prot' is undefined"),
        (SITE, "item.name", "item.title", "case two_sites: "),
        (WEB, "{{ web_port }}", "{{ web_port", "case defaults: "),
        (TASKS, "{{ web_sites }}", "{{ web_site }}", "'web_site' is undefined"),
        (TASKS, "name: web\n", 'name: "{{ web_nme }}"\n', "'web_nme' is undefined"),
        (TASKS, "/{name}.conf", "/{title}.conf", "case two_sites: dest /etc/web/{title}.conf"),
        (CASES, "{name: docs}, {name: edu}", "", "no case renders templates/site.conf.j2: add a case to"),
        (TASKS, "/etc/web.conf", "/etc/other.conf", "no case renders templates/web.conf.j2"),
    ],
)
def test_problem_of_a_template_is_named(checkout: Path, path: str, old: str, new: str, problem: str) -> None:
    file = checkout / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert problem in "\n".join(find_problems(checkout))


def test_entry_always_belongs_to_every_case(checkout: Path) -> None:
    (checkout / WEB).write_text("{{ ansible_managed | comment }}\n{{ web_owner }} {{ greeting }}\n")
    assert "'web_owner' is undefined" in find_problems(checkout)[0]
    cases = checkout / CASES
    cases.write_text(cases.read_text() + "always: {web_owner: ops}\n")
    assert find_problems(checkout) == []


def test_tasks_in_blocks_and_loops_and_template_tasks_are_rendered(checkout: Path) -> None:
    (checkout / TASKS).write_text(
        """---
- name: Block
  vars: {greeting: hello}
  block:
    - name: Render
      ansible.builtin.template: {src: web.conf.j2, dest: /etc/web.conf}
      vars: {greeting: hello, component_generation: none}
- name: Loop
  vise.platform.component:
    name: "web-{{ item.name }}"
    files: [{dest: "/etc/{{ item.name }}", src: site.conf.j2}]
  loop: "{{ web_sites }}"
"""
    )
    assert find_problems(checkout) == []
