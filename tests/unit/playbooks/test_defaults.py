"""Every play works with the defaults of the description: those of the role `description`, and no group_vars."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tools import collection

ROLE = "vise.platform.description"
FOLDER = collection.ROOT / "playbooks"
PLAYBOOKS = sorted(FOLDER.glob("*.yml"))
# Keys whose values are expressions without braces
EXPRESSIONS = ("changed_when", "failed_when", "that", "until", "when")
STAGES = ("preflight", "baseline", "data", "edge", "backups", "smoke")
HOST = "host-1"
# All that a description must say, with the secrets that every host needs.
MINIMUM = {
    "domain": "example.org",
    "sites": {"docs": {"domain": "docs.example.org", "group": "docs", "release": "3f2a9c81d0b7"}},
    "vault_internal_ca": "authority",
    "vault_internal_ca_key": "key",
    "vault_database_pool": "password of the pool",
}
# Secrets that are evaluated only where one of them is read
LAZY = ("database_passwords", "backup_passphrases")
EVERY = ("docs", "edu", "mail", "monitoring", "database", "cache", "edge")


def load(path: str) -> Any:
    """Read YAML as Ansible does, so that its texts are templates."""
    return DataLoader().load_from_file(str(collection.ROOT / path), trusted_as_template=True)


def plays(playbook: Path) -> list[dict[str, Any]]:
    """Return the plays of a playbook, without those that it imports."""
    return [play for play in yaml.safe_load(playbook.read_text()) if "hosts" in play]


def names(value: Any, key: str = "") -> Iterator[str]:
    """Yield the variables that the expressions of a play read."""
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from names(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from names(one, key)
    elif isinstance(value, str) and (key in EXPRESSIONS or "{{" in value):
        text = f"{{{{ {value} }}}}" if key in EXPRESSIONS else value
        yield from (name.name for name in jinja2.Environment(autoescape=True).parse(text).find_all(jinja2.nodes.Name))


def variables(groups: tuple[str, ...]) -> dict[str, Any]:
    """Return what a play sees on a host in these groups, with the variables of the collection's roles."""
    defaults = [load(f"roles/{role}/defaults/main.yml") for role in ("ssh", "description")]
    return {
        **defaults[0],
        **defaults[1],
        **MINIMUM,
        "inventory_hostname": HOST,
        "groups": {"docs": ["docs-1"], **{group: [HOST] for group in groups}, "all": [HOST, "docs-1"]},
        "group_names": list(groups),
        "hostvars": {HOST: {"ansible_host": "192.0.2.1"}, "docs-1": {"ansible_host": "192.0.2.2"}},
        "playbook_dir": "/playbooks",
        "ansible_playbook_python": "/usr/bin/python3",
        "ansible_check_mode": False,
        "ansible_inventory_sources": ["host-1,"],
        "ansible_run_tags": ["all"],
        "ansible_skip_tags": [],
    }


def evaluated(stage: str, groups: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the variables of each play of a stage, and those of each role that runs on a host in these groups."""
    for play in load(f"playbooks/{stage}.yml"):
        pattern = Templar(loader=DataLoader(), variables=variables(groups)).template(play["hosts"])
        if not {"all", *groups} & set(pattern.split(":")):
            continue
        scope = {**variables(groups), **play.get("vars", {})}
        for path in play.get("vars_files", ()):
            scope |= load(f"playbooks/{path}")
        for role in play["roles"]:
            seen = {**scope, **role.get("vars", {})}
            templar = Templar(loader=DataLoader(), variables=seen)
            if "when" in role and not templar.evaluate_conditional(role["when"]):
                continue
            for name in {*play.get("vars", {}), *role.get("vars", {})}.difference(LAZY):
                yield name, templar.template(seen[name])


@pytest.mark.parametrize(("stage", "groups"), list(itertools.product(STAGES, [EVERY, *((group,) for group in EVERY)])))
def test_variables_of_a_stage_have_values_by_the_defaults_only(stage: str, groups: tuple[str, ...]) -> None:
    assert all(value is not None for _name, value in evaluated(stage, groups))


def test_default_reaches_the_variables_of_a_role() -> None:
    found = dict(evaluated("data", EVERY))
    assert found["postgresql_version"] == "17"
    assert found["postgresql_memory"] == 0
    assert found["archive_settings"]["archive_mode"] is False
    assert found["postgresql_databases"] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_play_that_reads_the_description_begins_with_its_defaults(playbook: Path) -> None:
    keys = set(load("roles/description/defaults/main.yml"))
    for play in plays(playbook):
        first = (play.get("roles") or [{"role": ""}])[0]["role"]
        assert first == ROLE or not keys & set(names(play)), play["name"]


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_playbook_repeats_no_default_of_the_description(playbook: Path) -> None:
    keys = "|".join(load("roles/description/defaults/main.yml"))
    assert re.findall(rf"\b(?:{keys}) *\| *default\b", playbook.read_text()) == []


def test_no_key_of_the_description_is_read_through_hostvars() -> None:
    keys = "|".join(load("roles/description/defaults/main.yml"))
    through = re.compile(rf"hostvars\[[^]]+\](?:\.|\[['\"])(?:{keys})\b|extract', hostvars, ['\"](?:{keys})['\"]")
    files = [
        *PLAYBOOKS,
        *(collection.ROOT / "playbooks/tasks").glob("*.yml"),
        *(collection.ROOT / "roles").rglob("*.yml"),
    ]
    assert [path.name for path in files if through.search(path.read_text())] == []


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value of YAML."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    for one in value if isinstance(value, list) else []:
        yield from texts(one)
    if isinstance(value, str):
        yield value


def test_yearly_backups_of_each_repository_are_verified_by_their_own_configuration() -> None:
    (play,) = load("playbooks/backups.yml")
    (role,) = [one for one in play["roles"] if one["role"] == "vise.platform.backup_verify"]
    scope = {"verified_repositories": [{"name": "first"}, {"name": "second"}]}
    found = Templar(loader=DataLoader(), variables=scope).template(role["vars"]["backup_verify_pgbackrest_yearly"])
    assert found == ["/etc/pgbackrest/yearly-1.conf", "/etc/pgbackrest/yearly-2.conf"]


def test_groups_of_regular_expressions_are_written_for_their_kind_of_text() -> None:
    """In a block of YAML, a backslash is itself; in quotes it is written twice."""
    files = [*(collection.ROOT / "playbooks").rglob("*.yml"), *(collection.ROOT / "roles").rglob("*.yml")]
    doubled = re.compile(r"\\\\[0-9]")
    found = [path.name for path in files for text in texts(yaml.safe_load(path.read_text())) if doubled.search(text)]
    assert found == []
