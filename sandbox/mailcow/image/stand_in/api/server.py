"""HTTP, and the start of the real API: tables, API keys, the map of domains."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.parse
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stand_in import kit
from stand_in.api import Request, admins, dispatch, faults, passwords
from stand_in.api.store import Store, schema

PORT = 9000
PAGE = "<!DOCTYPE html>\n<title>mail</title>\n<p>The stand-in for mailcow's pages.</p>\n"
SCHEMA = "2026-sandbox"


def open_store() -> Store:
    """Return MariaDB and Redis for one request."""
    return Store(kit.connect_database(), kit.connect_redis())


def initialise(store: Store) -> None:
    """Prepare the state for the first request."""
    for statement in schema():
        store.run(statement)
    store.run("DELETE FROM versions WHERE application = 'db_schema'")
    store.insert("versions", {"application": "db_schema", "version": SCHEMA})
    admins.first(store)
    for key, value in passwords.POLICY.items():
        store.redis.hsetnx("PASSWD_POLICY", key, value)
    for row in store.rows("SELECT domain FROM domain UNION SELECT alias_domain FROM alias_domain"):
        store.redis.hset("DOMAIN_MAP", row["domain"], 1)
    # Only valid addresses; without one the key is not active.
    networks = re.split(r"\s*,\s*", os.environ.get("API_ALLOW_FROM", "invalid"))
    valid = ",".join(net for net in networks if re.fullmatch(r"[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*(/\d+)?", net))
    for access, name in (("rw", "API_KEY"), ("ro", "API_KEY_READ_ONLY")):
        key = os.environ.get(name, "invalid")
        if valid and key not in ("", "invalid"):
            store.run("DELETE FROM api WHERE access = %s", access)
            store.insert("api", {"api_key": key, "allow_from": valid, "access": access})


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    # Otherwise the body waits 40 ms for the acknowledgement of the headers.
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        """Fail with the current fault, or answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = faults.mode(self.path)
        if fault == "down":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(faults.SLOW)
        if fault == "500":
            self.answer(500, "text/html", b"<h1>500 Internal Server Error</h1>")
        elif fault == "html":
            self.answer(200, "text/html", b"<br />\n<b>Fatal error</b>: Uncaught PDOException\n")
        elif self.path.startswith("/api/v1/"):
            self.api(body)
        elif self.path == "/admin":
            self.admin(body)
        else:
            self.answer(200 if self.path == "/" else 404, "text/html", PAGE.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 (http.server's names)

    def admin(self, body: bytes) -> None:
        """Process the login of the global administrator: answer with the page, or redirect to the next one."""
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if self.command == "POST" and {"login_user", "pass_user"} <= form.keys():
            with closing(open_store()) as store:
                if admins.login(store, form["login_user"], form["pass_user"], self.client()):
                    return self.answer(302, "text/html", b"", ("Location", "/admin/dashboard"))
        return self.answer(200, "text/html", PAGE.encode())

    def client(self) -> str:
        """Return the address of nginx's client."""
        return self.headers.get("X-Real-IP") or str(self.client_address[0])

    def api(self, body: bytes) -> None:
        """Answer a request to the API."""
        request = Request(self.command, self.path, body, self.headers.get("X-API-Key") or "", self.client())
        with closing(open_store()) as store:
            status, content = dispatch(store, request)
        # Times and sums of MariaDB become texts, as in the real API.
        self.answer(status, "application/json", json.dumps(content, default=str).encode())

    def answer(self, status: int, kind: str, raw: bytes, *headers: tuple[str, str]) -> None:
        """Send the answer."""
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(raw))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)


def serve() -> None:
    """Serve until the container ends."""
    with closing(open_store()) as store:
        initialise(store)
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
