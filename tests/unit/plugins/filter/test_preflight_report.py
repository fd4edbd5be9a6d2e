"""The report has the problems of the hosts of the play that were validated."""

from __future__ import annotations

from ansible_collections.vise.platform.plugins.filter.preflight_report import FilterModule

preflight_report = FilterModule().filters()["preflight_report"]


def test_report_has_the_registered_problems_of_the_hosts_of_the_play() -> None:
    found = {"problems": [{"text": "x", "of_host": True}]}
    hostvars = {"a": {"found": found}, "b": {}, "c": {"found": found}}
    assert preflight_report(hostvars, ["a", "b"], "found") == "1 problem; nothing was changed\n- a: x"
