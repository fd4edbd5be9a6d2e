"""Outgoing connections that mailcow's resolver needs."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import outgoing, settings, stack


@pytest.mark.parametrize(
    ("pinged", "asked", "problem"),
    [
        (outgoing.PINGED, outgoing.ROOT_SERVERS, ""),
        (outgoing.PINGED[:2], outgoing.ROOT_SERVERS[:1], ""),
        (outgoing.PINGED[:1], outgoing.ROOT_SERVERS, "needs outgoing ICMP. Open it, or set SKIP_UNBOUND_HEALTHCHECK"),
        (outgoing.PINGED, (), "needs outgoing DNS, port 53"),
    ],
)
def test_blocked_protocol_is_named(pinged: tuple[str, ...], asked: tuple[str, ...], problem: str) -> None:
    found = outgoing.find_problem(pinged.__contains__, asked.__contains__)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize("reply", [outgoing.QUERY[:2], b"xx"])
def test_name_server_must_answer_to_the_query(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(outgoing, "DNS_PORT", server.getsockname()[1])

        def serve() -> None:
            query, client = server.recvfrom(512)
            assert query == outgoing.QUERY
            server.sendto(reply, client)

        threading.Thread(target=serve, daemon=True).start()
        assert outgoing.answers("127.0.0.1") == (reply == outgoing.QUERY[:2])


@pytest.mark.parametrize(("skipped", "refused"), [("y", False), ("n", True)])
def test_closed_network_is_refused_before_the_installation(
    monkeypatch: pytest.MonkeyPatch, skipped: str, refused: bool
) -> None:
    config = settings.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)
    monkeypatch.setattr(stack, "read_conf", lambda _config: {"SKIP_UNBOUND_HEALTHCHECK": skipped})
    monkeypatch.setattr(stack, "refuse_other_release", lambda _config: None)
    monkeypatch.setattr(stack, "release", lambda _config: "")
    monkeypatch.setattr(outgoing, "find_problem", lambda: "needs outgoing DNS")
    if refused:
        with pytest.raises(settings.Problem, match="needs outgoing DNS"):
            stack.check(config)
    else:
        stack.check(config)
