"""A mail server as small as a test can have it: one mailbox, submission and IMAPS on local ports, and a DNS."""

from __future__ import annotations

import base64
import dataclasses
import re
import socketserver
import ssl
import threading
import typing as t

import dns.flags
import dns.message
import dns.rrset

Signer = t.Callable[[bytes], bytes]


@dataclasses.dataclass
class Mailbox:
    """What the server knows, and how it misbehaves."""

    user: str
    password: str
    tls: ssl.SSLContext
    sign: Signer = lambda _raw: b""
    txt: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str = "INBOX"
    delivers: bool = True
    encrypts: bool = True
    messages: list[bytes] = dataclasses.field(default_factory=list)
    logins: int = 0


class Lines(socketserver.StreamRequestHandler):
    """A conversation by lines."""

    box: Mailbox

    def say(self, text: str | bytes) -> None:
        self.wfile.write((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def encrypt(self) -> None:
        self.request = self.box.tls.wrap_socket(self.request, server_side=True)
        self.setup()


class Smtp(Lines):
    """As much of SMTP as a submission needs."""

    def handle(self) -> None:
        try:
            self.say("220 test ESMTP")
            while line := self.rfile.readline():
                word = line.strip().decode().partition(" ")
                if not getattr(self, f"on_{word[0].lower()}", self.on_other)(word[2]):
                    return
        except (ssl.SSLError, ConnectionError):
            return

    def on_other(self, _rest: str) -> bool:
        self.say("250 fine")
        return True

    def on_ehlo(self, _rest: str) -> bool:
        for feature in ["250-test", *(["250-STARTTLS"] if self.box.encrypts else []), "250 AUTH PLAIN"]:
            self.say(feature)
        return True

    def on_starttls(self, _rest: str) -> bool:
        self.say("220 go")
        self.encrypt()
        return True

    def on_auth(self, rest: str) -> bool:
        self.box.logins += 1
        given = base64.b64decode(rest.split()[1]).decode().split("\0")[1:]
        self.say("235 in" if given == [self.box.user, self.box.password] else "535 5.7.8 refused")
        return True

    def on_data(self, _rest: str) -> bool:
        self.say("354 go")
        raw = b""
        while (line := self.rfile.readline()) != b".\r\n":
            raw += line.removeprefix(b".") if line.startswith(b"..") else line
        if self.box.delivers:
            self.box.messages.append(self.box.sign(raw) + raw)
        self.say("250 queued")
        return True

    def on_quit(self, _rest: str) -> bool:
        self.say("221 bye")
        return False


class Imap(Lines):
    """As much of IMAP as looking for one message needs."""

    folder = ""

    def handle(self) -> None:
        try:
            self.encrypt()
            self.say("* OK hello")
            while line := self.rfile.readline():
                tag, _space, rest = line.strip().decode().partition(" ")
                self.say(f"{tag} {self.answer(rest)}")
        except (ssl.SSLError, ConnectionError):
            return

    def answer(self, rest: str) -> str:
        upper = rest.upper()
        if upper.startswith("CAPABILITY"):
            self.say("* CAPABILITY IMAP4rev1")
        elif upper.startswith("LOGIN"):
            good = self.box.user in rest and f'"{self.box.password}"' in rest
            return "OK in" if good else "NO [AUTHENTICATIONFAILED] refused"
        elif upper.startswith("SELECT"):
            self.folder = rest.split()[1].strip('"')
            if self.folder not in ("INBOX", self.box.folder):
                return "NO no such folder"
            self.say(f"* {len(self.box.messages)} EXISTS")
        elif upper.startswith("UID SEARCH"):
            wanted = re.sub(r'.*Message-ID "?([^"]*)"?$', r"\1", rest).encode()
            here = self.box.messages if self.folder == self.box.folder else []
            found = [str(number) for number, raw in enumerate(here, 1) if wanted in raw]
            self.say(" ".join(["* SEARCH", *found]))
        elif upper.startswith("UID FETCH"):
            number = int(rest.split()[2])
            raw = self.box.messages[number - 1]
            self.say(f"* {number} FETCH (UID {number} BODY[] {{{len(raw)}}}".encode() + b"\r\n" + raw + b")")
        elif upper.startswith("EXPUNGE"):
            self.box.messages.clear()
        elif upper.startswith("LOGOUT"):
            self.say("* BYE")
        return "OK done"


class Names(socketserver.BaseRequestHandler):
    """A DNS of the mailbox's names."""

    box: Mailbox

    def handle(self) -> None:
        wire, channel = self.request
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        (question,) = query.question
        name, kind = question.name.to_text().rstrip("."), question.to_text().split()[-1]
        strings = self.box.txt.get(name, []) if kind == "TXT" else []
        if strings:
            text = " ".join(f'"{part}"' for part in strings)
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", text))
        if kind == "A" and name in self.box.addresses:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", self.box.addresses[name]))
        if not answer.answer and kind == "TXT":
            answer.set_rcode(3)
        channel.sendto(answer.to_wire(), self.client_address)


class Threads(socketserver.ThreadingTCPServer):
    """A thread for each conversation."""

    allow_reuse_address = True
    daemon_threads = True


def serve(box: Mailbox) -> t.Iterator[dict[str, int]]:
    """Serve a mailbox; give the ports."""
    handlers = {kind: type(kind.__name__, (kind,), {"box": box}) for kind in (Smtp, Imap, Names)}
    servers: dict[str, socketserver.TCPServer] = {
        "smtp": Threads(("127.0.0.1", 0), handlers[Smtp]),
        "imap": Threads(("127.0.0.1", 0), handlers[Imap]),
        "dns": socketserver.UDPServer(("127.0.0.1", 0), handlers[Names]),
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield {name: server.socket.getsockname()[1] for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
