# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read which services a run may take over from others, in whichever playbook a component is applied."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail

VARIABLE = "preflight_take_over"


def read_services(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> list[str]:
    """Return the services in the variable of the host; raises AnsibleActionFail when it is not a list."""
    if VARIABLE not in task_vars:
        return []
    value = action._templar.template(task_vars[VARIABLE])
    if not isinstance(value, list):
        raise AnsibleActionFail(f"{VARIABLE}: {value!r} is not a list; write `{VARIABLE}: [nginx]`")
    return [str(name) for name in value]
