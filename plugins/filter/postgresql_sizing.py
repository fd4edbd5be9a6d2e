# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive PostgreSQL's settings from the size of the host, each with an explanation."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_sizing
short_description: Derive PostgreSQL's settings from memory, cores and disk
version_added: 0.1.0
description:
  - Computes settings from the size of a host, each with an explanation of its value.
  - Memory is rounded down to 64 MB, so that a new kernel with a slightly different total does not restart the server.
positional: max_connections
options:
  _input:
    description: The host's C(memory_mb), C(cores) and C(disk_mb), as M(vise.platform.postgresql_cluster) returns them.
    type: dict
    required: true
  max_connections:
    description: Number of connections that share the working memory.
    type: int
    default: 100
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the settings of a small server
  ansible.builtin.debug:
    msg: "{{ {'memory_mb': 3900, 'cores': 2, 'disk_mb': 40000} | vise.platform.postgresql_sizing(100) }}"
"""

RETURN = r"""
_value:
  description: Each setting with its C(value) and the reason, C(why).
  type: dict
  sample: {shared_buffers: {value: 960MB, why: a quarter of 3840 MB}}
"""

import typing as t

from ansible.errors import AnsibleFilterError

STEP = 64  # MB


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def postgresql_sizing(resources: t.Mapping[str, int], max_connections: int = 100) -> dict[str, dict[str, t.Any]]:
    """Return each setting with its value and the reason; raise AnsibleFilterError for an unusable size."""
    try:
        memory = int(resources["memory_mb"]) // STEP * STEP
        cores, disk, connections = int(resources["cores"]), int(resources["disk_mb"]), int(max_connections)
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"postgresql_sizing: memory_mb, cores and disk_mb must be numbers: {error}") from error
    if memory < 256 or cores < 1 or connections < 1:
        raise AnsibleFilterError(
            f"postgresql_sizing: {memory} MB, {cores} cores and {connections} connections are too few for a server"
        )
    shared = memory // 4
    gathering = _clamp(cores // 2, 1, 4)
    wal = _clamp(disk // 20 // STEP * STEP, 256, 4096)
    slots = _clamp(disk // 10 // STEP * STEP, 512, 65536)
    each = (memory - shared) // 3 // connections
    of = f"of {memory} MB"
    return {
        "shared_buffers": _entry(f"{shared}MB", f"a quarter {of}"),
        "effective_cache_size": _entry(f"{memory * 3 // 4}MB", f"three quarters {of}"),
        "maintenance_work_mem": _entry(f"{_clamp(memory // 16, 64, 2048)}MB", f"a sixteenth {of}, from 64 MB to 2 GB"),
        "work_mem": _entry(
            f"{_clamp(each, 4, 256)}MB", f"a third of the rest for {connections} connections, from 4 to 256 MB each"
        ),
        "max_parallel_workers": _entry(_clamp(cores, 2, 8), f"{cores} cores, from 2 to 8"),
        "max_parallel_workers_per_gather": _entry(gathering, f"half of {cores} cores, from 1 to 4"),
        "max_parallel_maintenance_workers": _entry(gathering, f"half of {cores} cores, from 1 to 4"),
        "max_wal_size": _entry(f"{wal}MB", f"a twentieth of the disk's {disk} MB, from 256 MB to 4 GB"),
        "max_slot_wal_keep_size": _entry(
            f"{slots}MB", f"a tenth of the disk's {disk} MB, from 512 MB to 64 GB: the limit for a lost standby"
        ),
    }


def _entry(value: t.Any, why: str) -> dict[str, t.Any]:
    return {"value": value, "why": why}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"postgresql_sizing": postgresql_sizing}
