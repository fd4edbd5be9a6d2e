"""Handle HTTP requests of the double."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qsl, urlsplit

import kit

from .api import Api, Request
from .errors import Refused, unauthorized
from .faults import RETRY_AFTER, Faults

PREFIX = "/client/v4"
LIMITED = Refused(429, 10100, "Rate limited. Please wait and consider throttling your request speed.")
BROKEN = Refused(500, 10001, "Unable to process your request at this time")
ERRORS = {"429": LIMITED, "500": BROKEN, "timeout": BROKEN, "403": unauthorized()}
# Pages that are sent instead of the API's answer: their status, and the title.
PAGES = {"busy": (503, "Service Temporarily Unavailable"), "blocked": (403, "Attention Required! | Cloudflare")}


class Log(Protocol):
    """The log, with one line per request."""

    def append(self, line: str, /) -> None:
        """Add a line."""


class Journal:
    """A log for journald."""

    def append(self, line: str) -> None:
        """Print a line without buffering."""
        print(line, flush=True)


class Handler(kit.JsonHandler):
    """Answers each request with one envelope; `handler` makes the class for an API."""

    api: ClassVar[Api]
    faults: ClassVar[Faults]
    # Seconds for which a connection stays open when the answer is omitted.
    patience: ClassVar[float]
    log: ClassVar[Log]

    def handle_any(self) -> None:
        """Inject the fault, change the state, answer."""
        url = urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        client = str(self.client_address[0])
        request = Request(method=self.command, path=path, query=dict(parse_qsl(url.query)), client=client)
        fault = self.faults.at_request(client)
        who, status, content = "-", 0, {}
        try:
            # Each body is read, also for an error, so that the connection stays usable.
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault in ERRORS:
                raise ERRORS[fault]
            if fault in PAGES:
                self.log.append(f"{who} {self.command} {path} {fault}")
                self.reply_page(*PAGES[fault])
                return
            request["body"] = json.loads(raw) if raw else None
            who, done = self.api.answer({name.lower(): value for name, value in self.headers.items()}, request)
            status, content = 200, done if "data" in done else {"success": True, "errors": [], "messages": [], **done}
        except ValueError:
            status, content = 400, failure(Refused(400, 6007, "Malformed JSON in request body"))
        except Refused as refused:
            status, content = refused.status, failure(refused)
        self.log.append(f"{who} {self.command} {path} {fault or status}")
        if fault in ("timeout", "lost"):
            time.sleep(self.patience)
            self.close_connection = True
            return
        self.reply(status, content)

    def reply(self, status: int, content: dict[str, Any]) -> None:
        """Send JSON, and with 429 the time to retry."""
        more = {"Retry-After": str(RETRY_AFTER)} if status == LIMITED.status else {}
        self.send(status, "application/json", json.dumps(content), more)

    def reply_page(self, status: int, title: str) -> None:
        """Send a page for people, as a firewall before the API does."""
        page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        self.send(status, "text/html; charset=UTF-8", page, {"CF-RAY": "8d49989abc171ce8-FRA"})

    def send(self, status: int, kind: str, text: str, more: dict[str, str]) -> None:
        """Send a response."""
        raw = text.encode()
        self.send_response_only(status)
        headers = {"Date": self.date_time_string(), "Content-Type": kind, "Content-Length": str(len(raw)), **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 (http.server's names)


def failure(refused: Refused) -> dict[str, Any]:
    """Return the envelope of an error."""
    return {"success": False, "errors": [refused.error], "messages": [], "result": None}


def handler(api: Api, faults: Faults, log: Log, patience: float = 60) -> type[Handler]:
    """Return a handler class that serves an API."""
    known = {"api": api, "faults": faults, "log": log, "patience": patience}
    return type("CloudflareHandler", (Handler,), known)
