# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an upgrade to another major version decides: values and pure functions."""

from __future__ import annotations

import dataclasses
import time
import typing as t

# How far an upgrade came. A run that was killed is put back up to `upgrading`, and finished from `switched` on.
PREPARED, UPGRADING, SWITCHED, SERVING, PROVEN = "prepared", "upgrading", "switched", "serving", "proven"
GOING_BACK, BACK = "going back", "back"
AHEAD = (SWITCHED, SERVING, PROVEN)

LAG_LIMIT = 16 * 1024**2  # one segment: what a standby is behind under load
QUEUE_LIMIT = 2  # the segment under way and the one before
SPARE = 512 * 1024**2

# A database's tables, sequences and large objects with what they hold.
Inventory = t.Mapping[str, t.Mapping[str, int]]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the old cluster and its host say before an upgrade."""

    data: str  # primary | standby | damaged
    checksums: bool
    running: bool
    installable: bool  # there is a package of the new version
    needed: int  # bytes that a second copy takes; nothing where files can share their blocks
    free: int
    prepared: int = 0  # transactions that are neither committed nor rolled back
    backups: int = 0  # base backups under way
    queue: int = 0  # segments that wait to be archived
    archiver_fails: bool = False
    lags: t.Mapping[str, int] = dataclasses.field(default_factory=dict)  # bytes, by the standby's name
    absent: tuple[str, ...] = ()  # slots that nobody uses
    collations: tuple[str, ...] = ()  # databases whose texts were sorted by another version of the library


def refusals(facts: Facts, old: str, new: str) -> list[str]:
    """Return every reason for which nothing may be begun."""
    if int(new) <= int(old):
        return [f"{new} is no newer than {old}, which this host has"]
    if facts.data != "primary":
        return [f"the cluster of {old} is {facts.data}: the primary is upgraded, and standbys are built anew from it"]
    if not facts.running:
        return [f"the cluster of {old} does not run: start it, it has to be well before it is upgraded"]
    found = [
        (not facts.installable, f"no package postgresql-{new} can be installed"),
        (not facts.checksums, "it has no data checksums: stop it and run pg_checksums --enable"),
        (
            facts.needed + SPARE > facts.free,
            f"its disk has {mebibytes(facts.free)} MiB left; the copy needs {mebibytes(facts.needed + SPARE)} MiB",
        ),
        (facts.prepared > 0, f"{facts.prepared} prepared transactions wait for COMMIT PREPARED or ROLLBACK PREPARED"),
        (facts.backups > 0, "a base backup is under way"),
        (
            facts.archiver_fails,
            "archiving fails: see pg_stat_archiver; what is not archived would be lost to the backups",
        ),
        (facts.queue > QUEUE_LIMIT, f"{facts.queue} segments of WAL wait to be archived"),
        *((lag > LAG_LIMIT, f"standby {name} is {mebibytes(lag)} MiB behind") for name, lag in facts.lags.items()),
        *((True, f"slot {name} is not in use: bring its standby back, or drop the slot") for name in facts.absent),
        *(
            (
                True,
                f"database {name} was sorted by another version of its collation: REINDEX DATABASE, then ALTER "
                "DATABASE ... REFRESH COLLATION VERSION",
            )
            for name in facts.collations
        ),
    ]
    return [why for holds, why in found if holds]


def mebibytes(number: int) -> int:
    """Return bytes as whole mebibytes, rounded up."""
    return -(-number // 1024**2)


def differences(before: Inventory, after: Inventory) -> list[str]:
    """Return what two inventories do not have in common, one line each."""
    lines = []
    for database in sorted({*before, *after}):
        old, new = before.get(database, {}), after.get(database, {})
        lines += [
            f"{database}: {name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    return lines


def rows(inventory: Inventory) -> int:
    """Return how many rows an inventory counts."""
    return sum(number for names in inventory.values() for name, number in names.items() if name.startswith("table "))


def transaction(facts: t.Mapping[str, str]) -> int:
    """Return the number of the next transaction, of what pg_controldata has printed of a stopped cluster."""
    epoch, number = facts["Latest checkpoint's NextXID"].split(":")
    return (int(epoch) << 32) + int(number)


def loss(transactions: int, rows: int | None, changed: t.Sequence[str], since: float, now: float) -> str:
    """Return what going back loses, in words; nothing when there was no transaction since the switch.

    Whatever writes is a transaction with a number, which no crash takes back. Rows are those that the statistics know,
    which a crash empties. Some transactions are the cluster's own upkeep.
    """
    when = f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(since))} UTC, {int(now - since)} s ago"
    if rows is None:
        return f"the new cluster does not answer, so whatever was written {when}, is lost and cannot be counted"
    if not transactions:
        return ""
    tables = f" ({'; '.join(changed[:10])}{' ...' if len(changed) > 10 else ''})" if changed else ""
    return (
        f"at least {rows} rows in up to {transactions} transactions, upkeep included, that were written {when}, are "
        f"not in the old cluster{tables}"
    )
