"""An application behind nginx: says what it was asked, greets WebSockets, and publishes address ranges."""

from __future__ import annotations

import base64
import collections
import hashlib
import http.server
import json
import time
from pathlib import Path

WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


counts: collections.Counter[str] = collections.Counter()


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer by path."""
        ranges = Path("/srv/ranges") / Path(self.path).name
        if self.headers.get("Upgrade") == "websocket":
            self.greet()
        elif self.path.startswith("/ips/"):
            self.reply(200 if ranges.exists() else 500, ranges.read_bytes() if ranges.exists() else b"down\n")
        elif self.path.startswith("/_next/"):
            counts[self.path] += 1
            policy = {"Cache-Control": "no-store"} if "private" in self.path else {}
            self.reply(200, f"answer {counts[self.path]}\n".encode(), policy)
        elif self.path == "/events":
            self.send_events()
        elif self.path == "/cookies":
            self.reply(200, f"{len(self.headers['Cookie'] or '')} bytes\n".encode(), {"Set-Cookie": "a=" + "x" * 20000})
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.reply(200, json.dumps({**headers, "path": self.path}).encode())

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.end_headers()
        self.wfile.write(body)

    def send_events(self) -> None:
        """Send one event, and nothing more until the client leaves."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        # As applications do: otherwise nginx collects the answer before it sends it.
        self.send_header("X-Accel-Buffering", "no")
        self.end_headers()
        self.wfile.write(b"data: first event\n\n")
        self.close_connection = True
        time.sleep(4)

    def greet(self) -> None:
        """Upgrade, send one text frame, close."""
        key = self.headers["Sec-WebSocket-Key"] + WEBSOCKET
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept",
            base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode(),
        )
        self.end_headers()
        self.wfile.write(b"\x81\x0dhello sockets" + b"\x88\x00")
        self.close_connection = True


http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Handler).serve_forever()
