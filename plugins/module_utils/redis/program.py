# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Query and change the Redis of this host.

Redis itself interprets its files: an isolated instance without clients reads them, and its state is compared with the
state of the live instance. This requires root: the password of the user `admin` exists only in memory.
"""

from __future__ import annotations

import inspect
import sys
import typing as t

from ..host import leases, programs
from . import data, dumps, included, isolated, live, repairs
from .settings import RedisError, Settings

USAGE = """usage: vise-redis verify            check that the live state is the state in the files
       vise-redis apply             make the files live, with a restart only where Redis requires it
       vise-redis reload            the same, but never with a restart; also reload the certificate
       vise-redis check             check that Redis accepts the files
       vise-redis cli COMMAND...    run a command in Redis as its administrator
       vise-redis dump FILE         write the current data to a file
       vise-redis load FILE         load a dump into an isolated instance, and count its keys
       vise-redis restore FILE      replace the current data with a dump, and keep the previous data
       vise-redis repair            cut off the damaged end of the append-only file, and keep a copy of the data
       vise-redis prepare           create the files that Redis needs to start"""


def check(settings: Settings) -> None:
    """Raise when Redis rejects the files."""
    isolated.read_wanted_state(settings, certificate=True)


def verify(settings: Settings) -> None:
    """Print that the state in the files is live; raise when it is not."""
    live.verify(settings)
    print("live")


def apply(settings: Settings) -> None:
    """Make the files live."""
    live.apply(settings)


def reload(settings: Settings) -> None:
    """Make the files live without a restart."""
    live.apply(settings, restart=False)


def cli(settings: Settings, *words: str) -> None:
    """Replace this process with redis-cli."""
    argv = ["redis-cli", "-s", settings.socket, "--user", "admin", *words]
    programs.replace_process(argv, {"REDISCLI_AUTH": included.read_secret(settings)})


def load(settings: Settings, source: str) -> None:
    """Print the number of keys in a dump."""
    print(f"{dumps.count_keys(settings, source)} keys")


def restore(settings: Settings, source: str) -> None:
    """Replace the data with a dump; print where the previous data is."""
    leases.keep_alive()
    keys, aside = dumps.restore(settings, source)
    print(f"{keys} keys are live; the previous data is in {aside}")


def repair(settings: Settings) -> None:
    """Repair the data; print what was cut off, and where the copy is."""
    done = repairs.repair(settings)
    print(f"{done.cut} bytes were cut off, {done.content} of them not NUL; a copy of the data is in {done.copy}")


def prepare(settings: Settings) -> None:
    """Create the files for a start; print which dump was converted."""
    converted = data.prepare_start(settings)
    if converted:
        print(f"the append-only file was created from {converted}")


COMMANDS: dict[str, t.Callable[..., None]] = {
    "apply": apply,
    "check": check,
    "cli": cli,
    "dump": dumps.write,
    "load": load,
    "prepare": prepare,
    "reload": reload,
    "repair": repair,
    "restore": restore,
    "verify": verify,
}


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    name, operands = arguments[0] if arguments else "", arguments[1:]
    if not is_usage(name, operands):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        COMMANDS[name](Settings.load(), *operands)
    except RedisError as error:
        print(live.explain(error), file=sys.stderr)
        return 1
    except (OSError, ValueError, programs.ProgramError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def is_usage(name: str, operands: t.Sequence[str]) -> bool:
    """Return whether a command exists and takes these operands."""
    if name not in COMMANDS:
        return False
    try:
        inspect.signature(COMMANDS[name]).bind(None, *operands)
    except TypeError:
        return False
    return True
