# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove the components of a function that a host has left: stop them, keep their data, remove what they own.

Each step looks for what is left to do. So a run that was killed is completed by the next one.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import shutil
import stat
import typing as t

from ..host import files, programs
from . import host, packages, revert_timer
from .model import ABSENT
from .store import ROOT, Store

KEPT = "/var/lib/vise/retired"
MAILCOW = "/etc/vise/mailcow/settings.json"
UNIT = re.compile(r"/etc/systemd/system/([^/]+\.(?:service|socket|timer|path|target))")
PROGRAM = re.compile(r"/usr/local/lib/vise/[^/]+/")
# A component that exists once for each version of its program, as in postgresql-17
VERSION = re.compile(r"-\d+$")
REMOVED = re.compile(r"^Remv (\S+)", re.MULTILINE)
APT_TIMEOUT, STOP_TIMEOUT = 600, 900  # seconds


class Part(t.NamedTuple):
    """What belongs to a component besides its own files.

    Attributes:
        data: directories that are moved to KEPT, as they are.
        stays: data that stays where it is, for the operator.
    """

    data: tuple[str, ...] = ()
    stays: str = ""


PARTS = {
    "nginx": Part(),
    # Certificates, their keys, and the accounts at the ACME server
    "certificates": Part(data=("/etc/vise/tls", "/etc/vise/acme")),
    "redis": Part(data=("/var/lib/redis",)),
    "pgbouncer": Part(),
    "pgbackrest": Part(),
    "postgresql": Part(
        data=("/var/lib/postgresql", "/etc/postgresql"), stays="tablespaces outside of /var/lib/postgresql"
    ),
    "mailcow": Part(stays="the directory of mailcow, and its volumes in /var/lib/docker/volumes"),
    "docker": Part(stays="images, containers and volumes in /var/lib/docker"),
}
# Of a function, the component that uses another one comes first.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "edge": ("nginx", "certificates"),
    "cache": ("redis",),
    "database": ("pgbouncer", "pgbackrest", "postgresql"),
    "mail": ("mailcow", "docker"),
    "edu": ("docker",),
}


class Step(t.NamedTuple):
    """A step, as a text for the operator and as the function that does it."""

    text: str
    do: t.Callable[[], t.Any]


def base_name(component: str) -> str:
    """Return the name of a component without the version of its program."""
    return VERSION.sub("", component)


def list_components(root: str = ROOT) -> list[str]:
    """Return the components that this host has."""
    return sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{root}/*/manifest.json"))


def find_left(wanted: t.Container[str], root: str = ROOT) -> dict[str, list[str]]:
    """Return the components of this host that none of its functions needs, by the function that they belonged to.

    Args:
        wanted: the components, without versions, that the functions of the host need.
        root: directory of the components.
    """
    present, found = list_components(root), {}
    for function, parts in FUNCTIONS.items():
        left = [one for part in parts if part not in wanted for one in present if base_name(one) == part]
        # The engine of containers alone is what remains of an application.
        if left and (left != ["docker"] or parts == ("docker",)):
            found[function] = left
            present = [one for one in present if one not in left]
    return found


def plan(components: t.Sequence[str], place: str, root: str = ROOT) -> list[Step]:
    """Return the steps that remove components of this host.

    Args:
        components: the names of the components, each one after those that use it.
        place: directory for the data.
        root: directory of the components.
    """
    stores = [Store(name, root) for name in components]
    return [
        *(step for store in stores for step in _plan_stop(store)),
        *(step for store in stores for step in _plan_data(store, place)),
        *(_plan_packages(stores) if stores else ()),
        *(step for store in stores for step in _plan_files(store)),
    ]


def list_units(store: Store) -> list[str]:
    """Return the units of a component, timers first: those that it starts, and those whose files it owns."""
    recorded = [unit["name"] for unit in store.read_record().get("units", ())]
    owned = [found[1] for path in store.read_manifest().paths if (found := UNIT.fullmatch(path))]
    return sorted({*recorded, *owned}, key=lambda name: (not name.endswith(".timer"), name))


def find_running(units: t.Sequence[str]) -> list[str]:
    """Return which of the units run."""
    states = host.read_unit_states(units)
    return [name for name, state in states.items() if state.active not in ("inactive", "failed")]


def list_kept(components: t.Iterable[str], function: str) -> list[str]:
    """Return where the data of a function is, and which data stays in its place."""
    stay = [PARTS[base_name(name)].stays for name in components]
    moved = [path for name in components for path in PARTS[base_name(name)].data if _has_entries(path)]
    return [*sorted(glob.glob(f"{KEPT}/{function}-*")), *moved, *filter(None, stay)]


def _plan_stop(store: Store) -> t.Iterator[Step]:
    units = [name for name in list_units(store) if "@." not in name]
    for name, state in host.read_unit_states(units).items():
        if state.active not in ("inactive", "failed") or state.file_state == "enabled":
            yield Step(f"stop and disable {name}", functools.partial(_stop, name))
    if revert_timer.read_record(store):
        yield Step(f"end the unconfirmed change of {store.name}", functools.partial(revert_timer.disarm, store))
    directory = (files.read_json(MAILCOW) or {}).get("directory", "") if store.name == "mailcow" else ""
    if directory and os.path.exists(f"{directory}/docker-compose.yml"):
        yield Step("stop and remove the containers of mailcow", functools.partial(_stop_mailcow, directory))


def _stop(name: str) -> None:
    programs.call(["systemctl", "stop", name], timeout=STOP_TIMEOUT)
    # What systemd generates, such as postgresql@17-main.service, cannot be disabled.
    programs.run(["systemctl", "disable", "--quiet", name])
    programs.run(["systemctl", "reset-failed", name])


def _stop_mailcow(directory: str) -> None:
    programs.call(["docker", "compose", "down"], directory=directory, timeout=STOP_TIMEOUT)


def _plan_data(store: Store, place: str) -> t.Iterator[Step]:
    for path in PARTS[base_name(store.name)].data:
        if _has_entries(path) and os.stat(path).st_dev == os.stat(os.path.dirname(ROOT)).st_dev:
            kept = os.path.join(place, path.lstrip("/"))
            yield Step(f"move {path} to {kept}", functools.partial(_move, path, kept))


def _has_entries(path: str) -> bool:
    return os.path.isdir(path) and bool(os.listdir(path))


def _move(path: str, kept: str) -> None:
    files.make_directories(KEPT, 0o700)
    files.make_directories(os.path.dirname(kept), 0o700)
    found = os.stat(path)
    os.rename(path, kept)
    # The package does not create its directory when it is installed once more.
    os.mkdir(path, 0o700)
    os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))


def _plan_packages(stores: t.Sequence[Store]) -> t.Iterator[Step]:
    """Yield the step that removes the packages of the units, except those that others need."""
    names = [unit["name"] for store in stores for unit in store.read_record().get("units", ())]
    root, own_names = stores[0].root, {store.name for store in stores}
    others = [Store(name, root) for name in list_components(root) if name not in own_names]
    needed = {spec for one in others for spec in _read_packages(one)}
    found = [name for name in sorted(_find_packages(names)) if name not in needed]
    if not found:
        return
    own = {*found, *(spec for store in stores for spec in _read_packages(store))}
    removed = REMOVED.findall(_remove_packages(found, "--simulate"))
    manual = set(programs.call(["apt-mark", "showmanual"], timeout=60).split())
    # An administrator has installed something that depends on them.
    if not (set(removed) & manual) - own:
        yield Step(
            f"remove the packages {' '.join(sorted(removed))}", functools.partial(_remove_packages, found, "--yes")
        )


def _read_packages(store: Store) -> list[str]:
    return [spec.partition("=")[0] for spec in store.read_record().get("packages", ())]


def _remove_packages(names: t.Sequence[str], option: str) -> str:
    argv = ["apt-get", "remove", option, "--option=DPkg::Lock::Timeout=300", *names]
    return programs.call(argv, environment={"DEBIAN_FRONTEND": "noninteractive"}, timeout=APT_TIMEOUT)


def _find_packages(units: t.Iterable[str]) -> set[str]:
    """Return the installed packages that ship the files of units."""
    patterns = [f"*/systemd/system/{re.sub(r'@.*(?=[.])', '@', unit)}" for unit in units]
    lines = programs.run(["dpkg-query", "--search", *patterns]).out.splitlines() if patterns else []
    names = {name.strip() for line in lines if ": " in line for name in line.partition(": ")[0].split(",")}
    return set(packages.find_installed(names, packages.read_packages()))


def _plan_files(store: Store) -> t.Iterator[Step]:
    present = [path for path in store.read_manifest().paths if os.path.lexists(path)]
    if present:
        yield Step(f"remove {len(present)} files of {store.name}", functools.partial(_remove_files, store, present))
    yield Step(f"end the component {store.name}", functools.partial(shutil.rmtree, store.directory))


def _remove_files(store: Store, paths: t.Sequence[str]) -> None:
    for path in paths:
        host.write_node(path, ABSENT)
    # Python has written bytecode next to the files of programs.
    for path in {found[0] for path in paths if (found := PROGRAM.match(path))}:
        shutil.rmtree(path)
    nodes = store.read_record().get("nodes", {})
    folders = {path for path, node in nodes.items() if node["kind"] == "directory"} | set(map(os.path.dirname, paths))
    for path in sorted(folders, key=len, reverse=True):
        # Others may have files in it.
        with contextlib.suppress(OSError):
            os.rmdir(path)
    programs.call(["systemctl", "daemon-reload"])
