# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the filters that derive one host's duties have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Whose duties, and in which inventory."""

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
