"""Certificates have the right names, key and issuer."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, store, x509

CA, CA_KEY = x509.make_ca("ours")
OTHER_CA, OTHER_KEY = x509.make_ca("other")
NAMES = ["db-1", "10.0.0.1", "fd00::1"]


def test_signed_certificate_passes_openssl_strictly(tmp_path: Path) -> None:
    key = x509.make_key()
    (tmp_path / "ca").write_text(CA)
    (tmp_path / "cert").write_text(x509.sign(x509.make_request(key, ["evil"]), CA, CA_KEY, NAMES, 30))
    for option, name in (("-verify_hostname", "db-1"), ("-verify_ip", "10.0.0.1"), ("-verify_ip", "fd00::1")):
        argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca", option, name, "cert"]
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)


def test_names_of_the_request_are_ignored() -> None:
    chain = x509.sign(x509.make_request(x509.make_key(), ["evil"]), CA, CA_KEY, NAMES, 30)
    found = x509.read_facts(chain)
    assert found and found.names == frozenset(NAMES)


@pytest.mark.parametrize(
    ("ca", "key", "expected"),
    [
        (CA, CA_KEY, ""),
        (CA, OTHER_KEY, "its key does not match its certificate"),
        (CA, "secret nonsense", "its key: not a private key in PEM format without a passphrase"),
        (CA, "", "its key: not a private key in PEM format without a passphrase"),
        ("nonsense", CA_KEY, "its certificate: not a certificate in PEM format"),
        (*x509.make_ca("ended", 0), "its certificate expired"),
    ],
)
def test_problem_of_an_unusable_ca_is_named(ca: str, key: str, expected: str) -> None:
    found = x509.find_ca_problem(ca, key)
    assert found.startswith(expected) if expected else found == ""


@pytest.mark.parametrize("text", ["", "nonsense", CA.replace("MII", "XXX", 1)])
def test_unreadable_certificate_has_no_facts(text: str) -> None:
    assert x509.read_facts(text) is None


@pytest.fixture
def deployed(tmp_path: Path) -> store.Store:
    return store.Store("internal", str(tmp_path))


def install(deployed: store.Store, days: int = 30) -> None:
    version, request = internal.make_request(deployed, NAMES)
    internal.install_certificate(deployed, version, x509.sign(request, CA, CA_KEY, NAMES, days), CA, CA)


def test_installed_internal_certificate_needs_no_renewal(deployed: store.Store) -> None:
    assert internal.explain_renewal(deployed, CA, NAMES, x509.now()) == "no certificate exists"
    install(deployed)
    assert internal.explain_renewal(deployed, CA, NAMES, x509.now()) == ""
    assert internal.explain_renewal(deployed, CA + "\n", list(reversed(NAMES)), x509.now()) == ""


@pytest.mark.parametrize(
    ("names", "ca", "days", "expected"),
    [
        (["db-1"], CA, 0, "the names differ"),
        (NAMES, OTHER_CA, 0, "the CA differs"),
        (NAMES, CA, 19, ""),
        (NAMES, CA, 21, "it expires "),
    ],
)
def test_reason_for_a_new_internal_certificate(
    deployed: store.Store, names: list[str], ca: str, days: int, expected: str
) -> None:
    install(deployed)
    found = internal.explain_renewal(deployed, ca, names, x509.now() + datetime.timedelta(days=days))
    assert found.startswith(expected) if expected else found == ""


def test_key_with_another_mode_or_another_key_is_replaced(deployed: store.Store) -> None:
    install(deployed)
    key = Path(deployed.link, "privkey.pem")
    key.chmod(0o640)
    assert internal.explain_renewal(deployed, CA, NAMES, x509.now()) == "the key's owner or mode differs"
    key.write_text(x509.make_key())
    assert internal.explain_renewal(deployed, CA, NAMES, x509.now()) == "the key does not match the certificate"


def test_certificate_of_another_key_or_ca_is_not_installed(deployed: store.Store) -> None:
    version, request = internal.make_request(deployed, NAMES)
    foreign = x509.sign(x509.make_request(x509.make_key(), NAMES), CA, CA_KEY, NAMES, 30)
    with pytest.raises(x509.TlsError, match="does not match the key"):
        internal.install_certificate(deployed, version, foreign, CA, CA)
    with pytest.raises(x509.TlsError, match="not issued by the internal CA"):
        internal.install_certificate(deployed, version, x509.sign(request, OTHER_CA, OTHER_KEY, NAMES, 30), CA, CA)
    assert not os.path.lexists(deployed.link)


@pytest.mark.parametrize(
    ("names", "good"),
    [(["db-1"], True), (["fd00::1"], True), ([], False), (["a b"], False), (["-x"], False), (["x;y"], False)],
)
def test_invalid_names_are_refused(names: list[str], good: bool) -> None:
    assert (internal.find_problems(names) == []) is good
