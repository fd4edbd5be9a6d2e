# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of a component: plain values that the planner compares and the host layer reads and writes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t


@dataclasses.dataclass(frozen=True)
class Node:
    """The current or wanted state of a path: absent, a file, a symbolic link or a directory."""

    kind: str = "absent"  # absent | file | link | directory | other (a socket, a device: current state only)
    content: str = ""  # the text of a file (undecodable bytes as surrogates), the target of a link
    owner: str = ""
    group: str = ""
    mode: str = ""  # four octal digits; links have none
    secret: bool = dataclasses.field(default=False, compare=False)

    def hashed(self) -> Node:
        """Return the node with the SHA-256 of a file instead of its text."""
        if self.kind != "file":
            return self
        digest = hashlib.sha256(self.content.encode("utf-8", "surrogateescape")).hexdigest()
        return dataclasses.replace(self, content=digest)

    def to_json(self) -> dict[str, t.Any]:
        """Return the mapping that ``from_json`` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, t.Any]) -> Node:
        """Build a node from the mapping that ``to_json`` wrote."""
        return cls(**data)


ABSENT = Node()
# Every component may have files below these directories. All users can enter them and the directories in them, unless a
# component gives one of its own another mode.
SHARED = ("/etc/vise/", "/usr/local/lib/vise/", "/var/lib/vise/", "/var/lib/prometheus/")


@dataclasses.dataclass(frozen=True)
class Change:
    """A path whose current state differs from the wanted state."""

    path: str
    before: Node
    after: Node


@dataclasses.dataclass(frozen=True)
class Unit:
    """The wanted state of a systemd unit, and how it activates a change of the component's files."""

    name: str
    state: str | None = "started"  # started | stopped | None: either is right
    enabled: bool | None = True  # None: do not change
    activation: str = "restart"  # restart | reload | none
    watch: tuple[str, ...] = ("*",)
    restart_on: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class UnitState:
    """The state of a unit as `systemctl show` reports it."""

    load: str = "not-found"
    active: str = "inactive"
    file_state: str = ""
    needs_reload: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that activates changed files."""

    argv: tuple[str, ...]
    watch: tuple[str, ...] = ("*",)


@dataclasses.dataclass(frozen=True)
class Probe:
    """A command that proves that the wanted configuration is live."""

    argv: tuple[str, ...]
    expect: str = ""  # text in the output; {generation} is replaced by the generation that should be live
    timeout: int = 10  # seconds


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The complete wanted state of a component, with rendered file contents."""

    name: str
    generation: str
    packages: tuple[str, ...] = ()
    absent_packages: tuple[str, ...] = ()
    groups: tuple[dict[str, t.Any], ...] = ()
    users: tuple[dict[str, t.Any], ...] = ()
    nodes: t.Mapping[str, Node] = dataclasses.field(default_factory=dict)
    purge: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()  # globs of files of others, and what such a file means
    checks: tuple[tuple[str, ...], ...] = ()
    commands: tuple[Command, ...] = ()
    units: tuple[Unit, ...] = ()
    probes: tuple[Probe, ...] = ()
    confirm_within: int = 0  # seconds in which the controller must confirm a change; 0: none is needed
    # What the controller got from the host before the change; None: it has not probed, and must before a change.
    answers: t.Sequence[t.Any] | None = ()
    code: str = ""  # digest of the collection's code that compares and applies it

    @classmethod
    def from_params(cls, params: dict[str, t.Any]) -> Wanted:
        """Build the wanted state from the module's validated parameters."""
        return cls(
            name=params["name"],
            generation=params["generation"],
            packages=tuple(params["packages"]),
            absent_packages=tuple(params["absent_packages"]),
            groups=tuple(params["groups"]),
            users=tuple(params["users"]),
            nodes=_nodes(params),
            purge=tuple(params["purge"]),
            foreign=tuple((glob, entry["effect"]) for entry in params["foreign"] for glob in entry["paths"]),
            checks=normalize_argvs(params["check"]),
            commands=tuple(Command(tuple(c["argv"]), tuple(c["watch"])) for c in params["commands"]),
            units=tuple(_unit(u) for u in params["units"]),
            probes=tuple(Probe(tuple(p["argv"]), p["expect"] or "", p["timeout"]) for p in params["probe"]),
            confirm_within=params["confirm"]["timeout"] if params["confirm"] else 0,
            answers=_read_answers(params["confirm"] or {}),
            code=params["code"],
        )

    def to_record(self) -> dict[str, t.Any]:
        """Return what ``from_record`` reads: everything that an inspection needs, without the content of a file."""
        nodes = {path: node.hashed().to_json() for path, node in self.nodes.items()}
        kept = dataclasses.replace(self, nodes={}, checks=(), commands=(), answers=())
        return {**dataclasses.asdict(kept), "nodes": nodes}

    @classmethod
    def from_record(cls, data: dict[str, t.Any]) -> Wanted:
        """Build the wanted state from a record; its files have the SHA-256 of their content."""
        return cls(
            name=data["name"],
            generation=data["generation"],
            code=data["code"],
            packages=tuple(data["packages"]),
            absent_packages=tuple(data["absent_packages"]),
            groups=tuple(data["groups"]),
            users=tuple(data["users"]),
            purge=tuple(data["purge"]),
            foreign=tuple((glob, effect) for glob, effect in data["foreign"]),
            nodes={path: Node.from_json(node) for path, node in data["nodes"].items()},
            units=tuple(
                Unit(**{**unit, "watch": tuple(unit["watch"]), "restart_on": tuple(unit["restart_on"])})
                for unit in data["units"]
            ),
            probes=tuple(Probe(**{**probe, "argv": tuple(probe["argv"])}) for probe in data["probes"]),
            confirm_within=data["confirm_within"],
        )


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The paths and users that a component owns on a host, so that it can remove those that it no longer wants."""

    generation: str = ""
    paths: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def merge(self, other: Manifest) -> Manifest:
        """Return a manifest with the paths and users of both; the generation is that of this manifest."""
        return Manifest(
            self.generation,
            tuple(sorted({*self.paths, *other.paths})),
            tuple(sorted({*self.users, *other.users})),
        )


def normalize_argvs(check: list[t.Any]) -> tuple[tuple[str, ...], ...]:
    """Return argument vectors; the input is one argument vector or a list of them."""
    if not check:
        return ()
    if all(isinstance(part, str) for part in check):
        return (tuple(check),)
    return tuple(tuple(str(part) for part in argv) for argv in check)


def _nodes(params: dict[str, t.Any]) -> dict[str, Node]:
    nodes = {
        d["path"]: Node("directory", owner=d["owner"], group=d["group"], mode=d["mode"]) for d in params["directories"]
    }
    for file in params["files"]:
        mode = file["mode"] or ("0600" if file["secret"] else "0644")
        nodes[file["dest"]] = Node("file", file["content"], file["owner"], file["group"], mode, file["secret"])
    for link in params["links"]:
        nodes[link["path"]] = Node("link", link["target"])
    for path in params["absent"]:
        nodes[path] = ABSENT
    return {**_shared_directories(nodes), **nodes}


def _shared_directories(nodes: t.Mapping[str, Node]) -> dict[str, Node]:
    """Return the directories that several components use, as far as these nodes are below them."""
    found = {}
    for path in (path for path, node in nodes.items() if node.kind != "absent"):
        while f"{(path := os.path.dirname(path))}/".startswith(SHARED):
            found[path] = Node("directory", owner="root", group="root", mode="0755")
    return found


def _read_answers(confirm: t.Mapping[str, t.Any]) -> t.Sequence[t.Any] | None:
    probes = confirm.get("open_ports") or confirm.get("sites")
    return confirm.get("answers") if probes else ()


def _unit(data: dict[str, t.Any]) -> Unit:
    return Unit(
        name=data["name"] if "." in data["name"] else data["name"] + ".service",
        state=None if data["state"] == "any" else data["state"],
        enabled=data["enabled"],
        activation=data["activation"],
        watch=tuple(data["watch"]),
        restart_on=tuple(data["restart_on"]),
    )
