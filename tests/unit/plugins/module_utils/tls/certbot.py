"""A fake of certbot and systemctl."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.tls import lineage, x509


class Server:
    """A fake of certbot and systemctl: fails on request, and writes lineages as certbot does."""

    def __init__(self, root: Path) -> None:
        self.root, self.down, self.reload, self.calls = root, False, 0, list[str]()
        self.futile = self.loses_keys = False
        self.rehearsals = list[str]()
        self.ca = x509.make_ca("issuer")

    def __call__(self, argv: list[str]) -> tuple[int, str]:
        """Run a command."""
        self.calls.append("certbot" if "certbot" in argv else " ".join(argv))
        if argv[0] == "systemctl":
            return self.reload, "Job failed" if self.reload else ""
        if self.down:
            return 1, "connection refused"
        if "delete" in argv:
            self.remove(argv[-1])
            return 0, ""
        if self.futile:
            return 0, "Successfully received certificate."
        options = dict(itertools.pairwise(argv))
        if "--dry-run" in argv:
            self.rehearsals.append(options["--cert-name"])
            return 0, "The dry run was successful."
        reuses = "--reuse-key" in argv and "--new-key" not in argv and not self.loses_keys
        self.issue(options["--cert-name"], options["--domains"].split(","), options["--server"], 90, reuses=reuses)
        return 0, ""

    def issue(self, name: str, names: list[str], server: str, days: int, *, reuses: bool = False) -> None:
        """Issue a certificate."""
        held = lineage.Lineage(str(self.root), name).read_pair() if reuses else {}
        key = held.get("privkey.pem") or x509.make_key()
        self.remove(name)
        chain = x509.sign(x509.make_request(key, names), *self.ca, names, days) + self.ca[0]
        lineage.Lineage(str(self.root), name).create({"fullchain.pem": chain, "privkey.pem": key})
        with (self.root / "renewal" / f"{name}.conf").open("a") as renewal:
            renewal.write(f"server = {server}\n")

    def remove(self, name: str) -> None:
        """Remove a lineage."""
        for kind in ("live", "archive"):
            shutil.rmtree(self.root / kind / name, ignore_errors=True)
        (self.root / "renewal" / f"{name}.conf").unlink(missing_ok=True)
