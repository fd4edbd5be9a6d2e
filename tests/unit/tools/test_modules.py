from __future__ import annotations

from pathlib import Path

import pytest

from tools import modules

from .conftest import put

DOCUMENTED = 'DOCUMENTATION = r"""\nmodule: zone\nextends_documentation_fragment: {}\n"""\n'
PLAY = "- hosts: all\n  module_defaults:\n    group/vise.platform.dns: {token: x}\n"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    put(tmp_path, "meta/runtime.yml", "action_groups: {dns: [zone]}\n")
    put(tmp_path, "playbooks/tasks/publish.yml", PLAY)
    put(tmp_path, "plugins/modules/zone.py", DOCUMENTED.format("vise.platform.dns"))
    put(tmp_path, "plugins/modules/__init__.py", "")
    put(tmp_path, "plugins/action/zone.py", "")
    put(tmp_path, "tests/unit/plugins/modules/test_zone.py", "")
    put(tmp_path, "tests/unit/plugins/action/test_zone.py", "")
    return tmp_path


def test_good_collection_has_no_complaints(plugins: Path) -> None:
    assert modules.action_groups(plugins) + modules.unit_tests(plugins) == []


@pytest.mark.parametrize("fragment", ["vise.platform.dns", "[ansible.builtin.files, vise.platform.dns]"])
def test_module_with_credentials_outside_the_group_is_named(plugins: Path, fragment: str) -> None:
    put(plugins, "plugins/modules/record.py", DOCUMENTED.format(fragment))
    assert modules.action_groups(plugins) == ["record is missing in the action group dns of meta/runtime.yml"]


@pytest.mark.parametrize("text", ["", DOCUMENTED.format("[]"), DOCUMENTED.format("ansible.builtin.files")])
def test_module_without_credentials_needs_no_group(plugins: Path, text: str) -> None:
    put(plugins, "plugins/modules/stack.py", text)
    assert modules.action_groups(plugins) == []


@pytest.mark.parametrize("text", [None, DOCUMENTED.format("[]")])
def test_group_member_without_the_credentials_is_named(plugins: Path, text: str | None) -> None:
    (plugins / "plugins/modules/zone.py").unlink()
    if text:
        put(plugins, "plugins/modules/zone.py", text)
    assert modules.action_groups(plugins) == ["the action group dns names zone, which does not have its credentials"]


def test_service_without_a_group_is_named(plugins: Path) -> None:
    put(plugins, "plugins/modules/mailbox.py", DOCUMENTED.format("[vise.platform.mail]"))
    assert modules.action_groups(plugins) == [
        "mailbox is missing in the action group mail of meta/runtime.yml",
        "no playbook uses group/vise.platform.mail in module_defaults",
    ]


def test_group_that_no_playbook_uses_is_named(plugins: Path) -> None:
    put(plugins, "playbooks/tasks/publish.yml", PLAY.replace("platform.dns", "platform.dns_zone"))
    assert modules.action_groups(plugins) == ["no playbook uses group/vise.platform.dns in module_defaults"]


@pytest.mark.parametrize("kind", ["modules", "action"])
def test_plugin_without_a_unit_test_is_named(plugins: Path, kind: str) -> None:
    (plugins / f"tests/unit/plugins/{kind}/test_zone.py").unlink()
    assert modules.unit_tests(plugins) == [f"plugins/{kind}/zone.py has no tests/unit/plugins/{kind}/test_zone.py"]
