# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a certificate that certbot keeps, its lineage: find damage and repair it.

certbot ignores a lineage that it cannot read: it issues another one, `<name>-0001`, in each run and reports success.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from ..host import files
from . import x509

CHAIN, KEY = "fullchain.pem", "privkey.pem"
KINDS = ("cert", "privkey", "chain", "fullchain")
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def list_lineages(root: str) -> list[str]:
    """Return the names of all lineages below certbot's directory."""
    try:
        names = os.listdir(os.path.join(root, "renewal"))
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(".conf") for name in names if name.endswith(".conf"))


class Lineage:
    """The files of one name below certbot's directory."""

    def __init__(self, root: str, name: str) -> None:
        self.root, self.name = root, name
        self.renewal = os.path.join(root, "renewal", f"{name}.conf")
        self.live = os.path.join(root, "live", name)
        self.archive = os.path.join(root, "archive", name)

    def exists(self) -> bool:
        """Return whether any of the files exists."""
        return any(os.path.lexists(path) for path in (self.renewal, self.live, self.archive))

    def read_pair(self) -> dict[str, str]:
        """Return chain and key; an empty mapping when the key does not match the chain."""
        try:
            pair = {file: files.read_text(os.path.join(self.live, file)) for file in (CHAIN, KEY)}
        except OSError:
            return {}  # for example a link to itself
        return pair if x509.key_matches(*pair.values()) else {}

    def read_directory(self) -> str:
        """Return the URL of the ACME directory that issued the certificate."""
        match = re.search(r"^server\s*=\s*(\S+)", files.read_text(self.renewal), re.MULTILINE)
        return match.group(1) if match else ""

    def find_problem(self) -> str:
        """Return why certbot cannot renew the lineage, with the damaged file; empty when it can or has none."""
        if not self.exists():
            return ""
        if not os.path.isfile(self.renewal):
            return f"{self.renewal} does not exist, but other files of {self.name} do"
        text = files.read_text(self.renewal)
        if not text.strip():
            return f"{self.renewal} is empty"
        known = dict(re.findall(r"^(\w+)\s*=\s*(\S.*?)\s*$", text, re.MULTILINE))
        missing = [kind for kind in KINDS if kind not in known]
        if missing or "[renewalparams]" not in text:
            return f"{self.renewal} is incomplete: it has no {(missing or ['[renewalparams]'])[0]}"
        for path in (known[kind] for kind in KINDS):
            if not os.path.islink(path):
                return f"{path} is not a link" if os.path.lexists(path) else f"{path} does not exist"
            if not os.path.isfile(path):
                return f"{path} is a link to {os.readlink(path)}, which does not exist"
        return "" if self.read_pair() else f"{self.live}/{KEY} does not match {self.live}/{CHAIN}, or one is damaged"

    def siblings(self) -> list[str]:
        """Return the lineages that certbot created because it could not read this one."""
        return [name for name in list_lineages(self.root) if re.fullmatch(rf"{re.escape(self.name)}-[0-9]{{4}}", name)]

    def move_away(self) -> str:
        """Move all files to another directory, and return it."""
        target = os.path.join(self.root, "damaged", f"{self.name}-{time.time_ns()}")
        os.makedirs(target, mode=0o700)
        for path, name in ((self.renewal, "renewal.conf"), (self.live, "live"), (self.archive, "archive")):
            if os.path.lexists(path):
                os.rename(path, os.path.join(target, name))
        return target

    def create(self, pair: t.Mapping[str, str]) -> None:
        """Write a lineage with a chain and its key, so that certbot renews it with the same key."""
        certificate, *others = BLOCK.findall(pair[CHAIN])
        texts = {"cert": certificate, "chain": "".join(others) or certificate, "fullchain": pair[CHAIN]}
        texts["privkey"] = pair[KEY]
        for folder in (self.archive, self.live):
            os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
            os.mkdir(folder, mode=0o700)
        for kind, text in texts.items():
            mode = 0o600 if kind == "privkey" else 0o644
            files.create_file(os.path.join(self.archive, f"{kind}1.pem"), text, mode=mode)
            target = os.path.join("..", "..", "archive", self.name, f"{kind}1.pem")
            os.symlink(target, os.path.join(self.live, f"{kind}.pem"))
        # The name last: certbot reads the lineage only when this file exists.
        files.make_directories(os.path.dirname(self.renewal))
        lines = [f"archive_dir = {self.archive}", *(f"{kind} = {self.live}/{kind}.pem" for kind in KINDS)]
        files.create_file(self.renewal, "\n".join([*lines, "[renewalparams]", "reuse_key = True"]) + "\n", mode=0o644)
