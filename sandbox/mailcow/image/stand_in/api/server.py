"""HTTP, and what the real one does at its start: tables, API keys, the map of domains."""

from __future__ import annotations

import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stand_in import kit
from stand_in.api import Request, dispatch, faults, passwords
from stand_in.api.store import Store, schema

PORT = 9000
PAGE = "<!DOCTYPE html>\n<title>mail</title>\n<p>The stand-in for mailcow's pages.</p>\n"
SCHEMA = "2026-sandbox"


def open_store() -> Store:
    """MariaDB and Redis for one request."""
    return Store(kit.connect_database(), kit.connect_redis())


def initialise(store: Store) -> None:
    """Everything that has to be there before the first request."""
    for statement in schema():
        store.run(statement)
    store.run("DELETE FROM versions WHERE application = 'db_schema'")
    store.insert("versions", {"application": "db_schema", "version": SCHEMA})
    for key, value in passwords.POLICY.items():
        store.redis.hsetnx("PASSWD_POLICY", key, value)
    for row in store.rows("SELECT domain FROM domain UNION SELECT alias_domain FROM alias_domain"):
        store.redis.hset("DOMAIN_MAP", row["domain"], 1)
    # Only addresses that are some; a key whose list is empty then is no key.
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

    def handle_any(self) -> None:
        """Fail as told, or answer."""
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
        else:
            self.answer(200 if self.path == "/" else 404, "text/html", PAGE.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 (http.server's names)

    def api(self, body: bytes) -> None:
        """A request to the API."""
        headers = self.headers
        client = headers.get("X-Real-IP") or self.client_address[0]
        request = Request(self.command, self.path, body, headers.get("X-API-Key") or "", client)
        store = open_store()
        try:
            status, content = dispatch(store, request)
        finally:
            store.database.close()
            store.redis.close()
        # Times and sums of MariaDB become texts, as with the real one.
        self.answer(status, "application/json", json.dumps(content, default=str).encode())

    def answer(self, status: int, kind: str, raw: bytes) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)


def serve() -> None:
    """Serve until the container ends."""
    store: Any = open_store()
    initialise(store)
    store.database.close()
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
