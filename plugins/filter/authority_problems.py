# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: why a stage of the replacement of the authority must not begin, or has not had its effect."""

from __future__ import annotations

DOCUMENTATION = r"""
name: authority_problems
short_description: Compare what hosts trust and present with what a stage needs
version_added: 0.1.0
description:
  - Joins the results of M(vise.platform.internal_trust) of all hosts.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts, result, authorities
options:
  _input:
    description: The inventory's C(hostvars).
    type: dict
    required: true
  hosts:
    description: The hosts of the run.
    type: list
    elements: str
    required: true
  result:
    description: The variable in which the result of M(vise.platform.internal_trust) is registered.
    type: str
    required: true
  authorities:
    description: Certificates by C(current), C(next) and C(previous).
    type: dict
    required: true
  stage:
    description: The stage that is to begin. Without it, what holds after a stage.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Require that all hosts trust both authorities
  ansible.builtin.assert:
    that: hostvars | vise.platform.authority_problems(ansible_play_hosts, 'trust', authorities, 'issue') | length == 0
"""

RETURN = r"""
_value:
  description: The problems.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.tls import authority, internal


def authority_problems(
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    hosts: t.Sequence[str],
    result: str,
    authorities: t.Mapping[str, str],
    stage: str = "",
) -> list[str]:
    """Return the problems before or after a stage."""
    found = {
        host: authority.Host(*(hostvars[host][result][key] for key in ("trusts", "leaf", "is_live", "services")))
        for host in hosts
    }
    prints = {kind: internal.fingerprint(pem) for kind, pem in authorities.items()}
    if stage:
        return authority.find_problems(stage, found, prints)
    return authority.find_strangers(found, {prints["current"]}) + authority.find_untrusting(found)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"authority_problems": authority_problems}
