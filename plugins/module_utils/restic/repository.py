# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restic repository; a link makes it part of restore_proof too, since each role brings a package that is whole."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Repository:
    """A destination and the credential for it."""

    name: str
    url: str
    password: str
    key: str
    key_secret: str
    region: str = ""

    def environment(self, ca_file: str) -> dict[str, str]:
        """Return what tells restic where and with which credential; nothing of it ever stands in an argument."""
        given = {
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_PASSWORD": self.password,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key_secret,
            "AWS_DEFAULT_REGION": self.region,
            "RESTIC_CACERT": ca_file,
        }
        return {key: value for key, value in given.items() if value}
