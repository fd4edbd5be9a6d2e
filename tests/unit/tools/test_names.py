"""Names of plays, blocks, tasks and handlers are found and judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import names

PLAYBOOK = """---
- name: Import
  ansible.builtin.import_playbook: other.yml

- name: baseline
  hosts: all
  vars:
    people: [{name: nobody, hosts_file: x}]
  roles:
    - {name: who, role: web}
  pre_tasks:
    - name: pre
      ansible.builtin.debug:
  tasks:
    - name: outer
      when: true
      block:
        - name: inner
          vise.platform.component:
            name: component argument
      rescue:
        - name: rescued
          ansible.builtin.meta: noop
      always:
        - name: always
          ansible.builtin.command: "true"
    - ansible.builtin.debug:
        msg: without a name
  post_tasks:
    - name: post
      ansible.builtin.debug:
  handlers:
    - name: handler
      community.general.some.module: {}
"""


@pytest.mark.parametrize(
    "name",
    [
        "Baseline",
        "Configure relay hosts and transports",
        "Upgrade mail | Report replication of each standby",
        "Upgrade | mail | Stop the containers",
        "Keepalive of {{ item }}",
        "Holders of the lock",
        "Reload {{ units | join(' ') }}",
        "Validate whose certificate it is",
        "Report the whole replication state, and somewhat more",
        "A" + 71 * "b",
        "Prefix | A" + 71 * "b",
    ],
)
def test_good_name_breaks_no_rule(name: str) -> None:
    assert names.offences(name) == []


@pytest.mark.parametrize(
    ("name", "offence"),
    [
        *((f"{word} the redis configuration", f"begins with {word}") for word in sorted(names.FIRST_WORDS)),
        ("Upgrade mail | See that mail flows", "begins with See"),
        ("Keep", "begins with Keep"),
        ("Let's start", "begins with Let"),
        ("Report what runs", "contains the word what"),
        ("What runs", "contains the word What"),
        ("Report who may log in", "contains the word who"),
        ("Report whom a standby follows", "contains the word whom"),
        ("Refuse whoever comes", "contains the word whoever"),
        ("Report {{ who }}", "contains the word who"),
        ("Remove those who've left", "contains the word who"),
        ("A" + 72 * "b", "has 73 characters, over 72"),
        ("Report {{ 'a' | default('" + 60 * "b" + "') }}", "has 90 characters, over 72"),
        ("configure nginx", "does not begin with a capital letter"),
        ("Edge | configure nginx", "does not begin with a capital letter"),
        ("{{ name }}", "does not begin with a capital letter"),
        ("", "does not begin with a capital letter"),
    ],
)
def test_bad_name_breaks_one_rule(name: str, offence: str) -> None:
    assert names.offences(name) == [offence]


def test_names_of_plays_blocks_tasks_and_handlers_are_found_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "site.yml"
    path.write_text(PLAYBOOK)
    found = names.complaints([path], tmp_path)
    assert found == [
        f"site.yml:{line}: `{name}` does not begin with a capital letter"
        for line, name in [
            (5, "baseline"),
            (12, "pre"),
            (15, "outer"),
            (18, "inner"),
            (22, "rescued"),
            (25, "always"),
            (30, "post"),
            (33, "handler"),
        ]
    ]


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "key: value\n", "- plain\n", "- {name: who, keys: []}\n", "password: !vault |\n  abc\n"],
)
def test_data_has_no_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.yml"
    path.write_text(text)
    assert names.complaints([path], tmp_path) == []


@pytest.mark.parametrize("tree", names.TREES)
def test_files_of_each_tree_are_listed(tmp_path: Path, tree: str) -> None:
    path = tmp_path / tree / "deep/er/tasks.yml"
    path.parent.mkdir(parents=True)
    path.touch()
    (path.parent / "other.json").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/x.yml").touch()
    assert names.files(tmp_path) == [path]
