# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Where a module runs, and what check mode and diff mode do in a module that only reads."""

    # A module's own attributes win.
    DOCUMENTATION = r"""
options: {}
attributes:
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

    CONTROLLER = r"""
options: {}
attributes:
  platform:
    description: Systems on which it runs, usually the controller.
    support: full
    platforms: posix
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    description: It runs as usual, because it only reads.
    support: full
  diff_mode:
    description: It shows no difference, because it changes nothing.
    support: none
"""

    ACTIONS = r"""
options: {}
attributes:
  check_mode:
    description: It reports the planned actions and changes nothing.
    support: full
  diff_mode:
    description: It shows the actions, never a secret.
    support: full
"""
