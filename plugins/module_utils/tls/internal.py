# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's certificate for its peers: the key is made here and stays here, the controller signs."""

from __future__ import annotations

import datetime
import ipaddress
import re

from . import store, x509

NAME = "internal"
CA = "ca.pem"


def problems(names: list[str]) -> list[str]:
    """Say which names no certificate can hold."""
    found = [] if names else ["names: at least one is needed"]
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name):
                found.append(f"names: {name!r} is neither a host name nor an IP address")
    return found


def reason(kept: store.Store, ca: str, names: list[str], at: datetime.datetime) -> str:
    """Say why a new certificate is needed; nothing when the present one serves."""
    if not x509.HAS_CRYPTOGRAPHY:
        return "there is none"
    chain, key = kept.read(store.CHAIN), kept.read(store.KEY)
    found = x509.facts(chain)
    if found is None:
        return "there is none"
    if not x509.pair_fits(chain, key):
        return "the key does not belong to it"
    if not kept.guarded():
        return "the key's owner or mode differs"
    if found.names != {x509.normal(name) for name in names}:
        return "the names differ"
    if kept.read(CA).strip() != ca.strip() or not x509.issued_by(chain, ca):
        return "the CA differs"
    # It is signed by a run of the playbook alone, so it is renewed early.
    if at > found.begin + (found.end - found.begin) * 2 / 3:
        return f"it ends {found.end:%Y-%m-%d}"
    return ""


def begin(kept: store.Store, names: list[str]) -> tuple[str, str]:
    """Make a key; return the version that it belongs to, and the request."""
    key = x509.make_key()
    return kept.stage(key), x509.request(key, names)


def finish(kept: store.Store, version: str, chain: str, ca: str) -> None:
    """Put what the controller has signed beside its key, and switch."""
    if not x509.pair_fits(chain, kept.staged_key(version)):
        raise x509.TlsError("the certificate does not belong to the key that was made for it")
    if not x509.issued_by(chain, ca):
        raise x509.TlsError("the certificate is not signed by the CA")
    kept.switch(version, {store.CHAIN: chain, CA: ca})
