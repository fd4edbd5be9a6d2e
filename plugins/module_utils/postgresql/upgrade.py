# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions of an upgrade to another major version: values and pure functions without I/O."""

from __future__ import annotations

import dataclasses
import time
import typing as t

# Stages of an upgrade. The next run rolls back a killed run up to `upgrading`, and completes it from `switched` on.
PREPARED, UPGRADING, SWITCHED, SERVING, PROVEN = "prepared", "upgrading", "switched", "serving", "proven"
ROLLING_BACK, ROLLED_BACK = "rolling_back", "rolled_back"
SWITCHED_STAGES = (SWITCHED, SERVING, PROVEN)

LAG_LIMIT = 16 * 1024**2  # bytes; one segment, which is a standby's normal lag under load
QUEUE_LIMIT = 2  # segments; the one that is archived now and the one before
SPARE = 512 * 1024**2  # bytes that must stay free

# Database: object (table, sequence, large objects, ...): its count of rows, value or number.
Inventory = t.Mapping[str, t.Mapping[str, int]]


@dataclasses.dataclass(frozen=True)
class Facts:
    """State of the old cluster and its host before an upgrade."""

    data: str  # primary | standby | damaged
    checksums: bool
    running: bool
    installable: bool  # apt has a package of the new version
    needed: int  # bytes of a second copy; 0 where the file system can share blocks
    free: int  # bytes
    prepared: int = 0  # prepared transactions, neither committed nor rolled back
    backups: int = 0  # base backups in progress
    queue: int = 0  # WAL segments that wait to be archived
    archiver_fails: bool = False
    lags: t.Mapping[str, int] = dataclasses.field(default_factory=dict)  # bytes, by the standby's name
    absent: tuple[str, ...] = ()  # replication slots that are not in use
    # Other file systems that have tablespaces: path, and needed and free bytes.
    elsewhere: t.Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    collations: tuple[str, ...] = ()  # databases whose collation version differs from the library's


def find_refusals(facts: Facts, old: str, new: str) -> list[str]:
    """Return every reason why the upgrade must not start."""
    if int(new) <= int(old):
        return [f"{new} is not newer than {old}, which this host has"]
    if facts.data != "primary":
        return [f"the cluster of {old} is a {facts.data}: upgrade the primary, then rebuild its standbys"]
    if not facts.running:
        return [f"the cluster of {old} does not run: start it; only a healthy cluster is upgraded"]
    reasons = [
        (not facts.installable, f"apt has no package postgresql-{new}"),
        (not facts.checksums, "it has no data checksums: stop it and run pg_checksums --enable"),
        (
            facts.needed + SPARE > facts.free,
            f"{to_mebibytes(facts.free)} MiB of disk are free, the copy needs {to_mebibytes(facts.needed + SPARE)} MiB",
        ),
        *(
            (
                needed + SPARE > free,
                f"{to_mebibytes(free)} MiB are free on the disk of {place}, the copy of its tablespaces needs "
                f"{to_mebibytes(needed + SPARE)} MiB",
            )
            for place, (needed, free) in facts.elsewhere.items()
        ),
        (facts.prepared > 0, f"{facts.prepared} prepared transactions wait for COMMIT PREPARED or ROLLBACK PREPARED"),
        (facts.backups > 0, "a base backup is running: wait until it has ended"),
        (
            facts.archiver_fails,
            "archiving fails: see pg_stat_archiver; WAL that is not archived would be missing from the backups",
        ),
        (facts.queue > QUEUE_LIMIT, f"{facts.queue} WAL segments wait to be archived"),
        *((lag > LAG_LIMIT, f"standby {name} is {to_mebibytes(lag)} MiB behind") for name, lag in facts.lags.items()),
        *((True, f"slot {name} is not in use: start its standby, or drop the slot") for name in facts.absent),
        *(
            (
                True,
                f"database {name} was sorted by another version of its collation: run REINDEX DATABASE, then ALTER "
                "DATABASE ... REFRESH COLLATION VERSION",
            )
            for name in facts.collations
        ),
    ]
    return [reason for applies, reason in reasons if applies]


def to_mebibytes(number: int) -> int:
    """Return bytes as whole mebibytes, rounded up."""
    return -(-number // 1024**2)


def find_differences(before: Inventory, after: Inventory) -> list[str]:
    """Return one line for each object that differs between two inventories."""
    lines = []
    for database in sorted({*before, *after}):
        old, new = before.get(database, {}), after.get(database, {})
        lines += [
            f"{database}: {name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    return lines


def count_rows(inventory: Inventory) -> int:
    """Return the number of rows in all tables of an inventory."""
    return sum(number for names in inventory.values() for name, number in names.items() if name.startswith("table "))


def parse_next_transaction(facts: t.Mapping[str, str]) -> int:
    """Return the 64-bit number of the next transaction, from pg_controldata's values of a stopped cluster."""
    epoch, number = facts["Latest checkpoint's NextXID"].split(":")
    return (int(epoch) << 32) + int(number)


def describe_loss(transactions: int, rows: int | None, changed: t.Sequence[str], since: float, now: float) -> str:
    """Describe what a rollback loses; empty when there was no transaction since the switch.

    `transactions` is reliable: each write takes a transaction number, also across a crash. `rows` comes from the
    statistics, which a crash resets; None means that the cluster does not answer. Some transactions are maintenance of
    the cluster itself. `since` and `now` are seconds since 1970.
    """
    when = f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(since))} UTC, {int(now - since)} s ago"
    if rows is None:
        return f"the new cluster does not answer: all writes {when}, are lost and cannot be counted"
    if not transactions:
        return ""
    tables = f" ({'; '.join(changed[:10])}{' ...' if len(changed) > 10 else ''})" if changed else ""
    return (
        f"at least {rows} rows in up to {transactions} transactions (maintenance included) that were written {when}, "
        f"are not in the old cluster{tables}"
    )
