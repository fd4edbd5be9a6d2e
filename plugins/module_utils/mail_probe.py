# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Use mail as a user does: submit a message, fetch it, and verify its signatures against the DNS."""

from __future__ import annotations

import contextlib
import dataclasses
import email.message
import email.policy
import email.utils
import imaplib
import smtplib
import socket
import ssl
import time
import typing as t

from .host import clients

try:
    import dkim
    import dns.exception
    import dns.resolver

    HAS_LIBRARIES = True
except ImportError:
    HAS_LIBRARIES = False

DNS_PORT = 53
# Folders to which the server can deliver the message
FOLDERS = ("INBOX", "Junk")
POLL = 0.5


class ProbeError(Exception):
    """The failed step and the reason; the message does not contain a password."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(f"{step}: {text}")
        self.step = step


@dataclasses.dataclass(frozen=True)
class Account:
    """A mailbox, and the address and ports of its server."""

    host: str
    address: str
    user: str
    password: str = dataclasses.field(repr=False)
    smtp_port: int = 25
    submission_port: int = 587
    imap_port: int = 993
    timeout: int = 10
    ca: str = ""

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the system's authorities and those of the account."""
        return clients.make_tls_context(ca_data=self.ca)


class Smtp(smtplib.SMTP):
    """SMTP to a given address; TLS verifies the name of the host."""

    def __init__(self, account: Account, port: int) -> None:
        self.at = account.address
        super().__init__(account.host, port, timeout=account.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # the name is for TLS
        return socket.create_connection((self.at, port), timeout)


class Imap(imaplib.IMAP4_SSL):
    """IMAPS to a given address; TLS verifies the name of the host."""

    def __init__(self, account: Account) -> None:
        self.at = account.address
        super().__init__(account.host, account.imap_port, ssl_context=account.tls(), timeout=account.timeout)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection((self.at, self.port), timeout)
        wrapped: ssl.SSLSocket = self.ssl_context.wrap_socket(plain, server_hostname=self.host)
        return wrapped


@contextlib.contextmanager
def report_step(step: str, where: str) -> t.Iterator[None]:
    """Convert an error in the block to a ProbeError with the step and the reason."""
    try:
        yield
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
        raise ProbeError(step, f"{where}: {explain(error, step)}") from None


def explain(error: Exception, step: str) -> str:
    """Return the reason of an error of the standard library."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not trusted: {error.verify_message}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"login refused ({error.smtp_code} {error.smtp_error!r})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"{error} The server must offer STARTTLS, and a login after STARTTLS."
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time" + (
            "; many networks block outgoing port 25: set smtp_port to 0 to skip this step" if step == "smtp" else ""
        )
    return f"{type(error).__name__}: {error}"


def make_resolver(nameservers: t.Sequence[str], timeout: int) -> dns.resolver.Resolver:
    """Return a resolver that queries the given name servers, or those of the system."""
    resolver = dns.resolver.Resolver(configure=not nameservers)
    if nameservers:
        resolver.nameservers, resolver.port = list(nameservers), DNS_PORT
    resolver.lifetime = timeout
    return resolver


def resolve(host: str, resolver: dns.resolver.Resolver) -> str:
    """Return an address of a host."""
    try:
        return str(next(resolver.resolve_name(host).addresses()))
    except (dns.exception.DNSException, StopIteration) as error:
        raise ProbeError("resolve", f"{host} has no address: {error}") from None


def check_smtp(account: Account) -> None:
    """Verify that other servers can deliver mail, encrypted and with a valid certificate."""
    with report_step("smtp", f"{account.host} port {account.smtp_port}"), Smtp(account, account.smtp_port) as server:
        server.starttls(context=account.tls())
        server.ehlo()


def compose(sender: str, recipient: str) -> email.message.EmailMessage:
    """Return a new message with a unique id."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"] = sender, recipient
    message["Subject"] = "Probe of mail delivery"
    message["Date"] = email.utils.formatdate(localtime=False)
    message["Message-ID"] = email.utils.make_msgid("probe", sender.rpartition("@")[2])
    message.set_content("A probe of the mail server sent this message. The probe deletes it.\n")
    return message


def submit(account: Account, message: email.message.EmailMessage) -> None:
    """Submit a message as the user of the mailbox."""
    where = f"{account.host} port {account.submission_port}"
    with report_step("submission", where), Smtp(account, account.submission_port) as server:
        server.starttls(context=account.tls())
        server.login(account.user, account.password)
        server.send_message(message)


def fetch(account: Account, message_id: str, timeout: float) -> bytes:
    """Wait for a message, delete it from the mailbox and return it."""
    end = time.monotonic() + timeout
    with report_step("delivery", f"{account.host} port {account.imap_port}"), Imap(account) as box:
        login(box, account)
        while True:
            for folder in FOLDERS:
                raw = take_message(box, folder, message_id)
                if raw:
                    return raw
            if time.monotonic() > end:
                raise ProbeError("delivery", f"the message is not in {' or '.join(FOLDERS)} after {timeout:g} s")
            time.sleep(POLL)


def login(box: Imap, account: Account) -> None:
    """Log in."""
    try:
        box.login(account.user, account.password)
    except imaplib.IMAP4.error as error:
        raise ProbeError("delivery", f"{account.host} port {account.imap_port}: login refused ({error})") from None


def take_message(box: Imap, folder: str, message_id: str) -> bytes:
    """Return a message and delete it; return nothing if it is not in the folder."""
    status, _count = box.select(folder)
    if status != "OK":
        return b""
    _status, numbers = box.uid("SEARCH", "HEADER", "Message-ID", message_id)
    number = (numbers[0] or b"").split()[:1]
    if not number:
        return b""
    _status, parts = box.uid("FETCH", number[0].decode(), "(BODY.PEEK[])")
    raw = next((part[1] for part in parts if isinstance(part, tuple)), b"")
    box.uid("STORE", number[0].decode(), "+FLAGS", r"(\Deleted)")
    box.expunge()
    return raw


def verify_signatures(raw: bytes, resolver: dns.resolver.Resolver) -> list[dict[str, str]]:
    """Verify each DKIM signature of a message with the keys in the DNS."""
    count = [name.lower() for name, _value in dkim.DKIM(raw).headers].count(b"dkim-signature")
    return [verify_signature(raw, index, resolver) for index in range(count)]


def verify_signature(raw: bytes, index: int, resolver: dns.resolver.Resolver) -> dict[str, str]:
    """Verify one signature."""
    missing: list[str] = []

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001  # the resolver has a timeout
        try:
            answer = resolver.resolve(name.decode(), "TXT")
        except dns.exception.DNSException as error:
            missing.append(f"the DNS has no key at {name.decode().rstrip('.')} ({type(error).__name__})")
            return None
        return b"".join(answer[0].strings)

    one, problem = dkim.DKIM(raw), ""
    try:
        passed = one.verify(index, dnsfunc=lookup)
    except dkim.DKIMException as error:
        passed, problem = False, str(error)
    tags = one.signature_fields or {}
    return {
        "domain": tags.get(b"d", b"").decode("ascii", "replace"),
        "selector": tags.get(b"s", b"").decode("ascii", "replace"),
        "result": "pass" if passed else "fail",
        "problem": ""
        if passed
        else problem or "".join(missing) or "it does not match the message or the key in the DNS",
    }


def find_problem(signatures: list[dict[str, str]], domain: str, selector: str) -> str:
    """Return the problem of a message's signatures; empty if the signatures of the domain are valid."""
    own = [one for one in signatures if one["domain"] == domain]
    if not own:
        others = ", ".join(one["domain"] for one in signatures)
        return f"the message has no DKIM signature of {domain}" + (f", only of {others}" if others else "")
    bad = [
        f"invalid signature with selector {one['selector']}: {one['problem']}" for one in own if one["result"] != "pass"
    ]
    if bad:
        return "; ".join(bad)
    if selector and selector not in [one["selector"] for one in own]:
        return f"signed with selector {', '.join(one['selector'] for one in own)} instead of {selector}"
    return ""
