# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The component's options, used by both the action plugin and the module."""

from __future__ import annotations

import typing as t


def _list_of(**options: t.Any) -> dict[str, t.Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


def _strings(default: list[str] | None = None) -> dict[str, t.Any]:
    return {"type": "list", "elements": "str", "default": default or []}


REQUIRED = {"type": "str", "required": True}
TEXT = {"type": "str"}
OFF = {"type": "bool", "default": False}
OWNERSHIP = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
ARGV = {"type": "list", "elements": "str", "required": True}
WATCH = _strings(["*"])

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": REQUIRED,
    "packages": _strings(),
    "absent_packages": _strings(),
    "groups": _list_of(name=REQUIRED, gid={"type": "int"}, system=OFF),
    "users": _list_of(
        name=REQUIRED,
        uid={"type": "int"},
        group=TEXT,
        groups=_strings(),
        comment=TEXT,
        home=TEXT,
        shell=TEXT,
        system=OFF,
    ),
    "directories": _list_of(path=REQUIRED, mode={"type": "str", "default": "0755"}, **OWNERSHIP),
    "files": _list_of(
        dest=REQUIRED,
        src=TEXT,
        content=TEXT,
        each={"type": "list", "elements": "dict"},
        vars={"type": "dict", "default": {}},
        mode=TEXT,
        secret={"type": "bool", "default": False, "no_log": False},
        **OWNERSHIP,
    ),
    "programs": _list_of(name=REQUIRED, module=REQUIRED),
    "links": _list_of(path=REQUIRED, target=REQUIRED),
    "absent": _strings(),
    "purge": _strings(),
    "foreign": _list_of(paths={**ARGV}, effect=REQUIRED),
    "check": {"type": "list", "elements": "raw", "default": []},
    "commands": _list_of(argv=ARGV, watch=WATCH),
    "units": _list_of(
        name=REQUIRED,
        state={"type": "str", "choices": ["started", "stopped", "any"], "default": "started"},
        enabled={"type": "bool", "default": True},
        activation={"type": "str", "choices": ["restart", "reload", "none"], "default": "restart"},
        watch=WATCH,
        restart_on=_strings(),
    ),
    "probe": _list_of(argv=ARGV, expect=TEXT, timeout={"type": "int", "default": 10}),
    "confirm": {
        "type": "dict",
        "options": {
            "timeout": {"type": "int", "default": 60},
            "ports": {"type": "list", "elements": "int", "default": []},
            "login": {"type": "bool", "default": True},
            "open_ports": {"type": "list", "elements": "int", "default": []},
            "sites": _list_of(domain=REQUIRED, port={"type": "int", "required": True}, locked=OFF),
            "advice": {"type": "str", "default": ""},
            "answers": {"type": "list", "elements": "list"},
        },
    },
    "generation": {"type": "str", "default": ""},
    "code": {"type": "str", "default": ""},
    "take_over": _strings(),
    "prepared": OFF,
    "lease": {"type": "dict", "default": {}},
}
