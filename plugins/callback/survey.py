# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watch all results of a run, so that components may rely on a survey until the first change."""

from __future__ import annotations

DOCUMENTATION = r"""
name: survey
type: aggregate
short_description: Let components that were surveyed be skipped until the first change of the run
version_added: 0.1.0
description:
  - C(site.yml) begins with a survey of all components of each host, in one module execution. A component that was found
    right needs no execution of its own. See M(vise.platform.preflight).
  - A survey is valid only as long as nothing has changed, on any host. This callback watches all results. The first
    task that is changed, failed or unreachable ends the surveys of all hosts, and all later components are executed. In
    check mode, so does a task that would change something.
  - A task that runs a command (C(command), C(shell), C(raw), C(script), C(expect), C(uri)) ends the surveys too, and so
    does any task with C(changed_when), because its result does not show what it changed. A task that only reads is
    marked by C(changed_when=false) together with C(check_mode), true or false, in the task itself.
  - A play with another strategy than C(linear) ends the surveys, because its hosts do not wait for the results.
  - Without this callback there are no surveys, and each component is executed.
requirements:
  - Enable it by C(callbacks_enabled = vise.platform.survey) in the section C([defaults]) of C(ansible.cfg).
author:
  - vise.platform contributors (@vise-platform)
"""

import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.vise.platform.plugins.plugin_utils import surveys

# Modules that report a change, or none, without knowing it.
COMMANDS = ("command", "shell", "raw", "script", "expect", "uri")
BUILTIN = ("ansible.builtin.", "ansible.legacy.", "")
LINEAR = [f"{prefix}linear" for prefix in BUILTIN]


def is_marked_as_reading(fields: t.Mapping[str, t.Any]) -> bool:
    """Return whether a task is marked: it reports no change, and behaves the same in check mode."""
    return fields.get("changed_when") in (False, "false", [False]) and isinstance(fields.get("check_mode"), bool)


def can_hide_changes(action: str, fields: t.Mapping[str, t.Any]) -> bool:
    """Return whether the result of a task may not show that it changed something.

    Args:
        action: the name of its module.
        fields: the task as it is written in the playbook.
    """
    is_command = action.rpartition(".")[2] in COMMANDS
    return (is_command or "changed_when" in fields) and not is_marked_as_reading(fields)


class CallbackModule(CallbackBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Begins the surveys with each playbook and ends them at the first result that is not without change."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "vise.platform.survey"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, *_arguments: t.Any) -> None:
        """Allow surveys, which the playbook's preflight makes."""
        surveys.begin()

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """End the surveys when hosts do not wait for each other."""
        if play.strategy not in LINEAR:
            surveys.end()

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """End the surveys when the task changed something, or may have done so."""
        task = result.task
        if result.is_changed() or can_hide_changes(task.action, task.get_ds() or {}):
            surveys.end()

    def v2_runner_on_failed(self, *_arguments: t.Any, **_options: t.Any) -> None:
        """End the surveys: a task that failed may have changed something, also if a rescue follows."""
        surveys.end()

    v2_runner_on_unreachable = v2_runner_retry = v2_runner_on_failed
    # Items of a loop; their results come before the result of the task.
    v2_runner_item_on_ok, v2_runner_item_on_failed = v2_runner_on_ok, v2_runner_on_failed
