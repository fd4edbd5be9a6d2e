"""The exchanger's milter: who sends is checked and written into the message; what goes out is signed."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

import dkim
import dns.exception
import dns.resolver
import dns.reversename
import Milter
import spf

# Run by its path: among the services' files is a dns.py, which would hide the package of that name.
sys.path.append("/opt/world")
from kit import dmarc

SOCKET = "inet:9901@127.0.0.1"
SIGNED = [b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]


def answers(name: str, kind: str) -> list[Any]:
    """A name's records; none where there are none. Nothing is cached, since tests change them."""
    try:
        return list(dns.resolver.resolve(name, kind, lifetime=5))
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN, dns.resolver.NoNameservers, dns.exception.SyntaxError):
        return []


def texts(name: str) -> list[str]:
    """A name's texts, each put together from its pieces."""
    return [b"".join(record.strings).decode(errors="replace") for record in answers(name, "TXT")]


def reverse(address: str) -> str:
    """Whether an address has a name that leads back to it."""
    names = [str(record.target) for record in answers(str(dns.reversename.from_address(address)), "PTR")]
    kind = "AAAA" if ":" in address else "A"
    back = {ipaddress.ip_address(record.address) for name in names for record in answers(name, kind)}
    found = ipaddress.ip_address(address) in back
    return f"{'pass' if found else 'fail'} ({names[0].rstrip('.') if names else 'no name'}) policy.iprev={address}"


def published(name: bytes, timeout: float = 5) -> bytes:  # noqa: ARG001 (dkimpy's way to ask)
    """A key's record."""
    return "".join(texts(name.decode())[:1]).encode()


def signatures(raw: bytes) -> Iterator[dmarc.Signature]:
    """What became of each signature."""
    lines = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    for index in range(sum(line.lower().startswith(b"dkim-signature:") for line in lines)):
        checked = dkim.DKIM(raw)
        try:
            result = "pass" if checked.verify(index, dnsfunc=published) else "fail"
        except dkim.DKIMException as problem:
            result = f"permerror ({problem})"
        fields = checked.signature_fields or {}
        yield dmarc.Signature(result, *(fields.get(key, b"").decode() for key in (b"d", b"s")))


@Milter.header_leading_space
class Checks(Milter.Base):  # type: ignore[misc]
    """One connection."""

    def __init__(self) -> None:
        self.address = self.helo = self.sender = ""
        self.lines: list[bytes] = []
        self.own = 0

    def connect(self, _name: str, _family: int, address: Any) -> Any:
        """Who connects; no address when it is a program here."""
        self.address = address[0] if isinstance(address, tuple) else "127.0.0.1"
        return Milter.CONTINUE

    def hello(self, name: str) -> Any:
        """What it calls itself."""
        self.helo = name
        return Milter.CONTINUE

    def envfrom(self, sender: str, *_options: str) -> Any:
        """Another message begins."""
        self.sender, self.lines, self.own = sender.strip("<>"), [], 0
        return Milter.CONTINUE

    def header(self, name: str, value: str) -> Any:
        """A line of the header, as it came."""
        text = value.replace("\r\n", "\n").replace("\n", "\r\n")
        self.lines.append(f"{name}:{text}\r\n".encode(errors="surrogateescape"))
        # What another host wrote in this one's name is taken out.
        if name.lower() == "authentication-results":
            self.own += 1
        return Milter.CONTINUE

    def eoh(self) -> Any:
        """The header ends."""
        self.lines.append(b"\r\n")
        return Milter.CONTINUE

    def body(self, chunk: bytes) -> Any:
        """A piece of the body."""
        self.lines.append(chunk)
        return Milter.CONTINUE

    def eom(self) -> Any:
        """Everything is there: sign or judge."""
        raw = b"".join(self.lines)
        if ipaddress.ip_address(self.address).is_loopback:
            return self.sign(raw)
        for index in range(self.own, 0, -1):
            self.chgheader("Authentication-Results", index, "")
        host = os.environ["EXCHANGER"]
        envelope = self.sender.rpartition("@")[2] or self.helo
        result, _ = spf.check2(self.address, self.sender, self.helo)
        header_from = next((line for line in self.lines if line.lower().startswith(b"from:")), b"from:")
        domain = parseaddr(header_from.decode(errors="replace")[5:].strip())[1].rpartition("@")[2]
        message = dmarc.Message(domain, result, envelope, list(signatures(raw)))
        verdict = dmarc.judge(message, texts)
        written = dmarc.results(host, message, verdict, reverse(self.address))
        print(f"from=<{self.sender}> {' '.join(written.split())}", flush=True)
        if verdict.result == "fail" and verdict.policy == "reject":
            self.setreply("550", "5.7.1", f"rejected by the DMARC policy of {domain}")
            return Milter.REJECT
        self.addheader("Authentication-Results", f" {written}", 0)
        return Milter.ACCEPT

    def sign(self, raw: bytes) -> Any:
        """Sign what the exchanger's own domain sends."""
        domain, selector, key = (os.environ[name] for name in ("DOMAIN", "SELECTOR", "KEY"))
        header_from = next((line for line in self.lines if line.lower().startswith(b"from:")), b"")
        if header_from.strip().rstrip(b">").endswith(f"@{domain}".encode()):
            made = dkim.sign(raw, selector.encode(), domain.encode(), key.encode(), include_headers=SIGNED)
            self.addheader("DKIM-Signature", made.decode().partition(":")[2].rstrip().replace("\r\n", "\n"), 0)
        return Milter.ACCEPT


def main() -> None:
    """Serve Postfix."""
    Milter.factory = Checks
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("exchanger", SOCKET, 60)


if __name__ == "__main__":
    main()
