# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Order extensions by what they require, as their control files on the host state it. Pure."""

from __future__ import annotations

import typing as t

# Extension -> the extensions that it requires
Requirements = t.Mapping[str, frozenset[str]]


def order_extensions(wanted: t.Iterable[str], requirements: Requirements) -> list[str]:
    """Return the extensions so that each one follows what it requires; otherwise their order is kept."""
    remaining, ordered = list(dict.fromkeys(wanted)), list[str]()
    while remaining:
        waiting = set(remaining)
        ready = [name for name in remaining if not requirements.get(name, frozenset()) & (waiting - {name})]
        # PostgreSQL has no extensions that require each other; if a control file does, its error names them.
        ordered.append((ready or remaining)[0])
        remaining.remove(ordered[-1])
    return ordered


def find_problems(
    database: str, wanted: t.Collection[str], created: t.Collection[str], known: Requirements
) -> list[str]:
    """Return one message for each extension that the host does not have, or that lacks one that it requires."""
    problems = [
        f"{database}: extension {name} is not available on this host: install its package by postgresql_packages"
        for name in sorted(set(wanted) - set(known))
    ]
    for name in [name for name in dict.fromkeys(wanted) if name not in created]:
        for required in sorted(known.get(name, frozenset()) - {*wanted, *created}):
            problems.append(f"{database}: extension {name} requires {required}: add {required} to the extensions")
    return problems
