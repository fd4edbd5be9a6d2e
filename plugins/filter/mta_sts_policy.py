# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the MTA-STS policy of a mail domain."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mta_sts_policy
short_description: Return the MTA-STS policy of a mail domain
version_added: 0.1.0
description:
  - The policy is served at C(https://mta-sts.DOMAIN/.well-known/mta-sts.txt). Its id in the DNS, a record of
    P(vise.platform.dns_records#filter), is derived from its text, so that both change together.
author:
  - vise.platform contributors (@vise-platform)
options:
  _input:
    description: The option O(vise.platform.dns_records#filter:mail).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the policy
  ansible.builtin.debug:
    msg: "{{ dns_mail | vise.platform.mta_sts_policy }}"
"""

RETURN = r"""
_value:
  description: The file's content.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import zone_records


def mta_sts_policy(mail: t.Mapping[str, t.Any]) -> str:
    """Return the policy."""
    try:
        return zone_records.policy(zone_records.Mail(**mail))
    except TypeError as error:
        raise AnsibleFilterError(f"mta_sts_policy: {error}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"mta_sts_policy": mta_sts_policy}
