# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mail as a user sees it from outside: handed in, delivered, fetched, and its signatures held against the DNS."""

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

try:
    import dkim
    import dns.exception
    import dns.resolver

    HAS_LIBRARIES = True
except ImportError:
    HAS_LIBRARIES = False

DNS_PORT = 53
# Where a message to oneself can land.
FOLDERS = ("INBOX", "Junk")
POLL = 0.5


class ProbeError(Exception):
    """Which step failed and why, in words that help; never with a password in it."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(f"{step}: {text}")
        self.step = step


@dataclasses.dataclass(frozen=True)
class Account:
    """A mailbox, and where its server answers."""

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
        """Return a context that verifies by the system's authorities and the given ones."""
        context = ssl.create_default_context()
        if self.ca:
            context.load_verify_locations(cadata=self.ca)
        return context


class Smtp(smtplib.SMTP):
    """SMTP to a given address, under the name of the host."""

    def __init__(self, account: Account, port: int) -> None:
        self.at = account.address
        super().__init__(account.host, port, timeout=account.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # the name is for TLS
        return socket.create_connection((self.at, port), timeout)


class Imap(imaplib.IMAP4_SSL):
    """IMAPS to a given address, under the name of the host."""

    def __init__(self, account: Account) -> None:
        self.at = account.address
        super().__init__(account.host, account.imap_port, ssl_context=account.tls(), timeout=account.timeout)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection((self.at, self.port), timeout)
        wrapped: ssl.SSLSocket = self.ssl_context.wrap_socket(plain, server_hostname=self.host)
        return wrapped


@contextlib.contextmanager
def named(step: str, where: str) -> t.Iterator[None]:
    """Give what fails inside the step's name, and say what it means."""
    try:
        yield
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
        raise ProbeError(step, f"{where}: {meaning(error, step)}") from None


def meaning(error: Exception, step: str) -> str:
    """Return what an error of the standard library means for mail."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"login refused ({error.smtp_code} {error.smtp_error!r})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"{error} Does the server offer STARTTLS, and a login behind it?"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time" + ("; many networks block port 25 on the way out" if step == "smtp" else "")
    return f"{type(error).__name__}: {error}"


def resolver(nameservers: t.Sequence[str], timeout: int) -> dns.resolver.Resolver:
    """Return what asks the given name servers, or the system's."""
    found = dns.resolver.Resolver(configure=not nameservers)
    if nameservers:
        found.nameservers, found.port = list(nameservers), DNS_PORT
    found.lifetime = timeout
    return found


def resolve(host: str, asked: dns.resolver.Resolver) -> str:
    """Return an address of a host."""
    try:
        return str(next(asked.resolve_name(host).addresses()))
    except (dns.exception.DNSException, StopIteration) as error:
        raise ProbeError("resolve", f"{host} has no address: {error}") from None


def greet(account: Account) -> None:
    """Make sure that other servers can bring mail, encrypted and to whom they mean."""
    with named("smtp", f"{account.host} port {account.smtp_port}"), Smtp(account, account.smtp_port) as server:
        server.starttls(context=account.tls())
        server.ehlo()


def compose(sender: str, recipient: str) -> email.message.EmailMessage:
    """Write a message that is told from all others by its id."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"] = sender, recipient
    message["Subject"] = "Probe of mail delivery"
    message["Date"] = email.utils.formatdate(localtime=False)
    message["Message-ID"] = email.utils.make_msgid("probe", sender.rpartition("@")[2])
    message.set_content("This message was sent by a check of the mail server, which removes it again.\n")
    return message


def submit(account: Account, message: email.message.EmailMessage) -> None:
    """Hand a message in as the mailbox's user."""
    where = f"{account.host} port {account.submission_port}"
    with named("submission", where), Smtp(account, account.submission_port) as server:
        server.starttls(context=account.tls())
        server.login(account.user, account.password)
        server.send_message(message)


def fetch(account: Account, message_id: str, patience: float) -> bytes:
    """Wait for a message, take it out of the mailbox and return it."""
    end = time.monotonic() + patience
    with named("delivery", f"{account.host} port {account.imap_port}"), Imap(account) as box:
        login(box, account)
        while True:
            for folder in FOLDERS:
                found = taken(box, folder, message_id)
                if found:
                    return found
            if time.monotonic() > end:
                raise ProbeError("delivery", f"the message is not in {' or '.join(FOLDERS)} after {patience:g} s")
            time.sleep(POLL)


def login(box: Imap, account: Account) -> None:
    """Log in."""
    try:
        box.login(account.user, account.password)
    except imaplib.IMAP4.error as error:
        raise ProbeError("delivery", f"{account.host} port {account.imap_port}: login refused ({error})") from None


def taken(box: Imap, folder: str, message_id: str) -> bytes:
    """Return a message and remove it; nothing when the folder does not hold it."""
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


def signatures(raw: bytes, asked: dns.resolver.Resolver) -> list[dict[str, str]]:
    """Return what each DKIM signature of a message is worth by the DNS of now."""
    count = [name.lower() for name, _value in dkim.DKIM(raw).headers].count(b"dkim-signature")
    return [signature(raw, index, asked) for index in range(count)]


def signature(raw: bytes, index: int, asked: dns.resolver.Resolver) -> dict[str, str]:
    """Return what one of them is worth."""
    missing: list[str] = []

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001  # the resolver has its own
        try:
            answer = asked.resolve(name.decode(), "TXT")
        except dns.exception.DNSException as error:
            missing.append(f"the DNS gives no key at {name.decode().rstrip('.')} ({type(error).__name__})")
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
        else problem or "".join(missing) or "it does not fit the message and the key in the DNS",
    }


def judge(found: list[dict[str, str]], domain: str, selector: str) -> str:
    """Say what is wrong with a message's signatures; nothing when the domain's are good."""
    own = [one for one in found if one["domain"] == domain]
    if not own:
        others = ", ".join(one["domain"] for one in found)
        return f"no signature of {domain}" + (f", but of {others}" if others else "")
    bad = [f"wrong signature by {one['selector']}: {one['problem']}" for one in own if one["result"] != "pass"]
    if bad:
        return "; ".join(bad)
    if selector and selector not in [one["selector"] for one in own]:
        return f"signed by {', '.join(one['selector'] for one in own)} in place of {selector}"
    return ""
