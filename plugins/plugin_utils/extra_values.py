# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what `-e NAME=VALUE` has lost: Ansible ends a value at the first space, and drops or misreads the rest."""

from __future__ import annotations

import typing as t

# What has no name is in this variable.
REST = "_raw_params"


def find_separated(extra: t.Mapping[str, t.Any], prefixes: t.Iterable[str]) -> list[str]:
    """Return the problems of words that a space has separated from the value before them.

    Args:
        extra: the variables that were given by `-e`.
        prefixes: the prefixes of the options, of which one is the example.
    """
    rest = str(extra.get(REST) or "").split()
    # A word with an equals sign becomes a variable of its own, whose name Ansible could never read.
    rest += [f"{name}={value}" for name, value in extra.items() if not name.isidentifier()]
    if not rest:
        return []
    prefix = next(iter(prefixes), "option_")
    return [
        f"{' '.join(rest)}: this is separated from its value by a space, and would have no effect; write the value in "
        f"""further quotes: -e '{prefix}...="FIRST SECOND"'"""
    ]
