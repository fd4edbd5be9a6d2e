# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what a component would take over from others, whether preflight ran or not; refuse it without permission.

A file that the component has never written, and that its package did not ship like this, is copied before it is
replaced or removed. The state of a service that was in use (foreign_state) also needs the explicit word.
"""

from __future__ import annotations

import json
import os
import typing as t

from . import foreign_state, host, origins, plan
from .model import Change, Manifest, Wanted
from .store import Store
from .transaction import Plan

SSH_SETTINGS = "/etc/vise/ssh.json"
SSH_KEYS = "/etc/ssh/authorized_keys.d"


def find(wanted: Wanted, steps: Plan, store: Store, permitted: t.Container[str]) -> list[str]:
    """Return the files of others that the component would replace or remove; reads nothing if there is no step.

    Raises:
        HostError: a service was in use before the first run of the component, and is not in `permitted`.
    """
    if not steps.actions():
        return []
    service = find_service(wanted.name)
    found = _find_service_state(service, wanted, store)
    if found.lines and service not in permitted:
        raise host.HostError(f"{wanted.name}: refused, nothing was changed: {foreign_state.describe(service, found)}")
    replaced = find_replaced(steps.changes, store.read_manifest(), ignored=_generated_paths(service))
    shipped = origins.read_shipped(replaced) if replaced else {}
    return sorted({*found.paths, *(path for path in replaced if origins.is_foreign(path, "/", shipped))})


def find_service(component: str) -> str:
    """Return the service of a component; one component for each version has the version in its name."""
    name = component.partition("-")[0]
    return name if name in foreign_state.SERVICES else component


def find_replaced(changes: t.Iterable[Change], owned: Manifest, ignored: t.Sequence[str] = ()) -> list[str]:
    """Return the files and links with other content that the component did not write. Pure."""
    return [
        change.path
        for change in changes
        if change.before.kind in ("file", "link")
        and change.path not in owned.paths
        and (change.before.kind, change.before.content) != (change.after.kind, change.after.content)
        and not plan.matches(change.path, ignored)
    ]


def _find_service_state(service: str, wanted: Wanted, store: Store) -> foreign_state.Found:
    known = foreign_state.SERVICES.get(service)
    if known is None or known.other_guard or store.exists():
        return foreign_state.Found([], [])
    found = foreign_state.find_foreign_state([service], read_home_accounts(wanted), users=wanted.users)
    return found.get(service, foreign_state.Found([], []))


def _generated_paths(service: str) -> list[str]:
    """Return the files that programs of a package have generated for a service without data of users."""
    known = foreign_state.SERVICES.get(service)
    if known is None or not known.only_with_data or foreign_state.find_data("/", known.data):
        return []
    return [f"/{pattern}" for pattern in known.paths]


def read_home_accounts(wanted: Wanted) -> list[str]:
    """Return the accounts that can still log in after the component: with keys at home or in the platform's files."""
    node = wanted.nodes.get(SSH_SETTINGS)
    if node is None:
        return []
    names = json.loads(node.content)["home_keys_for"]
    return [*names, *(os.listdir(SSH_KEYS) if os.path.isdir(SSH_KEYS) else [])]
