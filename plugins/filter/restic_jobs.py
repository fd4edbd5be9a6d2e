# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List the jobs for backup sets and repositories, and validate both."""

from __future__ import annotations

DOCUMENTATION = r"""
name: restic_jobs
short_description: List the jobs for backup sets and repositories
version_added: 0.1.0
description:
  - Combines each set with each repository, and rejects invalid ones before anything is changed.
options:
  _input:
    description: The sets in the format of the variable C(restic_sets) of the role M(vise.platform.restic).
    type: list
    elements: dict
    required: true
  repositories:
    description: The repositories.
    type: list
    elements: dict
    required: true
  pruned:
    description: The repositories whose old backups this host removes, each with a credential that may delete.
    type: list
    elements: dict
    required: true
  schedules:
    description: Schedules of C(backup), C(check) and C(prune), as systemd calendar events.
    type: dict
    required: true
  limits:
    description: Time limits of C(backup), C(check) and C(prune), as time spans of systemd, such as V(12h).
    type: dict
    default: {}
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the jobs
  ansible.builtin.debug:
    msg: "{{ restic_sets | vise.platform.restic_jobs(restic_repositories, [], restic_schedules) }}"
"""

RETURN = r"""
_value:
  description: The jobs, each with its unit, schedule, timer and link.
  type: list
  elements: dict
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import names, systemd

URL = re.compile(r"s3:https://[^/@\s]+/[^/\s]+(/[^/\s]+)*")
Entries = list[dict[str, t.Any]]


def restic_jobs(
    sets: Entries,
    repositories: Entries,
    pruned: Entries,
    schedules: dict[str, str],
    limits: t.Mapping[str, t.Any] | None = None,
) -> list[dict[str, t.Any]]:
    """Return the jobs: a backup per set and repository, a check per repository, a prune per pruned repository."""
    wrong = problems(sets, "restic_sets") + [problem for one in sets for problem in set_problems(one)]
    for variable, entries in (("restic_repositories", repositories), ("restic_prune_repositories", pruned)):
        wrong += problems(entries, variable)
        wrong += [f"{variable}: {one['name']}: {text}" for one in entries for text in repository_problems(one)]
    wrong += [
        f"restic_limits: {name}: {limit!r} is not a time span; write for example 12h"
        for name, limit in (limits or {}).items()
        if not (systemd.is_time_span(str(limit)) or limit == "infinity")
    ]
    if wrong:
        raise AnsibleFilterError("; ".join(wrong))
    jobs = [
        job("backup", f"{one['name']}:{repository['name']}", one.get("schedule") or schedules["backup"])
        for one in sets
        for repository in repositories
    ]
    jobs += [job("check", repository["name"], schedules["check"]) for repository in repositories]
    return jobs + [job("prune", one["name"], schedules["prune"]) for one in pruned]


def job(kind: str, instance: str, schedule: str) -> dict[str, t.Any]:
    """Return one job with the entries for the module component."""
    unit = f"restic-{kind}@{instance}"
    path = f"/etc/systemd/system/{unit}.timer"
    return {
        "unit": unit,
        "schedule": schedule,
        "timer": {"name": f"{unit}.timer", "watch": [path]},
        "link": {"path": f"/etc/systemd/system/timers.target.wants/{unit}.timer", "target": path},
    }


def problems(entries: Entries, variable: str) -> list[str]:
    """Return one message for each invalid or duplicate name."""
    found = [str(entry["name"]) for entry in entries]
    twice = [f"{variable}: {name!r} is listed twice" for name in sorted(set(found)) if found.count(name) > 1]
    return names.list_option_problems(variable, entries) + twice


def set_problems(entry: dict[str, t.Any]) -> list[str]:
    """Return one message for each problem of a set."""
    name = entry["name"]
    wrong = []
    if not entry["paths"]:
        wrong.append(f"restic_sets: {name}: paths are missing")
    bad = [path for path in entry["paths"] if not re.fullmatch(r"(/[^/\0]+)+", path) or "/../" in f"{path}/"]
    return wrong + [
        f"restic_sets: {name}: {path!r} must be an absolute path below / without a slash at its end" for path in bad
    ]


def repository_problems(entry: dict[str, t.Any]) -> list[str]:
    """Return one message for each problem of a repository, without its secrets."""
    wrong = [] if URL.fullmatch(entry["url"]) else ["url must have the form s3:https://endpoint/bucket/path"]
    return wrong + [f"{key} is empty" for key in ("key", "key_secret", "password") if not entry[key]]


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Any]:
        """Return it by its name."""
        return {"restic_jobs": restic_jobs}
