"""The exchanger's milter: checks SPF, DKIM and DMARC of received messages, and signs sent ones."""

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

# Appended, not inserted: the services' dns.py in this directory must not hide the package dns.
sys.path.append("/opt/world")
from kit import dmarc

SOCKET = "inet:9901@127.0.0.1"
SIGNED = [b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]


def query(name: str, kind: str) -> list[Any]:
    """Return the DNS records of a name, or an empty list; not cached, because tests change them."""
    try:
        return list(dns.resolver.resolve(name, kind, lifetime=5))
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN, dns.resolver.NoNameservers, dns.exception.SyntaxError):
        return []


def query_texts(name: str) -> list[str]:
    """Return the TXT records of a name, each joined from its strings."""
    return [b"".join(record.strings).decode(errors="replace") for record in query(name, "TXT")]


def check_reverse(address: str) -> str:
    """Return the iprev result: whether the PTR name of an address resolves to this address."""
    names = [str(record.target) for record in query(str(dns.reversename.from_address(address)), "PTR")]
    kind = "AAAA" if ":" in address else "A"
    addresses = {ipaddress.ip_address(record.address) for name in names for record in query(name, kind)}
    confirmed = ipaddress.ip_address(address) in addresses
    return f"{'pass' if confirmed else 'fail'} ({names[0].rstrip('.') if names else 'no name'}) policy.iprev={address}"


def fetch_key(name: bytes, timeout: float = 5) -> bytes:  # noqa: ARG001 (the signature that dkimpy calls)
    """Return the TXT record of a DKIM key."""
    return "".join(query_texts(name.decode())[:1]).encode()


def check_signatures(raw: bytes) -> Iterator[dmarc.Signature]:
    """Verify each DKIM signature of a message."""
    lines = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    for index in range(sum(line.lower().startswith(b"dkim-signature:") for line in lines)):
        verifier = dkim.DKIM(raw)
        try:
            result = "pass" if verifier.verify(index, dnsfunc=fetch_key) else "fail"
        except dkim.DKIMException as problem:
            result = f"permerror ({problem})"
        fields = verifier.signature_fields or {}
        yield dmarc.Signature(result, *(fields.get(key, b"").decode() for key in (b"d", b"s")))


@Milter.header_leading_space
class Checks(Milter.Base):  # type: ignore[misc]
    """The checks of one SMTP connection."""

    def __init__(self) -> None:
        self.address = self.helo = self.sender = ""
        self.lines: list[bytes] = []
        self.forged_results = 0

    def connect(self, _name: str, _family: int, address: Any) -> Any:
        """Store the address of the client; a local program has none."""
        self.address = address[0] if isinstance(address, tuple) else "127.0.0.1"
        return Milter.CONTINUE

    def hello(self, name: str) -> Any:
        """Store the client's HELO name."""
        self.helo = name
        return Milter.CONTINUE

    def envfrom(self, sender: str, *_options: str) -> Any:
        """Begin a message."""
        self.sender, self.lines, self.forged_results = sender.strip("<>"), [], 0
        return Milter.CONTINUE

    def header(self, name: str, value: str) -> Any:
        """Add a header field unchanged."""
        text = value.replace("\r\n", "\n").replace("\n", "\r\n")
        self.lines.append(f"{name}:{text}\r\n".encode(errors="surrogateescape"))
        # Count fields of other hosts: eom() removes them, because they could claim to be this host's.
        if name.lower() == "authentication-results":
            self.forged_results += 1
        return Milter.CONTINUE

    def eoh(self) -> Any:
        """End the header."""
        self.lines.append(b"\r\n")
        return Milter.CONTINUE

    def body(self, chunk: bytes) -> Any:
        """Add a part of the body."""
        self.lines.append(chunk)
        return Milter.CONTINUE

    def eom(self) -> Any:
        """End of the message: sign it when it comes from this machine, otherwise check it."""
        raw = b"".join(self.lines)
        if ipaddress.ip_address(self.address).is_loopback:
            return self.sign(raw)
        for index in range(self.forged_results, 0, -1):
            self.chgheader("Authentication-Results", index, "")
        host = os.environ["EXCHANGER"]
        envelope = self.sender.rpartition("@")[2] or self.helo
        result, _ = spf.check2(self.address, self.sender, self.helo)
        header_from = next((line for line in self.lines if line.lower().startswith(b"from:")), b"from:")
        domain = parseaddr(header_from.decode(errors="replace")[5:].strip())[1].rpartition("@")[2]
        message = dmarc.Message(domain, result, envelope, list(check_signatures(raw)))
        verdict = dmarc.evaluate(message, query_texts)
        results = dmarc.format_results(host, message, verdict, check_reverse(self.address))
        print(f"from=<{self.sender}> {' '.join(results.split())}", flush=True)
        if verdict.result == "fail" and verdict.policy == "reject":
            self.setreply("550", "5.7.1", f"rejected by the DMARC policy of {domain}")
            return Milter.REJECT
        self.addheader("Authentication-Results", f" {results}", 0)
        return Milter.ACCEPT

    def sign(self, raw: bytes) -> Any:
        """Sign a message from the exchanger's own domain."""
        domain, selector, key = (os.environ[name] for name in ("DOMAIN", "SELECTOR", "KEY"))
        header_from = next((line for line in self.lines if line.lower().startswith(b"from:")), b"")
        if header_from.strip().rstrip(b">").endswith(f"@{domain}".encode()):
            signature = dkim.sign(raw, selector.encode(), domain.encode(), key.encode(), include_headers=SIGNED)
            self.addheader("DKIM-Signature", signature.decode().partition(":")[2].rstrip().replace("\r\n", "\n"), 0)
        return Milter.ACCEPT


def main() -> None:
    """Run the milter for Postfix."""
    Milter.factory = Checks
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("exchanger", SOCKET, 60)


if __name__ == "__main__":
    main()
