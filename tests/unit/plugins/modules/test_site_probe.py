"""Requests of sites: which results count as failures."""

from __future__ import annotations

import errno
import ssl
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import site_probe

URL = "https://docs.vln.test/"
PARAMS: dict[str, Any] = {"addresses": ["192.0.2.1"], "timeout": 1, "status": 200}


def run_probe(monkeypatch: pytest.MonkeyPatch, answer: int | Exception) -> dict[str, Any]:
    def request_status(*_arguments: Any) -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(site_probe, "request_status", request_status)
    result: dict[str, Any] = site_probe.probe(URL, "192.0.2.1", site_probe.create_context(""), PARAMS)
    return result


@pytest.mark.parametrize(
    ("answer", "problem", "skipped"),
    [
        (200, "", False),
        (404, "status 404 instead of 200", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "ConnectionRefusedError: [Errno 111] refused", False),
        (OSError(errno.ENETUNREACH, "no way"), "OSError: [Errno 101] no way", True),
    ],
)
def test_probe_reports_problem_and_skip(
    monkeypatch: pytest.MonkeyPatch, answer: int | Exception, problem: str, skipped: bool
) -> None:
    result = run_probe(monkeypatch, answer)
    assert (result["problem"], result["skipped"]) == (problem, skipped)


@pytest.mark.parametrize(
    ("status", "problem"), [(200, ""), (302, ""), (401, ""), (502, "status 502 instead of one below 500")]
)
def test_each_status_below_500_is_permitted_on_request(
    monkeypatch: pytest.MonkeyPatch, status: int, problem: str
) -> None:
    monkeypatch.setitem(PARAMS, "status", 0)
    assert run_probe(monkeypatch, status)["problem"] == problem


def test_unknown_authority_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = 20
    assert run_probe(monkeypatch, error)["problem"].endswith("add its root certificate to smoke_ca")
    error.verify_code = 10  # expired
    assert "smoke_ca" not in run_probe(monkeypatch, error)["problem"]


def make_result(address: str, problem: str = "", skipped: bool = False) -> dict[str, Any]:
    return {"url": URL, "address": address, "problem": problem, "skipped": skipped, "status": 0}


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ([], []),
        ([make_result("192.0.2.1")], []),
        ([make_result("192.0.2.1"), make_result("2001:db8::1", "no way", skipped=True)], []),
        (
            [make_result("192.0.2.1", "refused"), make_result("192.0.2.2", "expired")],
            [f"{URL} at 192.0.2.1: refused", f"{URL} at 192.0.2.2: expired"],
        ),
        (
            [make_result("2001:db8::1", "no way", skipped=True)],
            ["this machine has no route to any address: 2001:db8::1"],
        ),
    ],
)
def test_every_failure_is_reported(probes: list[dict[str, Any]], expected: list[str]) -> None:
    assert site_probe.describe_failures(probes) == expected
