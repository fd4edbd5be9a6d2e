# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find which changes of records depend on each other, so that the others can be published without them. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.record_plan import (
    Change,
    batches,
    conflicts_with,
    group_by_name,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import HOSTS, Record

# The position of a change in a list.
Position = int


class Relations(t.NamedTuple):
    """For each change: the changes of names to which its records point, those whose records point to its name, those of
    its name without which it is not possible, and all of its name.
    """

    targets: Sequence[set[Position]]
    sources: Sequence[set[Position]]
    needed: Sequence[set[Position]]
    same_name: Sequence[set[Position]]


def target_of(record: Record) -> str:
    """Return the name that a record points to; empty for a record without a target."""
    if record.type not in HOSTS:
        return ""
    # The target is the last field; only HTTPS has parameters after it.
    fields = record.content.split(" ")
    return fields[1] if record.type == "HTTPS" else fields[-1]


def names_of(target: str) -> list[str]:
    """Return the names of records that can answer for a target: the name itself, and wildcards above it."""
    labels = target.split(".")
    return [target, *(f"*.{'.'.join(labels[number:])}" for number in range(1, len(labels)))]


def records_of(change: Change) -> list[Record]:
    """Return the records before and after a change."""
    return [record for record in (change.before.record if change.before else None, change.after) if record]


def find_relations(changes: Sequence[Change]) -> Relations:
    """Return the relations of changes."""
    by_name: dict[str, set[Position]] = {}
    for position, change in enumerate(changes):
        by_name.setdefault(change.record.name, set()).add(position)
    targets = [find_targets(change, by_name) for change in changes]
    sources: list[set[Position]] = [set() for _change in changes]
    for position, found in enumerate(targets):
        for target in found:
            sources[target].add(position)
    needed = [
        {other for other in by_name[change.record.name] - {position} if need_each_other(change, changes[other])}
        for position, change in enumerate(changes)
    ]
    return Relations(targets, sources, needed, [by_name[change.record.name] for change in changes])


def find_targets(change: Change, by_name: Mapping[str, set[Position]]) -> set[Position]:
    """Return the changes of the names that the records of a change point to."""
    targets = {target_of(record) for record in records_of(change)} - {""}
    return {position for target in targets for name in names_of(target) for position in by_name.get(name, ())}


def need_each_other(one: Change, two: Change) -> bool:
    """Return whether the name cannot have what one change leaves and the other one adds."""
    pairs = ((one.before, two.after), (two.before, one.after))
    return any(before and after and conflicts_with(before.record, after) for before, after in pairs)


def depending_on(refused: Iterable[Position], relations: Relations) -> set[Position]:
    """Return the changes that must not be made without refused ones, and the refused ones.

    These are the records to which a refused one points, and all that point to any of these, directly or not.
    """
    held = set(refused)
    for position in set(held):
        held |= relations.targets[position]
    new = set(held)
    while new:
        new = {other for position in new for other in relations.sources[position] | relations.needed[position]} - held
        held |= new
    return held


def find_groups(positions: Iterable[Position], relations: Sequence[Sequence[set[Position]]]) -> list[list[Position]]:
    """Return changes in groups between which there is no relation."""
    left, found = set(positions), list[list[Position]]()
    while left:
        new = group = {min(left)}
        while new:
            new = {other for one in new for kind in relations for other in kind[one]} & left - group
            group = group | new
        left -= group
        found.append(sorted(group))
    return found


def make_batches(changes: Sequence[Change], limit: int) -> Iterator[list[Change]]:
    """Yield the changes of each call: those of one name in one, and those that depend on each other if possible."""
    relations = find_relations(changes)
    groups: list[list[Change]] = []
    for positions in find_groups(range(len(changes)), relations):
        group = [changes[position] for position in positions]
        groups += [group] if len(group) <= limit else group_by_name(group)
    yield from batches(groups, limit)
