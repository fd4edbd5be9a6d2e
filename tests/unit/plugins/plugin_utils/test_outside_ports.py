"""Ports of a host are compared by what they answer to the controller."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import outside_ports
from ansible_collections.vise.platform.plugins.plugin_utils.outside_ports import ACCEPTED, REFUSED, SILENT


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A program that listens at a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_answers_of_a_program_and_of_the_kernel_differ(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    assert outside_ports.probe("127.0.0.1", [port, closed, port]) == {port: ACCEPTED, closed: REFUSED}


@pytest.mark.parametrize(("address", "ports"), [("", [22]), ("127.0.0.1", [])])
def test_nothing_is_probed_without_an_address_or_a_port(address: str, ports: list[int]) -> None:
    assert outside_ports.probe(address, ports) == {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({443: ACCEPTED}, [{443: ACCEPTED}], []),
        ({443: ACCEPTED, 80: ACCEPTED}, [{443: SILENT, 80: SILENT}, {443: ACCEPTED, 80: SILENT}], [80]),
        ({443: ACCEPTED}, [{443: REFUSED}], [443]),
        ({443: REFUSED}, [{443: ACCEPTED}], []),
        ({443: REFUSED}, [{443: SILENT}], [443]),
        ({25: SILENT}, [{25: SILENT}], []),
    ],
)
def test_only_a_port_that_answered_before_can_be_lost(
    monkeypatch: pytest.MonkeyPatch, before: dict[int, int], after: list[dict[int, int]], expected: list[int]
) -> None:
    answers = iter([*after, *[after[-1]] * outside_ports.ATTEMPTS])
    monkeypatch.setattr(outside_ports, "PAUSE", 0)
    monkeypatch.setattr(outside_ports, "probe", lambda _address, _ports: next(answers))
    assert outside_ports.find_lost("192.0.2.1", before) == expected
