# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where DKIM keys lie on a mail host, and how far each is on its way from the DNS into signatures and out again.

C(<root>/<domain>/<selector>.pem) is a private key, C(<root>/<domain>/keys.json) says of each key its state, when it
came there, and its TXT value. It is replaced as a whole, so that no moment has two active keys or none. A key without
an entry (somebody put it there, or a run was killed before it wrote one) counts as made and nothing more.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import stat
import typing as t

from . import keys

ROOT = "/etc/vise/dkim"
INDEX = "keys.json"
# Behind the name of a file that is being written.
FRESH = ".new"

MADE, PUBLISHED, SWITCHING, ACTIVE, RETIRING, RETIRED = STATES = (
    "made",
    "published",
    "switching",
    "active",
    "retiring",
    "retired",
)
# What only makes sure that there is a key, and what leaves nothing of it.
PRESENT, ABSENT = "present", "absent"

# Of a domain's keys, by selector: type, size, txt, state, and since when it is in each state.
Index = dict[str, dict[str, t.Any]]


@contextlib.contextmanager
def locked(root: str) -> t.Iterator[None]:
    """Let one run at a time work; the kernel drops the lock of a killed one."""
    os.makedirs(root, mode=0o700, exist_ok=True)
    with open(os.open(os.path.join(root, ".lock"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write(path: str, text: str) -> None:
    """Replace a file in one step; nobody but its owner can ever read it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}{FRESH}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(fresh, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def tidy(root: str) -> None:
    """Remove what a killed run was writing: nobody else would, and it may be a private key."""
    for domain in domains(root):
        for file in os.listdir(os.path.join(root, domain)):
            if file.endswith(FRESH):
                os.unlink(os.path.join(root, domain, file))


def key_path(root: str, domain: str, selector: str) -> str:
    """Return where a private key lies."""
    return os.path.join(root, domain, f"{selector}.pem")


def read_key(root: str, domain: str, selector: str) -> str:
    """Return a private key; nothing when there is none."""
    try:
        with open(key_path(root, domain, selector), encoding="ascii", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def domains(root: str) -> list[str]:
    """Return the domains that have a folder."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and keys.DOMAIN.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def read_index(root: str, domain: str, at: str) -> Index:
    """Return what is known of a domain's keys, those that nobody has entered yet included."""
    path = os.path.join(root, domain, INDEX)
    try:
        with open(path, encoding="ascii") as handle:
            found: Index = json.load(handle)
    except FileNotFoundError:
        found = {}
    except ValueError:
        raise keys.DkimError(f"{path} is not JSON: put it back from a backup") from None
    for file in sorted(os.listdir(os.path.join(root, domain))) if os.path.isdir(os.path.join(root, domain)) else []:
        selector, ending = os.path.splitext(file)
        if ending == ".pem" and selector not in found and keys.SELECTOR.fullmatch(selector):
            found[selector] = entry(read_key(root, domain, selector), at)
    return found


def entry(pem: str, at: str) -> dict[str, t.Any]:
    """Return what the index says of a key that was just made."""
    known = keys.facts(pem)
    return {"type": known.type, "size": known.size, "txt": known.txt, "state": MADE, "since": {MADE: at}}


def moved(index: Index, selector: str, state: str, at: str) -> Index:
    """Return the index after a key came to a state; the key that was active begins to retire when another is."""
    after = copy.deepcopy(index)
    if state == ABSENT:
        after.pop(selector, None)
        return after
    if state == ACTIVE:
        for other, found in after.items():
            if other != selector and found["state"] in (ACTIVE, SWITCHING):
                # One on which signing never came to rest may have signed nevertheless.
                _enter(found, RETIRING, at)
    if after[selector]["state"] != state:
        _enter(after[selector], state, at)
    return after


def _enter(found: dict[str, t.Any], state: str, at: str) -> None:
    found["state"] = state
    found["since"][state] = at


def write_index(root: str, domain: str, index: Index) -> None:
    """Make an index the one that counts."""
    write(os.path.join(root, domain, INDEX), json.dumps(index, indent=2, sort_keys=True) + "\n")


def remove_key(root: str, domain: str, selector: str) -> None:
    """Remove a private key."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(key_path(root, domain, selector))


def paths(root: str) -> t.Iterator[tuple[str, int]]:
    """Return what is in the store, with the mode that it must have."""
    if os.path.isdir(root):
        yield root, 0o700
    for domain in domains(root):
        folder = os.path.join(root, domain)
        yield folder, 0o700
        yield from ((os.path.join(folder, file), 0o600) for file in sorted(os.listdir(folder)))


def unguarded(root: str) -> list[tuple[str, int]]:
    """Return what others than its owner could reach, or what is not ours."""
    found = []
    for path, mode in paths(root):
        status = os.lstat(path)
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (mode, os.geteuid(), os.getegid()):
            found.append((path, mode))
    return found


def guard(root: str) -> None:
    """Take away from others what they could reach."""
    for path, mode in unguarded(root):
        os.chmod(path, mode)
        os.lchown(path, os.geteuid(), os.getegid())


def listing(root: str, at: str) -> list[dict[str, t.Any]]:
    """Return all keys of all domains, without what must stay secret."""
    return [
        describe(domain, selector, found)
        for domain in domains(root)
        for selector, found in sorted(read_index(root, domain, at).items())
    ]


def describe(domain: str, selector: str, found: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return one key as the module gives it out."""
    return {"domain": domain, "selector": selector, "record": keys.record(domain, selector), **found}
