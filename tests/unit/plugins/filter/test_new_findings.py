"""Findings after a change are compared with those before it."""

from __future__ import annotations

from typing import Any

from ansible_collections.vise.platform.plugins.filter.new_findings import FilterModule, new_findings


def status(*texts: str, note: bool = False) -> dict[str, Any]:
    findings = [{"service": "nginx", "text": text, "remedy": "look", "note": note} for text in texts]
    return {"status": {"findings": findings}}


def test_only_new_findings_are_returned() -> None:
    before = status("the last backup is 37 h old")
    assert new_findings(status("the last backup is 38 h old", "it is failed"), before) == ["nginx: it is failed; look"]
    assert new_findings(status(), before) == []
    assert new_findings(status("a note", note=True), before) == []


def test_status_that_cannot_be_read_is_a_finding() -> None:
    assert new_findings({"msg": "timed out"}, status()) == ["host: timed out; run status.yml on this host"]


def test_filter_is_known() -> None:
    assert list(FilterModule().filters()) == ["new_findings"]
