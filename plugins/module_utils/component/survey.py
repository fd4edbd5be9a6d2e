# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Survey a host: compare it with the records of all its components at once, by the code that a component uses."""

from __future__ import annotations

import dataclasses
import os
import typing as t
from concurrent import futures

from ..host import locks, programs
from . import host, packages, transaction
from .model import Node, Probe, UnitState, Wanted
from .store import ROOT, Store

# Seconds; a component with a slower probe runs as without a survey.
LONGEST_PROBE = 15
# Most of a survey is waiting for the programs of probes.
THREADS = 8


def survey(code: str, root: str = ROOT) -> dict[str, dict[str, t.Any]]:
    """Return the generation and the differences of each component of the host; it changes nothing.

    Args:
        code: digest of the controller's code; what other code has recorded is not compared.
        root: directory of the components.
    """
    recorded = list(_read_records(code, root)) if code and os.path.isdir(root) else []
    if not recorded:
        return {}
    try:
        read = _read_once(recorded)
    except (OSError, ValueError, host.HostError, programs.ProgramError):
        # What cannot be read here, each component reads itself and reports the reason.
        return {}
    with futures.ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda one: _find_differences(one, Store(one.name, root), read), recorded)
        return {
            one.name: {"generation": one.generation, "differences": differences}
            for one, differences in zip(recorded, found, strict=True)
        }


def _read_records(code: str, root: str) -> t.Iterator[Wanted]:
    """Yield what the same code has recorded; other code may have compared other properties."""
    for name in sorted(os.listdir(root)):
        try:
            record = Store(name, root).read_record()
            if record.get("code") == code and record.get("name") == name:
                yield Wanted.from_record(record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Not a record: the component runs, and replaces it.
            continue


def _read_once(components: t.Sequence[Wanted]) -> transaction.Readers:
    """Read packages, accounts and units of all components; return readers that select from them."""
    names = dict.fromkeys(unit.name for one in components for unit in one.units)
    known = packages.read_packages()
    groups, users, units = host.read_groups(), host.read_users(), host.read_unit_states(list(names))

    def select_units(wanted: t.Sequence[str]) -> dict[str, UnitState]:
        return {name: units[name] for name in wanted}

    return transaction.Readers(_read_hashed, lambda: known, lambda: groups, lambda: users, select_units, _run_probe)


def _read_hashed(path: str) -> Node:
    return host.read_node(path).hashed()


def _run_probe(probe: Probe, generation: str) -> str:
    return host.run_probe(dataclasses.replace(probe, timeout=min(probe.timeout, LONGEST_PROBE)), generation)


def _find_differences(wanted: Wanted, store: Store, read: transaction.Readers) -> list[str]:
    try:
        with store.lock(wait=False):
            if store.read_manifest() != transaction.build_manifest(wanted):
                return ["the manifest has other paths, users or another generation"]
            steps = transaction.inspect(wanted, store, read)
    except (locks.LockedError, OSError, ValueError, host.HostError, programs.ProgramError) as error:
        return [str(error)]
    reasons = (["a killed run is unfinished"] if steps.unfinished else []) + [steps.probe_failure]
    # Files of others are reported in each run, by the component itself.
    return [*steps.actions(), *filter(None, reasons), *steps.reported]
