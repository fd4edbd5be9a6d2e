# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what the DKIM keys of domains ask for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dkim_rotation
short_description: Say what the DKIM keys of domains ask for
version_added: 0.1.0
description:
  - Decides from the states of keys whether each domain needs a new one, which one is on its way, and which has had its
    time.
options:
  _input:
    description: All keys, as M(vise.platform.dkim_key) returns them.
    type: list
    elements: dict
    required: true
  domains:
    description: The domains.
    type: list
    elements: str
    required: true
  lifetime:
    description: Days that a key signs.
    type: int
    default: 180
  overlap:
    description: Days that a key stays in the DNS after it has signed for the last time.
    type: int
    default: 7
  settle:
    description: Seconds between a key's being in the DNS and its first signature.
    type: int
    default: 1800
  force:
    description: Whether a new key is due in any case.
    type: bool
    default: false
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show what is due
  ansible.builtin.debug:
    msg: "{{ dkim.dkim_keys | vise.platform.dkim_rotation(['example.org'], overlap=7) }}"
"""

RETURN = r"""
_value:
  description:
    - C(begin), C(published), C(switching) and C(active) are what M(vise.platform.dkim_key) is to be told one after the
      other, C(sign) and C(back) what M(vise.platform.dkim_switch) is, forward and when no message could be verified.
    - C(settle) is how many seconds to wait before the switch; C(steps) the plan and C(next) what comes after it, in
      words.
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
    """Return what is due now."""
    times = rotation.Times(int(lifetime), int(overlap), int(settle))
    if times.lifetime < 1 or times.overlap < 0 or times.settle < 0:
        raise AnsibleFilterError("dkim_rotation: a key signs for a day or more, and no time is negative")
    return rotation.run(found, domains, datetime.datetime.now(datetime.UTC), times, bool(force))


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Any]:
        """Return it by its name."""
        return {"dkim_rotation": dkim_rotation}
