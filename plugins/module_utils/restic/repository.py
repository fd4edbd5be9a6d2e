# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restic repository; the backups and their proof use it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Repository:
    """A destination of backups with its credential."""

    name: str
    url: str
    password: str
    key: str
    key_secret: str
    region: str = ""

    def environment(self, ca_file: str) -> dict[str, str]:
        """Return restic's environment with the address and the credential; none of them is passed as an argument."""
        given = {
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_PASSWORD": self.password,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key_secret,
            "AWS_DEFAULT_REGION": self.region,
            "RESTIC_CACERT": ca_file,
        }
        return {key: value for key, value in given.items() if value}
