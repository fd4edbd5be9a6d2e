# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role has written for the program, and what its other files share."""

from __future__ import annotations

import dataclasses

from ..host import files

PATH = "/etc/vise/pgbouncer.json"


class PgbouncerError(Exception):
    """PgBouncer does not have the wanted state; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where PgBouncer and PostgreSQL answer."""

    port: int
    auth_user: str  # PostgreSQL's user that queries the verifiers
    server_host: str
    server_port: int
    open_files: int
    config: str = "/etc/pgbouncer/pgbouncer.ini"
    socket_directory: str = "/run/pgbouncer"

    @classmethod
    def load(cls, path: str = PATH) -> Settings:
        """Read the settings; raises PgbouncerError when the role has not written them."""
        data = files.read_json(path)
        if data is None:
            raise PgbouncerError(f"{path} does not exist: run the role pgbouncer on this host")
        server = data["server_host"], int(data["server_port"])
        return cls(int(data["port"]), data["auth_user"], *server, int(data["open_files"]))

    def read_config(self) -> str:
        """Return the configuration."""
        with open(self.config, encoding="utf-8") as handle:
            return handle.read()

    @property
    def server_is_local(self) -> bool:
        """Whether PostgreSQL is on this host; the role of another host is responsible for a server there."""
        return self.server_host.startswith("/")
