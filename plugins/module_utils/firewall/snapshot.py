# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the rules that were live before a change, and make them live again when it is rolled back and ufw was disabled.

While ufw is enabled, its previous files are enough for a rollback.
"""

from __future__ import annotations

import os
import shlex
import typing as t

from ..host import files, programs

PATH = "/var/lib/vise/firewall/before.json"
COMMANDS = ("iptables", "ip6tables")
# With a command for each backend, in addition: only one of them is `iptables`.
BACKENDS = ("iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft")
EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
DELETION = ["nft", "delete", "table"]


def save(removals: t.Sequence[str], units: t.Sequence[str]) -> None:
    """Keep the live rules, the tables of nft that are about to be removed, and the units that are about to end.

    Those of a killed run stay: its change is still unfinished.
    """
    if os.path.exists(PATH):
        return
    tables = [shlex.split(command)[len(DELETION) :] for command in removals if shlex.split(command)[:3] == DELETION]
    data = {
        **{command: programs.call([f"{command}-save"]) for command in COMMANDS},
        "backends": {name: programs.call([f"{name}-save"]) for name in BACKENDS if _is_changed(name, removals)},
        "nft": "".join(programs.call(["nft", "list", "table", *table]) for table in tables),
        "units": list(units),
    }
    files.make_directories(os.path.dirname(PATH))
    files.write_json(PATH, data)


def _is_changed(command: str, removals: t.Sequence[str]) -> bool:
    return any(removal.startswith(f"{command} ") for removal in removals)


def restore() -> bool:
    """Make the kept rules live again; return whether there were any."""
    data = files.read_json(PATH)
    if data is None:
        return False
    for command in COMMANDS:
        # A table that is not in the text had no rules: it is flushed, because this program has filled it.
        text = data[command] if "*filter" in data[command] else f"{data[command]}{EMPTY}"
        programs.call([f"{command}-restore"], stdin=text)
    for command, text in data["backends"].items():
        programs.call([f"{command}-restore"], stdin=text)
    if data["nft"]:
        programs.call(["nft", "-f", "-"], stdin=data["nft"])
    for unit in data["units"]:
        programs.call(["systemctl", "start", unit])
    files.remove_file(PATH)
    return True


def forget() -> None:
    """Remove the kept rules of a change that is complete."""
    files.remove_file(PATH)
