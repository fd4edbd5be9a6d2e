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
      - URL of mailcow, as seen from the host on which the module runs.
      - Plain HTTP requires C(HTTP_REDIRECT=n) in C(mailcow.conf).
    type: str
    default: http://127.0.0.1:8080
  api_key:
    description:
      - The value of C(API_KEY) in C(mailcow.conf). C(API_ALLOW_FROM) must contain the address of the caller.
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
    description: Hosts on which the module runs; it needs only Python's standard library.
    support: full
    platforms: posix
notes:
  - The module refuses invalid input before it changes anything. While mailcow starts, it retries calls that can be
    repeated. If the answer to an addition is lost, it does not retry; the next run reads the result.
  - "Give the key once per play: C(module_defaults: {group/vise.platform.mailcow: {api_key: ...}})."
author:
  - vise.platform contributors (@vise-platform)
"""
