from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tools.bench import __main__ as bench

UNCHANGED = """
PLAY RECAP ***
a : ok=13   changed=0    unreachable=0    failed=0
"""
SUMMARY = """
--> Results:
    Operation                   Hosts   Success   Error   No Change
    files.link (path=/l)        2       {}         -       2
    Grand total                 329     {}         -       329
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (UNCHANGED, False),
        (UNCHANGED.replace("changed=0", "changed=12"), True),
        (SUMMARY.format("-", "-"), False),
        (SUMMARY.format("1", "1"), True),
    ],
)
def test_change_is_found_in_the_output_of_each_tool(output: str, expected: bool) -> None:
    assert bench.reports_change(output) is expected


def test_run_with_a_change_is_refused() -> None:
    with pytest.raises(SystemExit, match="plain tasks changed something"):
        bench.measure("plain tasks", lambda: UNCHANGED.replace("changed=0", "changed=1"))


def test_report_shows_counts_and_ratios_of_medians() -> None:
    seconds = {"site.yml": [5.0, 6.0, 90.0], "plain tasks": [60.0, 61.0, 58.0], "pyinfra": [12.0, 11.0, 13.0]}
    component: dict[str, Any] = {"host": "a", "component": {"name": "base"}, "seconds": 0.5}
    site = [component, {"host": "a", "component": None, "seconds": 1.25}]
    memory = dict.fromkeys(seconds, 123.4)
    text = bench.format_report(site, site, Counter({"a": 20}), seconds, memory)
    assert "  a: 2 executions, 1 without a counterpart took 1.2 s, 20 items" in text
    # ssh was executed twice, because its packages were missing.
    more = [{**component, "component": {"name": name}} for name in ("ssh", "nginx", "ssh")]
    text = bench.format_report(site, [*site, *more], Counter({"a": 20}), seconds, memory)
    assert "  a: 2 executions, 1 without a counterpart took 1.2 s, 2 components only surveyed, 20 items" in text
    assert "  site.yml 6.0 s (5.0 to 90.0), controller at most 123 MiB\n" in text
    assert "  plain tasks 60.0 s (58.0 to 61.0), ratio 0.10, controller" in text
    assert "  pyinfra 12.0 s (11.0 to 13.0), ratio 0.50, controller" in text


def test_peak_memory_counts_the_processes_below_a_command() -> None:
    program = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytes(range(256)) * 400_000; input()'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True) as child:
        end = time.monotonic() + 20
        while (memory := bench.memory_below(child.pid)) < 100 and time.monotonic() < end:
            time.sleep(0.05)
        child.communicate("\n")
    assert memory > 100


def test_command_that_fails_ends_the_benchmark_with_its_output() -> None:
    with pytest.raises(SystemExit, match="the reason"):
        bench.run_command(["sh", "-c", "echo the reason >&2; exit 3"])
