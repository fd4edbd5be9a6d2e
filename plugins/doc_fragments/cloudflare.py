# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that all Cloudflare modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options and requirements."""

    DOCUMENTATION = r"""
options:
  token:
    description: Token for Cloudflare's API. It is never part of an output.
    type: str
    required: true
  endpoint:
    description: URL of the API.
    type: str
    default: https://api.cloudflare.com/client/v4
  ca_path:
    description: File with CA certificates in PEM that are trusted in addition to the system's.
    type: path
  proxy:
    description: URL of the proxy for the calls. Variables such as C(HTTPS_PROXY) are not read.
    type: str
  timeout:
    description: Timeout of each call in seconds.
    type: int
    default: 30
attributes:
  platform:
    description: Hosts on which the module runs; usually the controller.
    support: full
    platforms: posix
requirements:
  - cloudflare >= 5 (Python)
notes:
  - After status 429 the module waits for the time in C(Retry-After) and retries. After a server error or without an
    answer it retries with increasing delays. It reads the current records before it sends changes of records again, so
    that no change is made twice.
  - In a zone that was created less than 15 minutes ago, the module repeats calls that Cloudflare refuses with status
    403, for up to a minute in all, because not all of its servers know the zone.
  - If several zones have the name, the module uses the active one. If it cannot choose, it fails with a list of them.
seealso:
  - name: Cloudflare's API
    description: Reference of all operations.
    link: https://developers.cloudflare.com/api/
"""
