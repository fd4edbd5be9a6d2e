# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the plan of a rotation of DKIM keys."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dkim_rotation
short_description: Plan the rotation of DKIM keys
version_added: 0.1.0
description:
  - Decides from the states of the keys of each domain whether it needs a new key, which key is in progress, and which
    keys must be retired.
options:
  _input:
    description: All keys, in the form that M(vise.platform.dkim_key) returns.
    type: list
    elements: dict
    required: true
  domains:
    description: The mail domains.
    type: list
    elements: str
    required: true
  lifetime:
    description: Days that a key signs.
    type: int
    default: 180
  overlap:
    description: Days that a key stays in the DNS after its last signature.
    type: int
    default: 7
  settle:
    description: Seconds between the publication of a key and its first signature.
    type: int
    default: 1800
  force:
    description: Whether each domain gets a new key before the end of the lifetime.
    type: bool
    default: false
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ dkim.dkim_keys | vise.platform.dkim_rotation(['example.org'], overlap=7) }}"
"""

RETURN = r"""
_value:
  description:
    - C(begin), C(published), C(switching) and C(active) are values of the option O(vise.platform.dkim_key#module:keys),
      in this order. C(sign) and C(back) are values of O(vise.platform.dkim_switch#module:keys), for the switch and for
      its rollback.
    - C(settle) is the number of seconds to wait before the switch; C(steps) is the plan and C(next) the time of the
      next step, in words.
  type: dict
"""

import datetime
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.dkim import rotation


def dkim_rotation(
    found: list[dict[str, t.Any]],
    domains: list[str],
    lifetime: int = 180,
    overlap: int = 7,
    settle: int = 1800,
    force: bool = False,
) -> dict[str, t.Any]:
    """Return the plan for the current time."""
    times = rotation.Times(int(lifetime), int(overlap), int(settle))
    if times.lifetime < 1 or times.overlap < 0 or times.settle < 0:
        raise AnsibleFilterError("dkim_rotation: lifetime must be at least 1, and no time can be negative")
    return rotation.plan_all(found, domains, datetime.datetime.now(datetime.UTC), times, bool(force))


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Any]:
        """Return it by its name."""
        return {"dkim_rotation": dkim_rotation}
