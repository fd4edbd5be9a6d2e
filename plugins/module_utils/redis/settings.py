# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role has written for the program, where Redis has its files, and the errors."""

from __future__ import annotations

import dataclasses

from ..host import files

PATH = "/etc/vise/redis.json"
UNIT = "redis-server.service"
PREPARATION = "vise-redis"  # the program that prepares a start
# Seconds for which Redis may load its data or write a snapshot.
LONGEST_LOAD = 3600


class RedisError(Exception):
    """Redis does not have the wanted state, or refuses a command; the message is for the operator."""


class UnreachableError(RedisError):
    """Redis does not answer, or does not know the administrator's password; it answers after a restart."""


class LoadingError(RedisError):
    """Redis refuses the command because it is loading its data."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The memory limit of the role, and the paths of Redis."""

    memory: str  # a size, or a percentage of the host's memory
    config: str = "/etc/redis/redis.conf"
    users: str = "/etc/redis/users.acl"
    run: str = "/run/vise-redis"  # what redis.conf includes; in memory
    data: str = "/var/lib/redis"
    socket: str = "/run/redis/redis.sock"
    account: str = "redis"  # user and group
    key_readers: str = "ssl-cert"  # the group that can read the key of the certificate

    @classmethod
    def load(cls, path: str = PATH) -> Settings:
        """Read the settings; raises RedisError when the role has not written them."""
        data = files.read_json(path)
        if data is None:
            raise RedisError(f"{path} does not exist: run the role redis on this host")
        return cls(str(data["memory"]))

    def read_config(self) -> str:
        """Return the configuration."""
        with open(self.config, encoding="utf-8") as handle:
            return handle.read()

    def read_users(self) -> list[str]:
        """Return the users of the applications, in the notation of Redis."""
        with open(self.users, encoding="utf-8") as handle:
            return [line for line in handle.read().splitlines() if line and not line.startswith("#")]
