# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection to a Redis: Debian's python3-redis, with types and with errors for the operator."""

from __future__ import annotations

import contextlib
import typing as t

from .settings import LoadingError, RedisError, UnreachableError
from .state import State

TIMEOUT = 60  # seconds


class Client:
    """A connection to a Redis over its Unix socket, as its administrator.

    Each method raises UnreachableError when Redis does not answer, and RedisError when it refuses the command.
    """

    def __init__(self, path: str, secret: str) -> None:
        with translate_errors():
            # Here, because Redis must also start on a host that does not have the library.
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            self._redis: t.Any = redis.Redis(
                unix_socket_path=path,
                username="admin",
                password=secret,
                socket_timeout=TIMEOUT,
                decode_responses=True,
                encoding_errors="surrogateescape",
                # The callers know when it makes sense to try again.
                retry=Retry(NoBackoff(), 0),
                # Connects now.
                single_connection_client=True,
            )

    def read_state(self) -> State:
        """Return all settings and users."""
        with translate_errors():
            return State(self._redis.config_get("*"), sorted(self._redis.acl_list()))

    def read_info(self) -> dict[str, t.Any]:
        """Return the status information, with numbers where Redis reports numbers."""
        with translate_errors():
            return dict(self._redis.info())

    def change_settings(self, changes: t.Mapping[str, str]) -> None:
        """Change settings, either all or none; files of TLS are loaded again even when their names do not change."""
        with translate_errors():
            self._redis.config_set(*(word for pair in changes.items() for word in pair))

    def load_users(self) -> None:
        """Replace the users by those in the file."""
        with translate_errors():
            self._redis.acl_load()

    def begin_snapshot(self) -> bool:
        """Begin a snapshot, after a rewrite of the append-only file that is running.

        Returns:
            False when another snapshot is running: it may not contain the newest data.
        """
        try:
            with translate_errors():
                self._redis.bgsave(schedule=True)
        except RedisError as error:
            if "in progress" not in str(error):
                raise
            return False
        return True


@contextlib.contextmanager
def translate_errors() -> t.Iterator[None]:
    """Raise the library's errors as those of this program."""
    try:
        from redis import exceptions as library
    except ImportError as error:
        raise RedisError(f"install the package python3-redis: {error}") from error
    try:
        yield
    except library.BusyLoadingError as error:
        # It answers, although the library counts this as a failed connection.
        raise LoadingError(str(error)) from error
    except (library.ConnectionError, library.TimeoutError) as error:
        if "max number of clients" in str(error):
            # It answers; a restart would end the connections of all applications.
            raise RedisError(str(error)) from error
        raise UnreachableError(str(error)) from error
    except library.RedisError as error:
        raise RedisError(str(error)) from error
