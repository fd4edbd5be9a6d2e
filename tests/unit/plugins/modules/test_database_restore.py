from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import targets
from ansible_collections.vise.platform.plugins.modules import database_restore


def given(**more: Any) -> dict[str, Any]:
    return {name: option["default"] for name, option in database_restore.ARGUMENT_SPEC.items()} | more


def test_defaults_are_everything_and_no_live_cluster() -> None:
    wanted = database_restore.wanted(given(), 0)
    assert (wanted.target, wanted.replace_live, wanted.delta, wanted.archive) == (targets.Target(), False, False, True)


def test_options_arrive() -> None:
    wanted = database_restore.wanted(given(target="lsn", value="0/1", mode="delta", set="1F", cluster="17/other"), 0)
    assert (wanted.target.value, wanted.delta, wanted.label) == ("0/1", True, "1F")
    assert (wanted.data, wanted.unit) == ("/var/lib/postgresql/17/other", "postgresql@17-other.service")


def test_bad_target_is_refused_before_anything_is_read() -> None:
    with pytest.raises(targets.Impossible, match="takes a value"):
        database_restore.wanted(given(target="time"), 0)
