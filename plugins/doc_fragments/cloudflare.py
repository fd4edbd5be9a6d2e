# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all modules over Cloudflare's API have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options, and where they run."""

    DOCUMENTATION = r"""
options:
  token:
    description: A token of Cloudflare's API. It is never part of an output.
    type: str
    required: true
  endpoint:
    description: Address of the API.
    type: str
    default: https://api.cloudflare.com/client/v4
  ca_path:
    description: File with certificates in PEM that are trusted beside the system's.
    type: path
  timeout:
    description: Seconds for each answer.
    type: int
    default: 30
attributes:
  platform:
    description: Where it runs, which is best the controller.
    support: full
    platforms: posix
requirements:
  - cloudflare >= 5 (Python)
notes:
  - A call that is answered with 429 is made again when C(Retry-After) says so; one that fails or gets no answer, after
    a while. What was changed meanwhile is read first, so that nothing is done twice.
seealso:
  - name: Cloudflare's API
    description: All of its operations.
    link: https://developers.cloudflare.com/api/
"""
