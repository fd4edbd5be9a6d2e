# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tablespaces outside of a data directory: where they are, and how they follow when the data directory is replaced.

A link in pg_tblspc leads to the location of a tablespace. PostgreSQL's files are located there in a directory of the
major version, such as PG_17_202406281. Two clusters of one version that use the same location would share it. Therefore
a copy is built in a directory inside of the location, which is on the same file system, and then exchanged by renames.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import typing as t

from ..host import files

CONTENT = re.compile(r"PG_(\d+)_\d+")


class TablespaceError(Exception):
    """A location cannot be used; the message is for the operator."""


def read_locations(data: str) -> dict[str, str]:
    """Return the location of each tablespace of a data directory, by its number (OID)."""
    place = os.path.join(data, "pg_tblspc")
    links = [name for name in sorted(_list(place)) if name.isdecimal() and os.path.islink(os.path.join(place, name))]
    return {name: os.readlink(os.path.join(place, name)) for name in links}


def list_content(location: str, version: str) -> list[str]:
    """Return the directories of a major version in a location."""
    found = ((CONTENT.fullmatch(name), name) for name in sorted(_list(location)))
    return [os.path.join(location, name) for match, name in found if match and match[1] == version]


def prepare(location: str, folder: str = "") -> str:
    """Create a location that is missing, and an empty folder in it; return the path. postgres owns what is created."""
    if os.path.lexists(location) and not os.path.isdir(location):
        raise TablespaceError(f"the location {location} of a tablespace is not a directory: remove it")
    if not os.path.isdir(location):
        files.make_directories(os.path.dirname(location))
        _create(location)
    if not folder:
        return location
    path = os.path.join(location, folder)
    remove(path)
    _create(path)
    return path


def set_aside(data: str, locations: t.Iterable[str], version: str, folder: str) -> list[str]:
    """Move the files of a version to a folder of each location; the links of the data directory follow.

    Files without a data directory, as after its loss, move too. Return the folders that have files now.
    """
    linked = read_locations(data)
    origins = sorted({*locations, *(_find_origin(place, folder) for place in linked.values())})
    for location in origins:
        target = os.path.join(location, folder)
        if list_content(target, version):
            # An interrupted run has done this.
            continue
        for path in list_content(location, version):
            if not os.path.isdir(target):
                _create(target)
            os.rename(path, os.path.join(target, os.path.basename(path)))
    found = [path for path in (os.path.join(location, folder) for location in origins) if os.path.isdir(path)]
    for number, place in linked.items():
        target = os.path.join(_find_origin(place, folder), folder)
        if target in found:
            _link(data, number, target)
    return found


def put_back(data: str, version: str, folder: str) -> None:
    """Move files from the folder of each location to the location itself; the links of the data directory follow.

    This can be interrupted and repeated. Files of another cluster in the location must have been moved away before.
    """
    if not folder:
        return
    for number, place in read_locations(data).items():
        location = _find_origin(place, folder)
        source = os.path.join(location, folder)
        for path in list_content(source, version):
            os.rename(path, os.path.join(location, os.path.basename(path)))
        _link(data, number, location)
        with contextlib.suppress(OSError):
            os.rmdir(source)


def _find_origin(place: str, folder: str) -> str:
    return os.path.dirname(place) if os.path.basename(place) == folder else place


def remove(path: str) -> None:
    """Remove a directory if it exists."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_content(data: str, version: str, locations: t.Iterable[str] = ()) -> None:
    """Remove the files of a cluster that are outside of its data directory: tablespaces, and WAL behind a link."""
    for location in {*read_locations(data).values(), *locations}:
        for path in list_content(location, version):
            remove(path)
    wal = os.path.join(data, "pg_wal")
    if os.path.islink(wal):
        target = os.path.realpath(wal)
        # It may be a mount point, which stays.
        for name in _list(target):
            path = os.path.join(target, name)
            remove(path) if os.path.isdir(path) and not os.path.islink(path) else files.remove_file(path)


def group_by_file_system(data: str, sizes: t.Mapping[str, int]) -> dict[str, int]:
    """Return the bytes per file system, by one of its paths: each location's size, without those next to the data."""
    here = _find_device(data)
    needed: dict[int, tuple[str, int]] = {}
    for location, size in sizes.items():
        device = _find_device(location)
        if device != here:
            place, before = needed.get(device, (_find_existing(location), 0))
            needed[device] = (place, before + size)
    return dict(needed.values())


def _find_existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _find_device(path: str) -> int:
    return os.stat(_find_existing(path)).st_dev


def _create(path: str) -> None:
    os.mkdir(path, 0o700)
    owner = os.stat(os.path.dirname(path))
    os.chown(path, owner.st_uid, owner.st_gid)


def _link(data: str, number: str, location: str) -> None:
    path = os.path.join(data, "pg_tblspc", number)
    fresh = f"{path}.vise-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    if os.readlink(path) == location:
        return
    os.symlink(location, fresh)
    # pgBackRest runs as the owner of the data, and sets the owner of links too.
    owner = os.stat(data)
    os.chown(fresh, owner.st_uid, owner.st_gid, follow_symlinks=False)
    os.rename(fresh, path)


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
