# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live Redis: compare it with its files, change it, stop and start it."""

from __future__ import annotations

import typing as t

from ..host import certificates, programs, units
from . import included, isolated, state
from .client import Client
from .settings import PREPARATION, UNIT, LoadingError, RedisError, Settings, UnreachableError

TLS_FILES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")


def connect(settings: Settings) -> Client:
    """Return a connection to the live Redis."""
    return Client(settings.socket, included.read_secret(settings))


def explain(error: RedisError) -> str:
    """Return an error, with Redis' last words when it does not run although it should."""
    stopped = isinstance(error, (LoadingError, UnreachableError)) and is_failing()
    return f"{error}\n{read_reason()}".strip() if stopped else str(error)


def is_failing() -> bool:
    """Return whether Redis failed, or is started again after a failure."""
    restarts = programs.run(["systemctl", "show", "--property=NRestarts", "--value", UNIT]).out.strip()
    status = systemctl("is-active").out.strip()
    # Between two starts, systemd also reports that it deactivates the unit.
    return status == "failed" or (status in ("activating", "deactivating") and restarts not in ("", "0"))


def read_reason() -> str:
    """Return the errors that Redis logged at its last start, and what to do about them."""
    # Both: Redis, and the program that prepares its start.
    names = ["--identifier=redis-server", f"--identifier={PREPARATION}"]
    return state.explain_failure(units.read_journal("--boot", f"--unit={UNIT}", *names, "--lines=20"))


def verify(settings: Settings) -> None:
    """Raise RedisError when the live state differs from the state in the files."""
    wanted, live = isolated.read_wanted_state(settings), connect(settings).read_state()
    differences = sorted(state.find_differences(wanted.settings, live.settings))
    if differences:
        raise RedisError(f"the live settings differ from the file in {', '.join(differences)}")
    if wanted.users != live.users:
        raise RedisError("the live users differ from the users in the file")
    verify_certificate(live.settings)


def verify_certificate(live: t.Mapping[str, str]) -> None:
    """Raise RedisError when clients get another certificate than the one on disk."""
    address, certificate = live["bind"].split()[0].lstrip("-"), live["tls-cert-file"]
    # Redis may require a certificate of its clients; its own one is good for both sides.
    served = certificates.read_served(address, int(live["tls-port"]), client=(certificate, live["tls-key-file"]))
    if served != certificates.read_first(certificate):
        raise RedisError("the certificate that clients get is not the certificate on disk")


def apply(settings: Settings, restart: bool = True) -> None:
    """Make the files live: settings, users and certificate.

    Args:
        settings: where the files are.
        restart: whether Redis may be restarted, where it cannot change a setting or does not answer.
    """
    if systemctl("is-active").out.strip() == "inactive":
        return  # the next start reads the files
    included.write_run_directory(settings)
    try:
        change_state(settings, connect(settings))
    except RedisError as error:
        needed = isinstance(error, UnreachableError) or state.NEEDS_RESTART.search(str(error))
        if not (restart and needed):
            raise
        start(settings, "restart")


def change_state(settings: Settings, client: Client) -> None:
    """Change a running Redis to the state in the files."""
    wanted, live = isolated.read_wanted_state(settings), client.read_state()
    changes = state.find_differences(wanted.settings, live.settings)
    # Redis loads these files again when the settings are set again.
    client.change_settings({**changes, **{key: wanted.settings[key] for key in TLS_FILES}})
    if wanted.users != live.users:
        client.load_users()


def start(settings: Settings, verb: str = "start") -> Client:
    """Start or restart Redis, also after failed starts; return a connection to it."""
    systemctl("reset-failed")
    result = systemctl(verb)
    if result.failed:
        raise RedisError(
            f"Redis does not start: {result.err.strip()}; see journalctl -u {UNIT}\n{read_reason()}".strip()
        )
    return connect(settings)


def stop() -> None:
    """Stop Redis, which first writes all acknowledged data to disk."""
    result = systemctl("stop")
    if result.failed:
        raise RedisError(f"Redis does not stop: {result.err.strip()}")


def systemctl(verb: str) -> programs.Result:
    """Run a command of systemctl on the unit."""
    return programs.run(["systemctl", verb, UNIT])
