from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import targets
from ansible_collections.vise.platform.plugins.modules import database_restore


def options(**more: Any) -> dict[str, Any]:
    return {name: option["default"] for name, option in database_restore.ARGUMENT_SPEC.items()} | more


def test_defaults_restore_everything_and_replace_no_live_cluster() -> None:
    request = database_restore.build_request(options(), 0)
    assert (request.target, request.replace_live, request.delta, request.archive) == (
        targets.Target(),
        False,
        False,
        True,
    )


def test_options_become_the_request() -> None:
    given = options(target="lsn", value="0/1", mode="delta", set="1F", cluster="17/other")
    request = database_restore.build_request(given, 0)
    assert (request.target.value, request.delta, request.label) == ("0/1", True, "1F")
    assert (request.data, request.unit) == ("/var/lib/postgresql/17/other", "postgresql@17-other.service")


def test_invalid_target_is_refused_before_anything_is_read() -> None:
    with pytest.raises(targets.RestoreError, match="needs a value"):
        database_restore.build_request(options(target="time"), 0)
