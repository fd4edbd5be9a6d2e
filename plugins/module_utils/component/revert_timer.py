# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timer by which a host reverts a change that no new login confirms, without a connection or a controller.

The timer is a unit file with a link in timers.target.wants, so that it also starts after a reboot. It runs a copy of
the code that made the change.
"""

from __future__ import annotations

import io
import os
import pkgutil
import typing as t
import zipfile

from ..host import files
from . import host, programs
from .model import ABSENT, Node
from .store import Store

UNITS = "/etc/systemd/system"
MODULE = "component.confirmation"  # the program that the timer runs
MAIN = """import sys
from {package}.{module} import main
sys.exit(main(sys.argv[1:]))
"""
SERVICE = """# Written by vise.platform: exists only while a change of {name} waits for a new login that confirms it.
[Unit]
Description=Revert the unconfirmed change of {name}
RequiresMountsFor={directory}
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {program} {name} {root}
Restart=on-failure
RestartSec=30
"""
TIMER = """# Written by vise.platform: exists only while a change of {name} waits for a new login that confirms it.
[Unit]
Description=Time in which a new login must confirm the change of {name}
StartLimitIntervalSec=0

[Timer]
OnActiveSec={seconds}
AccuracySec=1s
"""


def unit_name(name: str) -> str:
    """Return the name of a component's units, without their suffix."""
    return f"vise-revert-{name}"


def read_record(store: Store) -> dict[str, t.Any] | None:
    """Return what is known of the unconfirmed change of a component; None when there is none."""
    return t.cast("dict[str, t.Any] | None", files.read_json(_record_path(store)))


def arm(store: Store, record: t.Mapping[str, t.Any], seconds: int) -> None:
    """Record an unconfirmed change and start its timer; call this after the journal, before the first file changes."""
    os.makedirs(store.directory, mode=0o700, exist_ok=True)
    files.write_json(_record_path(store), record)
    files.replace_file(_program_path(store), build_program(), mode=0o600)
    for path, node in _nodes(store, seconds).items():
        host.write_node(path, node)
    # Units of an earlier change may be loaded.
    host.systemctl("daemon-reload")
    start(store)


def start(store: Store) -> None:
    """Start the time from the beginning: the change is live, and a new login can confirm it.

    The caller holds the component's lock, so that a revert that waits for it has changed nothing yet.
    """
    host.systemctl("stop", f"{unit_name(store.name)}.service")
    host.systemctl("restart", f"{unit_name(store.name)}.timer")


def disarm(store: Store) -> None:
    """Stop the timer and remove its files; call this after the journal was removed."""
    if read_record(store) is None:
        return
    host.run(["systemctl", "stop", f"{unit_name(store.name)}.timer"])
    for path in reversed(_nodes(store, 0)):
        host.write_node(path, ABSENT)
    files.remove_file(_program_path(store))
    files.remove_file(_record_path(store))


def build_program() -> bytes:
    """Return the program as a zip file that Python runs: the module and all files that it imports."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as handle:
        handle.writestr("__main__.py", MAIN.format(package=programs.PACKAGE, module=MODULE))
        sources = programs.find_sources(MODULE, _read_source)
        # Python finds packages in a zip file only by their __init__.py.
        packages = {os.path.dirname(path) for path in sources} | {""}
        inits = {os.path.join(package, "__init__.py"): "" for package in packages}
        for path, text in {**inits, **sources}.items():
            handle.writestr(f"{programs.PACKAGE}/{path}", text)
    return archive.getvalue()


def _read_source(path: str) -> str | None:
    # Of this process: Ansible runs a module from a zip file that contains everything that the module imports.
    package = (__package__ or "").rpartition(".")[0]
    try:
        data = pkgutil.get_data(package, path)
    except OSError:
        return None
    return None if data is None else data.decode()


def _nodes(store: Store, seconds: int) -> dict[str, Node]:
    values = {
        "name": store.name,
        "root": store.root,
        "directory": store.directory,
        "program": _program_path(store),
        "seconds": seconds,
    }
    unit = unit_name(store.name)
    return {
        f"{UNITS}/{unit}.service": Node("file", SERVICE.format(**values), "root", "root", "0644"),
        f"{UNITS}/{unit}.timer": Node("file", TIMER.format(**values), "root", "root", "0644"),
        f"{UNITS}/timers.target.wants/{unit}.timer": Node("link", f"{UNITS}/{unit}.timer"),
    }


def _record_path(store: Store) -> str:
    return os.path.join(store.directory, "unconfirmed.json")


def _program_path(store: Store) -> str:
    return os.path.join(store.directory, "revert.pyz")
