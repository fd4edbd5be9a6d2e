"""The part on the controller: destinations, generation, prerequisites."""

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
def test_braces_are_replaced_by_keys_of_the_entry(pattern: str, item: dict[str, t.Any] | None, expected: str) -> None:
    assert component.expand_destination(pattern, item) == expected


def test_missing_key_is_reported_with_the_destination_and_the_keys() -> None:
    with pytest.raises(AnsibleActionFail, match=r"dest /etc/\{nmae\}: 'nmae' is not a key of the entry.*\['name'\]"):
        component.expand_destination("/etc/{nmae}", {"name": "docs"})


def arguments(content: str = "x", **more: t.Any) -> dict[str, t.Any]:
    return {"name": "demo", "files": [{"dest": "/a", "content": content}], **more}


def test_generation_replaces_its_placeholder_and_depends_on_every_option() -> None:
    result = component.add_generation(arguments(f"marker {component.GENERATION}"))
    assert result["files"][0]["content"] == f"marker {result['generation']}"
    variants = (arguments(), arguments("y"), arguments(check=["true"]))
    assert len({component.add_generation(variant)["generation"] for variant in variants}) == 3
    assert component.add_generation(arguments()) == component.add_generation(arguments())


def test_two_files_with_the_same_destination_are_refused() -> None:
    files = [{"dest": "/a", "content": "x"}, {"dest": "/a", "content": "y"}]
    with pytest.raises(AnsibleActionFail, match="demo: more than one file has the destination /a"):
        component.add_generation({"name": "demo", "files": files})


def test_prerequisites_are_packages_then_groups_then_users() -> None:
    prerequisites: dict[str, t.Any] = {
        "packages": ["nginx"],
        "absent_packages": ["telnet"],
        "groups": [{"name": "ops", "gid": None, "system": True}],
        "users": [{"name": "ada", "uid": None, "groups": ["ops"]}],
        "absent_users": ["eve"],
    }
    calls = list(component.plan_prerequisites(prerequisites))
    assert [module.rsplit(".", 1)[-1] for module, _options in calls] == ["apt", "apt", "group", "user", "user"]
    assert calls[2][1] == {"name": "ops", "system": True}
    assert calls[3][1] == {"name": "ada", "groups": ["ops"], "append": False}
    assert calls[4][1] == {"name": "eve", "state": "absent", "force": True, "remove": False}
