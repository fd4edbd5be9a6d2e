"""The controller's half: destinations, generation, errands."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.vise.platform.plugins.action import component


@pytest.mark.parametrize(
    ("pattern", "item", "expected"),
    [
        ("/etc/a", None, "/etc/a"),
        ("/etc/{literal}", None, "/etc/{literal}"),
        ("/etc/{name}.conf", {"name": "docs"}, "/etc/docs.conf"),
    ],
)
def test_braces_name_keys_of_the_entry(pattern: str, item: dict[str, t.Any] | None, expected: str) -> None:
    assert component.destination(pattern, item) == expected


def test_a_missing_key_names_the_destination_and_the_keys() -> None:
    with pytest.raises(AnsibleActionFail, match=r"dest /etc/\{nmae\}: 'nmae' is not a key of the entry \['name'\]"):
        component.destination("/etc/{nmae}", {"name": "docs"})


def arguments(content: str = "x", **more: t.Any) -> dict[str, t.Any]:
    return {"name": "demo", "files": [{"dest": "/a", "content": content}], **more}


def test_the_generation_stands_in_the_files_and_follows_every_option() -> None:
    stamped = component.stamped(arguments(f"marker {component.GENERATION}"))
    assert stamped["files"][0]["content"] == f"marker {stamped['generation']}"
    generations = {component.stamped(a)["generation"] for a in (arguments(), arguments("y"), arguments(check=["true"]))}
    assert len(generations) == 3
    assert component.stamped(arguments()) == component.stamped(arguments())


def test_two_files_with_one_destination_are_refused() -> None:
    files = [{"dest": "/a", "content": "x"}, {"dest": "/a", "content": "y"}]
    with pytest.raises(AnsibleActionFail, match="demo: more than one file has the destination /a"):
        component.stamped({"name": "demo", "files": files})


def test_errands_bring_packages_groups_and_users_in_order() -> None:
    needs: dict[str, t.Any] = {
        "packages": ["nginx"],
        "absent_packages": ["telnet"],
        "groups": [{"name": "ops", "gid": None, "system": True}],
        "users": [{"name": "ada", "uid": None, "groups": ["ops"]}],
        "absent_users": ["eve"],
    }
    calls = list(component.errands(needs))
    assert [module.rsplit(".", 1)[-1] for module, _options in calls] == ["apt", "apt", "group", "user", "user"]
    assert calls[2][1] == {"name": "ops", "system": True}
    assert calls[3][1] == {"name": "ada", "groups": ["ops"], "append": False}
    assert calls[4][1] == {"name": "eve", "state": "absent", "force": True, "remove": False}
