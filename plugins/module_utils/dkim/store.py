# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store of DKIM keys on a mail host, with the state of each key.

C(<root>/<domain>/<selector>.pem) is a private key. C(<root>/<domain>/keys.json) is the index: for each key its state,
the time of each state, and its TXT value. The index is replaced atomically, so there is exactly one active key at any
time of a switch. A key without an entry (copied manually, or created by an interrupted run) has the state made.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import stat
import typing as t

from ..host import files, locks
from . import keys

ROOT = "/etc/vise/dkim"
INDEX = "keys.json"

MADE, PUBLISHED, SWITCHING, ACTIVE, RETIRING, RETIRED = STATES = (
    "made",
    "published",
    "switching",
    "active",
    "retiring",
    "retired",
)
# For options: a key in any state, and a key that does not exist.
PRESENT, ABSENT = "present", "absent"

# The keys of a domain by selector: type, size, txt, state, and the time of each state.
Index = dict[str, dict[str, t.Any]]


def lock(root: str) -> contextlib.AbstractContextManager[None]:
    """Allow only one run at a time."""
    return locks.lock(os.path.join(root, ".lock"), directory_mode=0o700)


def write(path: str, text: str) -> None:
    """Replace a file, and create its directory; only their owner can read them."""
    files.make_directories(os.path.dirname(path), 0o700)
    files.replace_file(path, text)


def remove_temporary_files(root: str) -> None:
    """Remove unfinished files of an interrupted run, which may contain a private key."""
    for domain in domains(root):
        for file in os.listdir(os.path.join(root, domain)):
            if files.is_staged(file):
                os.unlink(os.path.join(root, domain, file))


def key_path(root: str, domain: str, selector: str) -> str:
    """Return the path of a private key."""
    return os.path.join(root, domain, f"{selector}.pem")


def read_key(root: str, domain: str, selector: str) -> str:
    """Return a private key; empty when it does not exist."""
    return files.read_text(key_path(root, domain, selector))


def domains(root: str) -> list[str]:
    """Return the domains that have a directory."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and keys.DOMAIN.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def read_index(root: str, domain: str, at: str) -> Index:
    """Return the index of a domain, with keys that have no entry yet."""
    path = os.path.join(root, domain, INDEX)
    try:
        found: Index = files.read_json(path, {})
    except ValueError:
        raise keys.DkimError(f"{path} is not JSON: restore it from a backup") from None
    for file in sorted(os.listdir(os.path.join(root, domain))) if os.path.isdir(os.path.join(root, domain)) else []:
        selector, ending = os.path.splitext(file)
        if ending == ".pem" and selector not in found and keys.SELECTOR.fullmatch(selector):
            found[selector] = entry(read_key(root, domain, selector), at)
    return found


def entry(pem: str, at: str) -> dict[str, t.Any]:
    """Return the index entry of a new key."""
    known = keys.facts(pem)
    return {"type": known.type, "size": known.size, "txt": known.txt, "state": MADE, "since": {MADE: at}}


def set_state(index: Index, selector: str, state: str, at: str) -> Index:
    """Return the index with the new state of a key; when it becomes active, the previous active key is retiring."""
    after = copy.deepcopy(index)
    if state == ABSENT:
        after.pop(selector, None)
        return after
    if state == ACTIVE:
        for other, found in after.items():
            if other != selector and found["state"] in (ACTIVE, SWITCHING):
                # A key whose switch was interrupted may have signed messages, so it is retired like an active key.
                _enter(found, RETIRING, at)
    if after[selector]["state"] != state:
        _enter(after[selector], state, at)
    return after


def _enter(found: dict[str, t.Any], state: str, at: str) -> None:
    found["state"] = state
    found["since"][state] = at


def write_index(root: str, domain: str, index: Index) -> None:
    """Replace the index of a domain."""
    write(os.path.join(root, domain, INDEX), json.dumps(index, indent=2, sort_keys=True) + "\n")


def remove_key(root: str, domain: str, selector: str) -> None:
    """Remove a private key."""
    files.remove_file(key_path(root, domain, selector))


def list_paths(root: str) -> t.Iterator[tuple[str, int]]:
    """Yield the paths of the store with their required mode."""
    if os.path.isdir(root):
        yield root, 0o700
    for domain in domains(root):
        folder = os.path.join(root, domain)
        yield folder, 0o700
        yield from ((os.path.join(folder, file), 0o600) for file in sorted(os.listdir(folder)))


def find_unprotected(root: str) -> list[tuple[str, int]]:
    """Return the paths with a wrong mode or owner."""
    found = []
    for path, mode in list_paths(root):
        status = os.lstat(path)
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (mode, os.geteuid(), os.getegid()):
            found.append((path, mode))
    return found


def protect(root: str) -> None:
    """Set the required mode and owner of all paths."""
    for path, mode in find_unprotected(root):
        os.chmod(path, mode)
        os.lchown(path, os.geteuid(), os.getegid())


def list_keys(root: str, at: str) -> list[dict[str, t.Any]]:
    """Return all keys of all domains, without private keys."""
    return [
        describe(domain, selector, found)
        for domain in domains(root)
        for selector, found in sorted(read_index(root, domain, at).items())
    ]


def describe(domain: str, selector: str, found: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return one key in the form of the module's result."""
    return {"domain": domain, "selector": selector, "record": keys.record(domain, selector), **found}
