# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates, keys and requests as PEM text; everything here is a pure function of text, names and time.

Files of this package import nothing but their siblings, the standard library and cryptography, since the role
certificates also installs them on hosts, for the renewal timer.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import typing as t

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    # A host in check mode, before certbot has brought it.
    HAS_CRYPTOGRAPHY = False

# Clocks differ: a certificate must not begin in a client's future.
SKEW = datetime.timedelta(hours=1)


class TlsError(Exception):
    """What is wrong, in words that help; never with a key in it."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What matters of a certificate."""

    names: frozenset[str]
    begin: datetime.datetime
    end: datetime.datetime
    self_signed: bool


def now() -> datetime.datetime:
    """Return the time, with its zone."""
    return datetime.datetime.now(datetime.UTC)


def normal(name: str) -> str:
    """Return a name as certificates hold it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(normal(name))


def _alternative(names: t.Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _subject(common_name: str) -> x509.Name:
    # A common name has at most 64 characters; what counts is the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _pem(thing: x509.Certificate | x509.CertificateSigningRequest) -> str:
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def facts(chain: str) -> Facts | None:
    """Return what a chain's first certificate says; None for what cannot be read."""
    if not HAS_CRYPTOGRAPHY:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(chain.encode())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    return Facts(
        names=frozenset(normal(str(name.value)) for name in found),
        begin=certificate.not_valid_before_utc,
        end=certificate.not_valid_after_utc,
        self_signed=certificate.issuer == certificate.subject,
    )


def due(found: Facts, renew_days: int, at: datetime.datetime) -> bool:
    """Whether less is left than the given days, or than a third of a short lifetime."""
    return found.end - at < min(datetime.timedelta(days=renew_days), (found.end - found.begin) / 3)


def covers(found: Facts, names: t.Iterable[str]) -> bool:
    """Whether a certificate is good for all names."""
    return found.names >= {normal(name) for name in names}


def pair_fits(chain: str, key: str) -> bool:
    """Whether a key belongs to a chain's first certificate."""
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
        return x509.load_pem_x509_certificate(chain.encode()).public_key() == private.public_key()
    except (ValueError, TypeError):
        return False


def make_key() -> str:
    """Make a private key."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*encoding).decode()


def load_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key on an elliptic curve."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        # The library's own text may quote what it could not read.
        raise TlsError("not a private key in PEM without a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TlsError("not a key on an elliptic curve")
    return key


def load_certificate(pem: str) -> x509.Certificate:
    """Read a certificate."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise TlsError("not a certificate in PEM") from None


def request(key: str, names: t.Sequence[str]) -> str:
    """Make a signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(names[0]))
    return _pem(builder.add_extension(_alternative(names), critical=False).sign(load_key(key), hashes.SHA256()))


def _builder(subject: x509.Name, issuer: x509.Name, days: int, at: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - SKEW)
        .not_valid_after(at + datetime.timedelta(days=days))
    )


def placeholder(names: t.Sequence[str], at: datetime.datetime, days: int = 365) -> tuple[str, str]:
    """Make a self-signed certificate and its key, which let a server start until the real one is there."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"placeholder for {names[0]}")
    builder = _builder(subject, subject, days, at).public_key(key.public_key())
    certificate = builder.add_extension(_alternative(names), critical=False).sign(key, hashes.SHA256())
    return _pem(certificate), _key_pem(key)


def make_ca(common_name: str, days: int = 3650) -> tuple[str, str]:
    """Make an internal CA; return its certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    certificate = (
        _builder(_subject(common_name), _subject(common_name), days, now())
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def _usage(**given: bool) -> x509.KeyUsage:
    every = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    every += ["key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: given.get(name, False) for name in every})


def ca_problem(ca: str, ca_key: str) -> str:
    """Say why a CA cannot sign; nothing when it can."""
    if not HAS_CRYPTOGRAPHY:
        return "the Python package cryptography is missing on the controller"
    try:
        authority = load_certificate(ca)
    except TlsError as error:
        return f"its certificate: {error}"
    try:
        key = load_key(ca_key)
    except TlsError as error:
        return f"its key: {error}"
    if authority.public_key() != key.public_key():
        return "its key does not belong to its certificate"
    if authority.not_valid_after_utc < now():
        return f"its certificate ended {authority.not_valid_after_utc:%Y-%m-%d}"
    return ""


def sign(csr: str, ca: str, ca_key: str, names: t.Sequence[str], days: int) -> str:
    """Sign the request's key for the names that are wanted here, whatever names the request holds."""
    asked = x509.load_pem_x509_csr(csr.encode())
    if not asked.is_signature_valid:
        raise TlsError("the request is not signed by its own key")
    authority = load_certificate(ca)
    key = load_key(ca_key)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_subject(names[0]), authority.subject, days, now())
        .public_key(asked.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(_alternative(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(asked.public_key()), critical=False)
        # Python 3.13 and later verify strictly, and then want it.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate)


def issued_by(chain: str, ca: str) -> bool:
    """Whether a CA has signed a chain's first certificate."""
    try:
        load_certificate(chain).verify_directly_issued_by(load_certificate(ca))
    except (TlsError, ValueError, TypeError, InvalidSignature):
        return False
    return True
