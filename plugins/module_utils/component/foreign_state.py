# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what was on a host before the platform, and what a first run would overwrite, remove or disable. Read only.

A component that has a manifest was applied before: what it finds is its own.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import typing as t

from ..host import files, programs
from . import copies, host, origins

MANIFEST = "var/lib/vise/components/{name}*/manifest.json"
# PostgreSQL's numbers of a user's databases begin here.
FIRST_OWN_DATABASE = 16384
# What an account can lose besides groups.
PROPERTIES = ("uid", "group", "home", "shell")
TIMEOUT = 20  # seconds


class Service(t.NamedTuple):
    """What a component takes over, as paths without the first slash.

    Attributes:
        paths: files that it overwrites or removes; unmodified files of a package are none of an administrator.
        data: data that it would use or replace.
        ports: ports that it needs.
        own: programs of the component that may use these ports.
        adopt: how to keep the data.
        only_with_data: whether the paths of a service without data are those of its package.
        other_guard: whether a module that runs before the component refuses to take over what was there.
    """

    paths: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    own: tuple[str, ...] = ()
    adopt: str = ""
    only_with_data: bool = False
    other_guard: bool = False


SERVICES = {
    "nginx": Service(
        paths=("etc/nginx/nginx.conf", "etc/nginx/sites-enabled/*", "etc/nginx/conf.d/*.conf"),
        ports=(80, 443),
        own=("nginx",),
    ),
    "redis": Service(
        paths=("etc/redis/redis.conf", "etc/redis/*.acl"),
        data=("var/lib/redis/dump.rdb", "var/lib/redis/appendonlydir"),
        ports=(6379,),
        own=("redis-server",),
        adopt="save it with `redis-cli --rdb FILE`, and load it after the run with the runbook restore_redis",
    ),
    "postgresql": Service(
        paths=("etc/postgresql/*/*/pg_hba.conf", "etc/postgresql/*/*/conf.d/*.conf"),
        data=("var/lib/postgresql/*/*/PG_VERSION",),
        ports=(5432,),
        own=("postgres",),
        adopt="save it with `pg_dumpall`, remove the cluster with `pg_dropcluster --stop`, load the dump after the run",
        only_with_data=True,
        other_guard=True,
    ),
    "pgbouncer": Service(paths=("etc/pgbouncer/*",), ports=(6432,), own=("pgbouncer",)),
    "pgbackrest": Service(paths=("etc/pgbackrest.conf", "etc/pgbackrest/*")),
    "docker": Service(paths=("etc/docker/daemon.json",)),
    "mailcow": Service(
        paths=("opt/mailcow-dockerized/mailcow.conf",),
        ports=(25, 465, 587, 993),
        own=("docker-proxy",),
        other_guard=True,
    ),
    "admin_users": Service(paths=("etc/ssh/authorized_keys.d/*", "etc/sudoers.d/10-vise-admin-users")),
    "ssh": Service(),
}


class Found(t.NamedTuple):
    """What one component would take over: the lines of the report, and the files that are copied before."""

    lines: list[str]
    paths: list[str]


def find_foreign_state(
    components: t.Iterable[str],
    home_accounts: t.Sequence[str],
    root: str = "/",
    users: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> dict[str, Found]:
    """Return, by component, what it would take over on its first run; nothing for one that was applied before.

    Args:
        components: names of components; others than SERVICES are skipped.
        home_accounts: accounts whose keys in their home directory stay valid.
        root: the directory that stands for `/`.
        users: accounts as the component admin_users wants them.
    """
    new = [
        name
        for name in components
        if name in SERVICES and not glob.glob(os.path.join(root, MANIFEST.format(name=name)))
    ]
    shipped = origins.read_shipped(()) if any(find_paths(root, SERVICES[name].paths) for name in new) else {}
    listeners = parse_listeners(run("ss", "-Hltnp")) if any(SERVICES[name].ports for name in new) else {}
    found, owned = {}, read_owned_paths(root) if new else set()
    for name in new:
        service = SERVICES[name]
        data = find_data(root, service.data)
        paths = [path for path in find_paths(root, service.paths) if f"/{os.path.relpath(path, root)}" not in owned]
        paths = [path for path in paths if origins.is_foreign(path, root, shipped)]
        paths = paths if data or not service.only_with_data else []
        lines = [f"/{os.path.relpath(path, root)} would be replaced or removed" for path in paths]
        lines += [f"{line} has data ({service.adopt})" for line in data]
        lines += [
            f"port {port} is used by {listeners[port]}"
            for port in service.ports
            if port in listeners and listeners[port] not in service.own
        ]
        lines += find_containers() if name == "docker" else []
        lines += find_unread_keys(root, home_accounts) if name == "ssh" else []
        lines += find_account_losses(users, host.read_users()) if name == "admin_users" and users else []
        if lines:
            found[name] = Found(lines, paths)
    return found


def read_owned_paths(root: str) -> set[str]:
    """Return the paths of all components that were applied before."""
    manifests = [files.read_json(path, {}) for path in glob.glob(os.path.join(root, MANIFEST.format(name="")))]
    return {path for manifest in manifests for path in manifest.get("paths", ())}


def describe_foreign_state(found: t.Mapping[str, Found]) -> list[str]:
    """Return one problem for each component, with the explicit word that permits it."""
    return [f"{name}: {describe(name, one)}" for name, one in found.items()]


def describe(name: str, found: Found) -> str:
    """Return what a component would take over, and what to do."""
    return (
        f"this host was in use before, and the run would change it: {', '.join(found.lines)}; move it, or write "
        f"`preflight_take_over: [{name}]`"
        + (f"; then the run first copies the files to {copies.ROOT}/{name}" if found.paths else "")
    )


def find_paths(root: str, patterns: t.Iterable[str]) -> list[str]:
    """Return the files that match patterns below a directory."""
    return sorted(
        {path for pattern in patterns for path in glob.glob(os.path.join(root, pattern)) if not os.path.isdir(path)}
    )


def parse_listeners(text: str) -> dict[int, str]:
    """Return the program at each TCP port, from the output of `ss -Hltnp`."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        name = re.search(r'users:\(\("([^"]+)"', line)
        if len(words) > 3 and words[3].rpartition(":")[2].isdigit():
            found[int(words[3].rpartition(":")[2])] = name[1] if name else "another program"
    return found


def find_data(root: str, patterns: t.Iterable[str]) -> list[str]:
    """Return the places with data of users; a new cluster of PostgreSQL has none."""
    lines = []
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(root, pattern))):
            place = os.path.dirname(path) if path.endswith("PG_VERSION") else path
            if not path.endswith("PG_VERSION") or has_databases(place):
                lines.append(f"/{os.path.relpath(place, root)}")
    return lines


def has_databases(cluster: str) -> bool:
    """Return whether a cluster of PostgreSQL has a database that its creation did not make; a standby has copies."""
    if os.path.exists(os.path.join(cluster, "standby.signal")):
        return False
    with contextlib.suppress(OSError):
        return any(
            name.isdigit() and int(name) >= FIRST_OWN_DATABASE for name in os.listdir(os.path.join(cluster, "base"))
        )
    return False


def find_containers() -> list[str]:
    """Return the containers of Docker: a new daemon.json restarts it."""
    names = run("docker", "ps", "--all", "--format", "{{.Names}}").split()
    return [f"container {name} would be restarted with the new daemon.json" for name in names]


def find_unread_keys(root: str, home_accounts: t.Sequence[str]) -> list[str]:
    """Return the accounts whose keys sshd would no longer read."""
    lines = []
    for line in files.read_text(os.path.join(root, "etc/passwd")).splitlines():
        name, *fields = line.split(":")
        keys = os.path.join(root, fields[4].lstrip("/"), ".ssh/authorized_keys") if len(fields) == 6 else ""
        if name not in home_accounts and keys and os.path.isfile(keys) and os.path.getsize(keys):
            lines.append(f"account {name} could not log in: sshd would not read its ~/.ssh/authorized_keys")
    return lines


def find_account_losses(
    users: t.Iterable[t.Mapping[str, t.Any]], present: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[str]:
    """Return the accounts that exist and would lose groups or get other properties."""
    lines = []
    for user in users:
        before = present.get(user["name"])
        if before is None:
            continue
        lost = sorted(set(before["groups"]) - set(user.get("groups") or ()))
        losses = [f"groups {', '.join(lost)}"] if lost else []
        losses += [
            f"{key} {before[key]}"
            for key in PROPERTIES
            # A new account has /bin/sh unless another shell was chosen.
            if user.get(key) is not None and str(before[key]) not in (str(user[key]), "/bin/sh")
        ]
        if losses:
            lines.append(f"account {user['name']} exists and would lose {' and '.join(losses)}")
    return lines


def run(*argv: str) -> str:
    """Return the output of a program; empty if it fails or is not installed."""
    result = programs.run(argv, timeout=TIMEOUT)
    return "" if result.failed else result.out
