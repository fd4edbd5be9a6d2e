"""Variables of a session do not change what apt does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import apt_environment

FOREIGN = {"http_proxy": "http://127.0.0.1:9", "LANG": "de"}


@pytest.mark.parametrize("given", [None, [], [FOREIGN]])
def test_apt_runs_without_the_proxy_of_the_session(given: Any) -> None:
    task = SimpleNamespace(environment=given)
    with apt_environment.own_configuration(task, "ansible.builtin.apt"):
        merged = {name: value for each in task.environment for name, value in each.items()}
        assert (merged["http_proxy"], merged.get("LANG")) == ("", "de" if given else None)
    assert task.environment is given


def test_other_modules_keep_their_environment() -> None:
    task = SimpleNamespace(environment=[FOREIGN])
    with apt_environment.own_configuration(task, "ansible.builtin.user"):
        assert task.environment == [FOREIGN]


def test_environment_is_restored_after_an_error() -> None:
    task = SimpleNamespace(environment=None)
    with pytest.raises(KeyError), apt_environment.own_configuration(task, "ansible.builtin.apt"):
        raise KeyError
    assert task.environment is None
