"""The sandbox's double of Cloudflare in the test's own process, and modules run against it."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client
from kit.cloudflare import server, tokens
from kit.cloudflare.api import Api, Request
from kit.cloudflare.faults import MODES, Faults, Order
from kit.cloudflare.zones import Zones

TOKEN = "canary-of-a-token-that-may-do-all-of-it"  # noqa: S105 (the double takes it)
# One fault at each call of a run.
FAULTS = pytest.mark.parametrize("mode", MODES)
PLANS = {"example.test": "free", "elsewhere.test": "pro"}


class Recorded(Api):
    """The API, which remembers its requests."""

    requests: list[Request]

    def answer(self, headers: Mapping[str, str], request: Request) -> tuple[str, dict[str, Any]]:
        """Answer a request."""
        self.requests.append(request)
        return super().answer(headers, request)


class Double:
    """A running double: its zones, log, faults and tokens."""

    def __init__(self, plans: Mapping[str, str]) -> None:
        self.log: list[str] = []
        self.order = Order("none", 0)
        self.grants = {TOKEN: tokens.Grant("full", tokens.ALL)}
        self.published: list[tuple[str, int, int]] = []
        self.zones = Zones(dict(plans), lambda zone, went, came: self.published.append((zone, len(went), len(came))))
        # The requests that were answered, with their bodies.
        self.requests: list[Request] = []
        api = Recorded(self.zones, lambda: self.grants)
        api.requests = self.requests
        handler = server.handler(api, Faults(lambda _client: self.order), self.log, patience=1.5)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}/client/v4"

    def fail(self, text: str) -> None:
        """Set the fault, in the form of sandbox.py's `fault`."""
        self.order = Order(text, self.order.stamp + 1)

    def grant(self, *permissions: str, **more: Any) -> str:
        """Return a token with only these permissions."""
        prefix = "cfat_" if more.get("owner") == "account" else ""
        token = f"{prefix}canary-of-a-token-number-{len(self.grants):010d}"
        self.grants[token] = tokens.Grant(f"limited-{len(self.grants)}", frozenset(permissions), **more)
        return token

    def records(self, zone: str = "example.test") -> list[dict[str, Any]]:
        """Return the records of a zone, sorted by name."""
        return sorted(self.zones.records(zone).values(), key=lambda row: (row["name"], row["type"], row["content"]))

    def add(self, **record: Any) -> None:
        """Add a record of another owner."""
        self.zones.batch("example.test", {"posts": [record]})

    def manage(self, product: str, **record: Any) -> None:
        """Add a record that another product of Cloudflare manages; it cannot be changed."""
        [added] = self.zones.batch("example.test", {"posts": [record]})["posts"]
        added["meta"] = {"read_only": True, product: True}

    def writes(self) -> list[str]:
        """Return the calls that could have changed something."""
        return [line for line in self.log if line.split()[1] != "GET"]


@contextlib.contextmanager
def running(plans: Mapping[str, str] = MappingProxyType(PLANS)) -> Iterator[Double]:
    """Run a double with these zones."""
    double = Double(plans)
    thread = threading.Thread(target=double.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.http.shutdown()
        double.http.server_close()


def faulty(monkeypatch: pytest.MonkeyPatch, double: Double, text: str) -> list[float]:
    """Set the fault without real delays; return the list of the delays from now on."""
    clock: list[float] = []
    monkeypatch.setattr(client, "Session", functools.partial(client.Session, sleep=clock.append))
    monkeypatch.setattr(double.http.RequestHandlerClass, "patience", 0.01)
    double.log.clear()
    double.fail(text)
    return clock


def run(module: ModuleType, capsys: pytest.CaptureFixture[str], double: Double, **options: Any) -> dict[str, Any]:
    """Execute a module and return its answer."""
    basic._ANSIBLE_ARGS = None
    arguments = {"token": TOKEN, "endpoint": double.endpoint, **options}
    with patch_module_args(arguments), contextlib.suppress(SystemExit):
        module.main()
    output = capsys.readouterr()
    assert arguments["token"] not in output.out.replace('"token": "VALUE', "") + output.err
    answer: dict[str, Any] = json.loads(output.out)
    return answer
