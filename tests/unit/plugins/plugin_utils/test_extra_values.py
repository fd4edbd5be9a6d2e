"""Words of -e that a space has separated from their value are named; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import extra_values


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({}, ""),
        ({"init_functions": "docs cache", "ansible_user": "debian"}, ""),
        ({"init_functions": "docs", "_raw_params": "cache mail"}, "cache mail"),
        ({"init_hosts": "web-1=192.0.2.10", "db-1": "192.0.2.11"}, "db-1=192.0.2.11"),
        ({"restore_target_time": "2026-03-01", "_raw_params": "12:30"}, "12:30"),
    ],
)
def test_separated_words_are_named(extra: dict[str, Any], words: str) -> None:
    found = extra_values.find_separated(extra, ["init_"])
    expected = [f"{words}: this is separated from its value by a space"] if words else []
    assert [problem.partition(",")[0] for problem in found] == expected
    assert not found or found[0].endswith("""-e 'init_...="FIRST SECOND"'""")
