"""Files that Ansible cannot read, and options that match nothing, are found with what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import run_checks

HOSTS = "edge: {hosts: {web-1: {}}}\n"
GROUPS = {"all": ["web-1", "db-1"], "ungrouped": [], "edge": ["web-1"], "database": ["db-1"], "cache": []}


def find_problems(folder: Path, source: str = "hosts.yml", groups: dict[str, list[str]] | None = None) -> list[str]:
    """Return the problems of an inventory below a folder, without the folder's path."""
    found = run_checks.find_run_problems(groups or GROUPS, [str(folder / source)], folder / "playbooks")
    return [line.replace(f"{folder}/", "") for line in found]


def write_files(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_inventory_that_can_be_read_has_no_problem(tmp_path: Path) -> None:
    write_files(tmp_path, hosts_yml=HOSTS, group_vars__all_yml="a: {b: 1}\nc: &c {d: 1}\ne: {<<: *c, f: 2}\n")
    assert find_problems(tmp_path) == []


@pytest.mark.parametrize("source", ["web-1,db-1", "web-1,"])
def test_list_of_hosts_is_no_file(source: str, tmp_path: Path) -> None:
    assert run_checks.find_run_problems(GROUPS, [source], tmp_path) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("prodution", "the inventory prodution does not exist; did you mean `production`?"),
        ("none/hosts.yml", "the inventory none/hosts.yml does not exist; correct `-i`"),
    ],
)
def test_inventory_that_does_not_exist_names_the_nearest_one(source: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    assert find_problems(tmp_path, source) == [expected]


def test_missing_inventory_names_the_option() -> None:
    found = run_checks.find_run_problems({"all": []}, ["/etc/ansible/hosts"], Path("/nowhere"))
    assert found == ["no inventory is given; write `-i inventories/production`"]


def test_inventory_without_hosts_is_a_problem(tmp_path: Path) -> None:
    write_files(tmp_path, hosts_yml="production: {children: {edge: }}\n")
    (problem,) = find_problems(tmp_path, groups={"all": [], "edge": []})
    assert problem.startswith("the inventory hosts.yml has no host; add the hosts to it")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "hosts.yml",
            "edge: {hosts: {web-1: {}}\n",
            "hosts.yml, line 2, column 1: the YAML is not valid: while parsing a",
        ),
        (
            "hosts.yml",
            "edge:\n  hosts:\n\tweb-1:\n",
            "hosts.yml, line 3, column 1: the YAML is not valid: the line is indented",
        ),
        ("hosts.yml", "edge: {}\nedge: {}\n", "hosts.yml, line 2: `edge` is defined twice; remove one"),
        ("hosts.yml", "- web-1\n", "hosts.yml: is not a mapping; write one `name: value` for each variable"),
        ("hosts.yml", "edge: [web-1]\n", "hosts.yml: group edge is no mapping; write `edge: {hosts: {...}}`"),
        (
            "hosts.yml",
            "edge: {host: {web-1: }}\n",
            "hosts.yml: group edge has the unknown key `host`; write one of chil",
        ),
        (
            "hosts.yml",
            "a: {children: {edge: {host: }}}\n",
            "hosts.yml: group a.children.edge has the unknown key `host`",
        ),
        ("hosts.yml", "edge: {hosts: [web-1]}\n", "hosts.yml: the inventory cannot be read: "),
        ("hosts.ini", "[edge\nweb-1\n", "hosts.ini: the inventory cannot be read: "),
        ("hosts.ini", "[edge]\nweb-1\n[a:childen]\nedge\n", "hosts.ini: the inventory cannot be read: "),
        ("hosts", "[edge\nweb-1\n", "hosts: the inventory cannot be read: "),
        ("hosts.toml", "[edge.hosts\n", "hosts.toml: the inventory cannot be read: "),
        ("hosts.py", "#!/bin/sh\n", "hosts.py: is not executable; run `chmod +x hosts.py`"),
    ],
)
def test_file_of_the_inventory_that_cannot_be_read_is_named(
    name: str, text: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    (problem,) = find_problems(tmp_path, name)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts", "web-1\n[edge]\nweb-1 a=1\n"),
        ("hosts", HOSTS),
        ("hosts.ini", "[edge]\nweb-[1:3]\n"),
        ("hosts.toml", "[edge.hosts]\nweb-1 = {}\n"),
        ("cloud.yml", "plugin: hetzner.hcloud.hcloud\n"),
        ("hosts.json", '{"edge": {"hosts": {"web-1": {}}}}'),
    ],
)
def test_every_format_of_inventories_is_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert find_problems(tmp_path, name) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("group_vars/all.yml", b"a: 1\nb: {c: 1, c: 2}\n", ["line 2: `c` is defined twice; remove one"]),
        (
            "group_vars/edge/a.yml",
            b"a: 'b\n",
            ["line 2, column 1: the YAML is not valid: while scanning a quoted scalar"],
        ),
        ("host_vars/web-1.yml", b"a: b: c\n", ["line 1, column 5: the YAML is not valid: mapping values are not"]),
        ("host_vars/web-1.yml", b"a: \xff\n", [": is not UTF-8 at byte 3; save the file as UTF-8"]),
        ("host_vars/web-1.yml", b"$ANSIBLE_VAULT;1.1;AES256\n61\n", [": cannot be decrypted: "]),
        ("playbooks/group_vars/all.yml", b"[a]", [": is not a mapping"]),
        ("group_vars/all.yml", b"", []),
        ("group_vars/all.yml", b"---\n# nothing\n", []),
        # No host reads it in this run.
        ("group_vars/staging.yml", b"a: 'b\n", []),
    ],
)
def test_file_with_variables_that_cannot_be_read_is_named_with_its_line(
    file: str, text: bytes, expected: list[str], tmp_path: Path
) -> None:
    write_files(tmp_path, hosts_yml=HOSTS)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(text)
    found = find_problems(tmp_path)
    assert len(found) == len(expected)
    assert all(line.startswith(file) and start in line for line, start in zip(found, expected, strict=True))


def test_linked_file_is_named_by_the_path_that_users_edit(tmp_path: Path) -> None:
    write_files(tmp_path, hosts_yml=HOSTS, group_vars__all_yml="a: 1\na: 2\n")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/group_vars").symlink_to("../group_vars")
    assert find_problems(tmp_path) == ["group_vars/all.yml, line 2: `a` is defined twice; remove one"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("", []),
        ("web-1", []),
        ("web-1:db-1", []),
        ("edge,!web-1", []),
        ("all:&edge", []),
        ("web*", []),
        ("~web-[0-9]", []),
        ("edge[0]", []),
        ("edge[0:1]", []),
        ("@hosts.retry", []),
        ("localhost", []),
        ("web1", ["--limit web1: no host or group of the inventory has this name; did you mean `web-1`?"]),
        ("web-1,!dbb-1", ["--limit dbb-1: no host or group of the inventory has this name; did you mean `db-1`?"]),
        ("edge,cache", ["--limit cache: group cache has no host; correct it"]),
        ("~x.*", ["--limit ~x.*: no host or group of the inventory has this name; correct it"]),
    ],
)
def test_part_of_limit_that_matches_no_host_is_a_problem(limit: str, expected: list[str]) -> None:
    assert run_checks.find_unmatched_limits(limit, GROUPS) == expected


@pytest.mark.parametrize(
    ("tags", "skipped", "expected"),
    [
        (["all"], [], []),
        (["nginx", "preflight"], ["firewall", "never"], []),
        (["ngnix"], [], ["--tags ngnix: no task has this tag; did you mean `nginx`?"]),
        (["nginx"], ["firewal"], ["--skip-tags firewal: no task has this tag; did you mean `firewall`?"]),
    ],
)
def test_tag_that_no_task_has_is_a_problem(tags: list[str], skipped: list[str], expected: list[str]) -> None:
    assert run_checks.find_unmatched_tags(tags, skipped) == expected


def test_unknown_tag_that_resembles_none_names_all_tags() -> None:
    (problem,) = run_checks.find_unmatched_tags(["qqqqq"], [])
    assert "; use one of " in problem
    assert "nginx" in problem


def test_tags_of_a_users_own_playbook_are_known(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(
        "[{hosts: all, tags: one, tasks: [{debug: , tags: [two]}, {block: [{debug: , tags: three}], tags: four}]}]"
    )
    assert {"one", "two", "three", "four"} <= run_checks.own_tags([str(tmp_path / "own.yml"), "vise.platform.site"])
