"""The explicit word is one variable of the host, in all playbooks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.vise.platform.plugins.plugin_utils import taken_over


def read(variables: dict[str, Any]) -> list[str]:
    return taken_over.read_services(SimpleNamespace(_templar=Templar(DataLoader(), variables)), variables)


def test_services_are_those_of_the_variable() -> None:
    assert read({}) == []
    template = trust_as_template("{{ ['redis'] + more }}")
    assert read({"preflight_take_over": template, "more": ["nginx"]}) == ["redis", "nginx"]


def test_value_that_is_not_a_list_is_refused() -> None:
    with pytest.raises(AnsibleActionFail, match=r"preflight_take_over: 'nginx' is not a list; write"):
        read({"preflight_take_over": "nginx"})
