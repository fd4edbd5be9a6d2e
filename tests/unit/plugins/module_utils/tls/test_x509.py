"""Certificates are made for the names and by the key that they should."""

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
    (tmp_path / "cert").write_text(x509.sign(x509.request(key, ["evil"]), CA, CA_KEY, NAMES, 30))
    for option, name in (("-verify_hostname", "db-1"), ("-verify_ip", "10.0.0.1"), ("-verify_ip", "fd00::1")):
        argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca", option, name, "cert"]
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)


def test_names_of_the_request_count_for_nothing() -> None:
    chain = x509.sign(x509.request(x509.make_key(), ["evil"]), CA, CA_KEY, NAMES, 30)
    found = x509.facts(chain)
    assert found and found.names == frozenset(NAMES)


@pytest.mark.parametrize(
    ("ca", "key", "expected"),
    [
        (CA, CA_KEY, ""),
        (CA, OTHER_KEY, "its key does not belong to its certificate"),
        (CA, "secret nonsense", "its key: not a private key in PEM without a passphrase"),
        (CA, "", "its key: not a private key in PEM without a passphrase"),
        ("nonsense", CA_KEY, "its certificate: not a certificate in PEM"),
        (*x509.make_ca("ended", 0), "its certificate ended"),
    ],
)
def test_ca_that_cannot_sign_is_named(ca: str, key: str, expected: str) -> None:
    found = x509.ca_problem(ca, key)
    assert found.startswith(expected) if expected else found == ""


@pytest.mark.parametrize("text", ["", "nonsense", CA.replace("MII", "XXX", 1)])
def test_unreadable_certificate_has_no_facts(text: str) -> None:
    assert x509.facts(text) is None


@pytest.fixture
def kept(tmp_path: Path) -> store.Store:
    return store.Store("internal", str(tmp_path))


def install(kept: store.Store, days: int = 30) -> None:
    version, request = internal.begin(kept, NAMES)
    internal.finish(kept, version, x509.sign(request, CA, CA_KEY, NAMES, days), CA)


def test_internal_certificate_is_as_wanted_after_it_was_made(kept: store.Store) -> None:
    assert internal.reason(kept, CA, NAMES, x509.now()) == "there is none"
    install(kept)
    assert internal.reason(kept, CA, NAMES, x509.now()) == ""
    assert internal.reason(kept, CA + "\n", list(reversed(NAMES)), x509.now()) == ""


@pytest.mark.parametrize(
    ("names", "ca", "days", "expected"),
    [
        (["db-1"], CA, 0, "the names differ"),
        (NAMES, OTHER_CA, 0, "the CA differs"),
        (NAMES, CA, 19, ""),
        (NAMES, CA, 21, "it ends "),
    ],
)
def test_reason_for_a_new_internal_certificate(
    kept: store.Store, names: list[str], ca: str, days: int, expected: str
) -> None:
    install(kept)
    found = internal.reason(kept, ca, names, x509.now() + datetime.timedelta(days=days))
    assert found.startswith(expected) if expected else found == ""


def test_key_that_others_can_read_or_that_is_another_is_replaced(kept: store.Store) -> None:
    install(kept)
    key = Path(kept.link, "privkey.pem")
    key.chmod(0o640)
    assert internal.reason(kept, CA, NAMES, x509.now()) == "the key's owner or mode differs"
    key.write_text(x509.make_key())
    assert internal.reason(kept, CA, NAMES, x509.now()) == "the key does not belong to it"


def test_certificate_of_another_key_or_ca_is_not_installed(kept: store.Store) -> None:
    version, request = internal.begin(kept, NAMES)
    foreign = x509.sign(x509.request(x509.make_key(), NAMES), CA, CA_KEY, NAMES, 30)
    with pytest.raises(x509.TlsError, match="does not belong to the key"):
        internal.finish(kept, version, foreign, CA)
    with pytest.raises(x509.TlsError, match="not signed by the CA"):
        internal.finish(kept, version, x509.sign(request, OTHER_CA, OTHER_KEY, NAMES, 30), CA)
    assert not os.path.lexists(kept.link)


@pytest.mark.parametrize(
    ("names", "good"),
    [(["db-1"], True), (["fd00::1"], True), ([], False), (["a b"], False), (["-x"], False), (["x;y"], False)],
)
def test_names_that_no_certificate_can_hold_are_refused(names: list[str], good: bool) -> None:
    assert (internal.problems(names) == []) is good
