"""Functions for the services of world: certificates of the sandbox's CA, DNS updates, faults, an HTTPS server."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import ssl
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

# The checkout's .cache/sandbox, mounted read-only.
SHARED = Path("/opt/shared")
STATE = Path("/var/lib/world")
# Current faults, written by sandbox.py; empty after a boot.
FAULTS = Path("/run/world")
ZONE = "vln.test"
WORLD4, WORLD6 = "172.30.0.2", "fd30::2"


def run(*argv: str, text: str | None = None) -> str:
    """Run a command and return its stdout; raises RuntimeError with its output when it fails."""
    completed = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        output = completed.stderr or completed.stdout
        raise RuntimeError(f"`{' '.join(argv)}` failed with exit code {completed.returncode}: {output}")
    return completed.stdout


def exec_program(*argv: str, **environment: str) -> NoReturn:
    """Replace this process by the program of the service."""
    os.execvpe(argv[0], argv, {**os.environ, **environment})  # noqa: S606 (arguments are constants)


def issue_certificate(*names: str) -> tuple[Path, Path]:
    """Issue a certificate of the sandbox's CA for names or addresses; return the paths of certificate and key."""
    STATE.mkdir(parents=True, exist_ok=True)
    cert, key, request = (STATE / f"{names[0]}.{kind}" for kind in ("crt", "key", "csr"))
    alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    run(
        *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", f"/CN={names[0]}", "-keyout", str(key), "-out", str(request)),
    )
    with tempfile.NamedTemporaryFile("w", suffix=".ext") as extensions:
        extensions.write(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
        extensions.flush()
        run(
            *("openssl", "x509", "-req", "-in", str(request), "-out", str(cert), "-days", "365"),
            *("-CA", str(SHARED / "ca.crt"), "-CAkey", str(SHARED / "ca.key"), "-CAserial", str(STATE / "ca.srl")),
            *("-CAcreateserial", "-extfile", extensions.name),
        )
    return cert, key


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def update_dns(*lines: str, zone: str = ZONE) -> None:
    """Update a zone with nsupdate commands, using the key that named created."""
    run("nsupdate", "-l", text="\n".join([f"zone {zone}", *lines, "send", ""]))


def read_fault(service: str, client: str) -> str:
    """Return the current fault of a service for a client; call it for each request, so that a change acts at once."""
    for name in (client.removeprefix("::ffff:"), "all"):
        try:
            return (FAULTS / f"{service}@{name}").read_text().strip()
        except FileNotFoundError:
            continue
    return "none"


class JsonHandler(BaseHTTPRequestHandler):
    """A request handler for JSON requests and responses."""

    protocol_version = "HTTP/1.1"
    # Otherwise the body waits 40 ms for the acknowledgement of the headers.
    disable_nagle_algorithm = True

    def body(self) -> Any:
        """Return the JSON of the request; None without a body."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return json.loads(raw) if raw else None

    def answer(self, status: int, content: Any) -> None:
        """Send a JSON response."""
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class _DualStack(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    # A backup opens many connections at once; 5 is the default.
    request_queue_size = 128


def take_address(octet: str) -> None:
    """Add an address for a service that does not use `serve_https`; other programs do not send from it."""
    run("ip", "-4", "address", "replace", f"172.30.0.{octet}/24", "dev", "eth0")
    # With a preferred lifetime of 0, programs use this address only when they bind to it.
    run(*("ip", "-6", "address", "replace", f"fd30::{octet}/64", "dev", "eth0", "nodad", "preferred_lft", "0"))


def serve_https(handler: type[BaseHTTPRequestHandler], address: str, names: tuple[str, ...]) -> NoReturn:
    """Serve HTTPS on port 443 of an address for this service only; `address` is its last octet."""
    for prefix, family in ((f"172.30.0.{address}/24", "-4"), (f"fd30::{address}/64", "-6")):
        run("ip", family, "address", "replace", prefix, "dev", "eth0", *(["nodad"] if family == "-6" else []))
    cert, key = issue_certificate(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    servers = [_DualStack((f"{prefix}{address}", 443), handler) for prefix in ("::ffff:172.30.0.", "fd30::")]
    for server in servers:
        # The handshake runs in the thread of the request: a client that only connects does not block others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=servers[0].serve_forever, daemon=True).start()
    servers[1].serve_forever()
    raise SystemExit(1)
