"""A web server that takes its certificate at SIGHUP, and answers how often it has done so."""

from __future__ import annotations

import functools
import http.server
import signal
import ssl
import threading

CHAIN, KEY = "/etc/vise/tls/web/fullchain.pem", "/etc/vise/tls/web/privkey.pem"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
loads = 0


def load(*_signal: object) -> None:
    """Take the certificate that lies on disk."""
    global loads
    context.load_cert_chain(CHAIN, KEY)
    loads += 1


class Count(http.server.BaseHTTPRequestHandler):
    """Answers with the number of loads."""

    def do_GET(self) -> None:
        """Answer."""
        body = f"loads={loads}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


load()
signal.signal(signal.SIGHUP, load)
files = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/var/lib/acme-webroot")
plain = http.server.ThreadingHTTPServer(("", 80), files)
threading.Thread(target=plain.serve_forever, daemon=True).start()
secure = http.server.ThreadingHTTPServer(("", 443), Count)
secure.socket = context.wrap_socket(secure.socket, server_side=True)
secure.serve_forever()
