"""Settings that are derived from the size of a host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.postgresql_sizing import FilterModule, postgresql_sizing

SMALL = {"memory_mb": 1990, "cores": 1, "disk_mb": 20000}
MIDDLE = {"memory_mb": 7941, "cores": 4, "disk_mb": 80000}
LARGE = {"memory_mb": 257000, "cores": 64, "disk_mb": 4000000}


@pytest.mark.parametrize(
    ("resources", "connections", "setting", "value"),
    [
        (SMALL, 100, "shared_buffers", "496MB"),
        (SMALL, 100, "maintenance_work_mem", "124MB"),
        (SMALL, 100, "work_mem", "4MB"),
        (SMALL, 100, "max_parallel_workers", 2),
        (SMALL, 100, "max_parallel_workers_per_gather", 1),
        (SMALL, 100, "max_wal_size", "960MB"),
        (SMALL, 100, "max_slot_wal_keep_size", "1984MB"),
        (MIDDLE, 100, "shared_buffers", "1984MB"),
        (MIDDLE, 100, "effective_cache_size", "5952MB"),
        (MIDDLE, 100, "work_mem", "19MB"),
        (MIDDLE, 20, "work_mem", "99MB"),
        (MIDDLE, 100, "max_parallel_workers_per_gather", 2),
        (LARGE, 100, "maintenance_work_mem", "2048MB"),
        (LARGE, 100, "work_mem", "256MB"),
        (LARGE, 100, "max_parallel_workers", 8),
        (LARGE, 100, "max_wal_size", "4096MB"),
        (LARGE, 100, "max_slot_wal_keep_size", "65536MB"),
    ],
)
def test_setting_follows_from_the_size(resources: dict[str, int], connections: int, setting: str, value: Any) -> None:
    assert postgresql_sizing(resources, connections)[setting]["value"] == value


def test_slightly_different_memory_changes_nothing() -> None:
    assert postgresql_sizing({**MIDDLE, "memory_mb": 7950}) == postgresql_sizing(MIDDLE)


def test_each_setting_has_a_reason() -> None:
    sized = FilterModule().filters()["postgresql_sizing"](MIDDLE)
    assert all(entry["why"] for entry in sized.values())


@pytest.mark.parametrize(
    "resources",
    [{}, {**SMALL, "memory_mb": "much"}, {**SMALL, "memory_mb": 200}, {**SMALL, "cores": 0}],
)
def test_size_that_is_too_small_is_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="postgresql_sizing"):
        postgresql_sizing(resources)
