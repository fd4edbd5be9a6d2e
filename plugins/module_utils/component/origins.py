# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find out who wrote a file: a package that shipped it unchanged, the collection, or somebody else. Read only."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ..host import files, programs

TIMEOUT = 20  # seconds
# The files of which a package's scripts keep the MD5 sum, such as /etc/chrony/chrony.conf: ucf(1) installs them.
UCF = "/var/lib/ucf/hashfile"
PACKAGES = "/var/lib/dpkg/info"
# In the head of each file that the collection renders; plugins/action/component.py has the whole sentence.
MANAGED = "Managed by Ansible: the next run overwrites manual changes"
HEAD = 5  # lines
Shipped = t.Mapping[str, str]


def is_foreign(path: str, root: str, shipped: Shipped) -> bool:
    """Return whether a person or another program has made or changed a file, or the target of a link.

    Args:
        path: the file.
        root: the directory that stands for `/`.
        shipped: MD5 sums of packages, as `read_shipped` returns them.
    """
    real = os.path.realpath(path)
    try:
        with open(real, "rb") as file:
            content = file.read()
    except OSError:
        return os.path.islink(path)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if shipped.get(f"/{os.path.relpath(real, os.path.realpath(root))}") == digest:
        return False
    return not any(MANAGED.encode() in line for line in content.split(b"\n", HEAD)[:HEAD])


def read_shipped(paths: t.Iterable[str]) -> dict[str, str]:
    """Return the MD5 sums of all configuration files of packages, and of those of `paths` that packages contain."""
    sums = parse_conffiles(run("dpkg-query", "--show", "--showformat=${Conffiles}\\n"))
    sums |= parse_sums(files.read_text(UCF))
    # Below /etc, the list of a package has no sums.
    others = sorted({real for path in paths if not (real := os.path.realpath(path)).startswith("/etc/")})
    owners = parse_owners(run("dpkg-query", "--search", *others)) if others else {}
    for name in set(owners.values()):
        known = parse_sums(files.read_text(f"{PACKAGES}/{name}.md5sums"))
        sums |= {path: known[path] for path, owner in owners.items() if owner == name and path in known}
    return sums


def parse_conffiles(text: str) -> dict[str, str]:
    """Return the pairs of path and MD5 sum in the output of dpkg-query."""
    return dict(re.findall(r"^ *(/\S+) ([0-9a-f]{32})", text, re.MULTILINE))


def parse_sums(text: str) -> dict[str, str]:
    """Return the pairs of path and MD5 sum in the format of md5sum(1); dpkg leaves out the first slash."""
    return {
        f"/{path.lstrip('/')}": digest for digest, path in re.findall(r"^([0-9a-f]{32})  (.+)$", text, re.MULTILINE)
    }


def parse_owners(text: str) -> dict[str, str]:
    """Return the package of each path, as dpkg names its list, from the output of `dpkg-query --search`."""
    found = re.findall(r"^([a-z0-9][a-z0-9+.:-]+): (/.+)$", text, re.MULTILINE)
    return {path: name for name, path in found}


def run(*argv: str) -> str:
    """Return the output of a program; empty if it fails without output or is not installed."""
    return programs.run(argv, timeout=TIMEOUT).out
