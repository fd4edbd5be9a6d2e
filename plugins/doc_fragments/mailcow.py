# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all modules over mailcow's API have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options, and where they run."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of mailcow, as the host on which the module runs reaches it.
      - C(HTTP_REDIRECT) must be C(n) for plain HTTP.
    type: str
    default: http://127.0.0.1:8080
  api_key:
    description:
      - The key C(API_KEY) of C(mailcow.conf). The address that the call comes from must be in C(API_ALLOW_FROM).
    type: str
    required: true
  timeout:
    description: Seconds for each answer.
    type: int
    default: 30
attributes:
  check_mode:
    description: The plan is complete, and nothing is changed.
    support: full
  diff_mode:
    description: One diff an object; passwords and keys are never part of it.
    support: full
  platform:
    description: Where it runs; nothing but Python's standard library is needed.
    support: full
    platforms: posix
notes:
  - Everything that can be known beforehand is refused before anything changes. Calls that may be repeated are repeated
    while mailcow starts; a lost answer to an addition is not, and the next run sees what came of it.
author:
  - vise.platform contributors (@vise-platform)
"""
