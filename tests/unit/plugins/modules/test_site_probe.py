"""Asking for sites: what counts as failed."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import site_probe

URL = "https://docs.vln.test/"
PARAMS: dict[str, Any] = {"addresses": ["192.0.2.1"], "timeout": 1, "status": 200}


def answering(monkeypatch: pytest.MonkeyPatch, answer: int | Exception) -> dict[str, Any]:
    def ask(*_arguments: Any) -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(site_probe, "ask", ask)
    found: dict[str, Any] = site_probe.probe(URL, "192.0.2.1", site_probe.trust(""), PARAMS)
    return found


@pytest.mark.parametrize(
    ("answer", "problem", "skipped"),
    [
        (200, "", False),
        (404, "status 404 in place of 200", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "ConnectionRefusedError: [Errno 111] refused", False),
        (OSError(errno.ENETUNREACH, "no way"), "OSError: [Errno 101] no way", True),
    ],
)
def test_probe_tells_what_came(
    monkeypatch: pytest.MonkeyPatch, answer: int | Exception, problem: str, skipped: bool
) -> None:
    found = answering(monkeypatch, answer)
    assert (found["problem"], found["skipped"]) == (problem, skipped)


def probed(address: str, problem: str = "", skipped: bool = False) -> dict[str, Any]:
    return {"url": URL, "address": address, "problem": problem, "skipped": skipped, "status": 0}


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ([], []),
        ([probed("192.0.2.1")], []),
        ([probed("192.0.2.1"), probed("2001:db8::1", "no way", skipped=True)], []),
        (
            [probed("192.0.2.1", "refused"), probed("192.0.2.2", "expired")],
            [f"{URL} at 192.0.2.1: refused", f"{URL} at 192.0.2.2: expired"],
        ),
        ([probed("2001:db8::1", "no way", skipped=True)], ["no address could be reached from here: 2001:db8::1"]),
    ],
)
def test_everything_that_failed_is_told(probes: list[dict[str, Any]], expected: list[str]) -> None:
    assert site_probe.complaints(probes) == expected
