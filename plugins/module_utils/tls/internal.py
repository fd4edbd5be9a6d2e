# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's certificate from the internal CA: the host creates the key and keeps it, the controller signs."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import re
import ssl
import typing as t

from . import store, x509

NAME = "internal"
CA = store.CA
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def find_problems(names: list[str]) -> list[str]:
    """Validate the names of a certificate; return a text for each problem."""
    problems = [] if names else ["names is empty: at least one name is needed"]
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name):
                problems.append(f"names: {name!r} is neither a host name nor an IP address")
    return problems


def explain_renewal(deployed: store.Store, ca: str, names: list[str], at: datetime.datetime) -> str:
    """Return why a new certificate is needed, or an empty string."""
    if not x509.HAS_CRYPTOGRAPHY:
        return "no certificate exists"
    chain, key = deployed.read(store.CHAIN), deployed.read(store.KEY)
    found = x509.read_facts(chain)
    if found is None:
        return "no certificate exists"
    if not x509.key_matches(chain, key):
        return "the key does not match the certificate"
    if not deployed.key_is_protected():
        return "the key's owner or mode differs"
    if found.names != {x509.normalize_name(name) for name in names}:
        return "the names differ"
    if not x509.is_issued_by(chain, ca):
        return "the CA differs"
    # Only a run of the playbook can renew it, so it is renewed early.
    if at > found.begin + (found.end - found.begin) * 2 / 3:
        return f"it expires {found.end:%Y-%m-%d}"
    return ""


def join_authorities(authorities: t.Iterable[str]) -> str:
    """Return the text of the file with which services verify each other; the authority that signs comes first."""
    return "".join(f"{pem.strip()}\n" for pem in dict.fromkeys(authorities))


def split_authorities(text: str) -> list[str]:
    """Return the certificates of a file of trusted authorities."""
    return BLOCK.findall(text)


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a certificate; raises TlsError when it cannot be parsed."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
    except ValueError:
        raise x509.TlsError("not a certificate in PEM format") from None


def explain_trust(deployed: store.Store, trust: str) -> str:
    """Return why the file of trusted authorities must be replaced, or an empty string."""
    return "" if deployed.read(CA) == trust else "the trusted authorities differ"


def install_trust(deployed: store.Store, trust: str) -> None:
    """Replace the file of trusted authorities; certificate and key stay."""
    chain = deployed.read(store.CHAIN)
    deployed.switch(deployed.stage(deployed.read(store.KEY)), {store.CHAIN: chain, CA: trust})


def make_request(deployed: store.Store, names: list[str]) -> tuple[str, str]:
    """Create a key in a new version; return the version and a signing request."""
    key = x509.make_key()
    return deployed.stage(key), x509.make_request(key, names)


def install_certificate(deployed: store.Store, version: str, chain: str, ca: str, trust: str) -> None:
    """Complete a version with the signed certificate and switch to it; raises TlsError for a wrong key or CA."""
    if not x509.key_matches(chain, deployed.read_staged_key(version)):
        raise x509.TlsError("the signed certificate does not match the key of its request: run the playbook again")
    if not x509.is_issued_by(chain, ca):
        raise x509.TlsError("the signed certificate is not issued by the internal CA")
    deployed.switch(version, {store.CHAIN: chain, CA: trust})
