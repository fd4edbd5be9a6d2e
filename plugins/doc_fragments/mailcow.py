# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options and attributes of all modules that use mailcow's API."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of mailcow, from the host on which the module runs.
      - C(HTTP_REDIRECT) must be C(n) for plain HTTP.
    type: str
    default: http://127.0.0.1:8080
  api_key:
    description:
      - The key C(API_KEY) of C(mailcow.conf). C(API_ALLOW_FROM) must contain the address from which the call comes.
    type: str
    required: true
  timeout:
    description: Timeout in seconds of each call.
    type: int
    default: 30
attributes:
  check_mode:
    description: Returns the complete plan and changes nothing.
    support: full
  diff_mode:
    description: One diff per object; never contains passwords or keys.
    support: full
  platform:
    description: Hosts on which it runs; it needs only Python's standard library.
    support: full
    platforms: posix
notes:
  - The module refuses wrong input before it changes anything. It retries calls that are safe to repeat while mailcow
    starts. It does not retry an addition whose answer was lost; the next run reads the result.
  - "Give the key once per play: C(module_defaults: {group/vise.platform.mailcow: {api_key: ...}})."
author:
  - vise.platform contributors (@vise-platform)
"""
