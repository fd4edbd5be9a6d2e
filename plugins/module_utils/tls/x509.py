# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates, keys and signing requests as PEM text; pure functions of text, names and time."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
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
    # A host in check mode, before the installation of certbot, which depends on it.
    HAS_CRYPTOGRAPHY = False

# Clocks differ: for a client with a slow clock, a new certificate must already be valid.
SKEW = datetime.timedelta(hours=1)


class TlsError(Exception):
    """A certificate, key or request is not usable; the message never contains a key."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The relevant properties of a certificate."""

    names: frozenset[str]
    begin: datetime.datetime
    end: datetime.datetime
    self_signed: bool
    serial: int = 0
    key: str = ""  # SHA-256 of the public key, as TLSA records of selector 1 contain it


def now() -> datetime.datetime:
    """Return the current time in UTC."""
    return datetime.datetime.now(datetime.UTC)


def normalize_name(name: str) -> str:
    """Return a host name or IP address in the form that certificates contain."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(normalize_name(name))


def _alternative_names(names: t.Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _subject(common_name: str) -> x509.Name:
    # A common name has at most 64 characters; clients check only the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _pem(value: x509.Certificate | x509.CertificateSigningRequest) -> str:
    return value.public_bytes(serialization.Encoding.PEM).decode()


def read_facts(chain: str) -> Facts | None:
    """Return the properties of a chain's first certificate; None when it cannot be parsed."""
    if not HAS_CRYPTOGRAPHY:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(chain.encode())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    return Facts(
        names=frozenset(normalize_name(str(name.value)) for name in found),
        begin=certificate.not_valid_before_utc,
        end=certificate.not_valid_after_utc,
        self_signed=certificate.issuer == certificate.subject,
        serial=certificate.serial_number,
        key=hash_key(certificate),
    )


def hash_key(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate's public key in hexadecimal digits."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(certificate.public_key().public_bytes(serialization.Encoding.DER, form)).hexdigest()


def is_due(found: Facts, renew_days: int, at: datetime.datetime) -> bool:
    """Return whether the remaining time is less than the given days and less than a third of the lifetime."""
    return at > compute_due_time(found, renew_days)


def compute_due_time(found: Facts, renew_days: int) -> datetime.datetime:
    """Return the time at which the certificate must be renewed."""
    return found.end - min(datetime.timedelta(days=renew_days), (found.end - found.begin) / 3)


def covers(found: Facts, names: t.Iterable[str]) -> bool:
    """Return whether a certificate contains all names."""
    return found.names >= {normalize_name(name) for name in names}


def key_matches(chain: str, key: str) -> bool:
    """Return whether a key matches a chain's first certificate."""
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
        return x509.load_pem_x509_certificate(chain.encode()).public_key() == private.public_key()
    except (ValueError, TypeError):
        return False


def make_key() -> str:
    """Create a private key."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*encoding).decode()


def load_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """Load a private key on an elliptic curve; raises TlsError for any other text."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        # No chaining: the library's message may quote the text of the key.
        raise TlsError("not a private key in PEM format without a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TlsError("not a key on an elliptic curve (such as P-256)")
    return key


def load_certificate(pem: str) -> x509.Certificate:
    """Load a certificate; raises TlsError when it cannot be parsed."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise TlsError("not a certificate in PEM format") from None


def make_request(key: str, names: t.Sequence[str]) -> str:
    """Create a signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(names[0]))
    return _pem(builder.add_extension(_alternative_names(names), critical=False).sign(load_key(key), hashes.SHA256()))


def _builder(subject: x509.Name, issuer: x509.Name, days: int, at: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - SKEW)
        .not_valid_after(at + datetime.timedelta(days=days))
    )


def make_placeholder(names: t.Sequence[str], at: datetime.datetime, days: int = 365) -> tuple[str, str]:
    """Create a self-signed certificate and its key, with which a server can start until the real one is issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"placeholder for {names[0]}")
    builder = _builder(subject, subject, days, at).public_key(key.public_key())
    certificate = builder.add_extension(_alternative_names(names), critical=False).sign(key, hashes.SHA256())
    return _pem(certificate), _key_pem(key)


def make_ca(common_name: str, days: int = 3650) -> tuple[str, str]:
    """Create an internal CA; return its certificate and its key."""
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


def _usage(**allowed: bool) -> x509.KeyUsage:
    usages = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    usages += ["key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in usages})


def find_authority_problem(pem: str) -> str:
    """Return why a text is not the certificate of one authority, or an empty string."""
    try:
        authority = load_certificate(pem)
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except TlsError as error:
        return str(error)
    except x509.ExtensionNotFound:
        return "not the certificate of an authority"
    if pem.count("-----BEGIN CERTIFICATE-----") > 1:
        return "it has several certificates: list each one separately"
    return "" if constraints.ca else "not the certificate of an authority"


def find_ca_problem(ca: str, ca_key: str) -> str:
    """Return why a CA cannot sign, or an empty string."""
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
        return "its key does not match its certificate"
    if authority.not_valid_after_utc < now():
        return f"its certificate expired {authority.not_valid_after_utc:%Y-%m-%d}"
    return ""


def sign(csr: str, ca: str, ca_key: str, names: t.Sequence[str], days: int) -> str:
    """Issue a certificate for the key of a request; uses only the given names and ignores those of the request.

    Raises TlsError when the request is not signed by its own key.
    """
    request = x509.load_pem_x509_csr(csr.encode())
    if not request.is_signature_valid:
        raise TlsError("the signing request is not signed by its own key")
    authority = load_certificate(ca)
    key = load_key(ca_key)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_subject(names[0]), authority.subject, days, now())
        .public_key(request.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(_alternative_names(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        # Python 3.13 and later verify strictly and require this extension.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate)


def is_issued_by(chain: str, ca: str) -> bool:
    """Return whether a CA issued a chain's first certificate."""
    try:
        load_certificate(chain).verify_directly_issued_by(load_certificate(ca))
    except (TlsError, ValueError, TypeError, InvalidSignature):
        return False
    return True
