# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the filters that derive the services of one host."""

from __future__ import annotations


class ModuleDocFragment:
    """The host and its inventory."""

    DOCUMENTATION = r"""
options:
  host:
    description: The host, C(inventory_hostname).
    type: str
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
author:
  - vise.platform contributors (@vise-platform)
"""
