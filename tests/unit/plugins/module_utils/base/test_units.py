"""Timers and services as systemd has loaded them."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import units
from ansible_collections.vise.platform.plugins.module_utils.host import programs

TIMER = "apt-daily-upgrade.timer"
MIDNIGHT = "*-*-* 00:00:00 UTC"


class Host:
    """What systemd reports."""

    def __init__(self) -> None:
        self.calendars, self.drop_ins, self.load = [MIDNIGHT], "", "loaded"

    def call(self, argv: list[str], **_options: object) -> str:
        """Stand in for programs.call."""
        if argv[0] == "systemd-analyze":
            return f"  Original form: {argv[2]}\nNormalized form: {MIDNIGHT}\n"
        lines = [f"TimersCalendar={{ OnCalendar={one} ; next_elapse=(null) }}" for one in self.calendars]
        timer = "\n".join([*lines, f"Id={TIMER}", "LoadState=loaded", f"DropInPaths={self.drop_ins}"])
        services = [f"Id={name}\nLoadState={self.load}\nDropInPaths=" for name in units.SERVICES]
        return "\n\n".join([timer, *services]) + "\n"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    stand_in = Host()
    monkeypatch.setattr(programs, "call", stand_in.call)
    return stand_in


@pytest.mark.usefixtures("host")
def test_timer_with_the_wanted_moment_has_no_problem() -> None:
    assert units.find_live_problems({TIMER: "*-*-* 00:00 UTC"}) == []


@pytest.mark.parametrize(
    ("calendars", "shown"),
    [([MIDNIGHT, "*-*-* 06:00:00"], f"{MIDNIGHT}, *-*-* 06:00:00"), ([], "never"), (["weekly"], "weekly")],
)
def test_other_moment_is_a_problem_with_the_line_of_its_drop_in(
    host: Host, tmp_path: pathlib.Path, calendars: list[str], shown: str
) -> None:
    host.calendars, host.drop_ins = calendars, str(tmp_path / "zzz.conf")
    (tmp_path / "zzz.conf").write_text("[Timer]\nOnCalendar=\nOnCalendar=weekly\n")
    assert units.find_live_problems({TIMER: MIDNIGHT}) == [
        f"{TIMER} runs at {shown}, not at {MIDNIGHT}; {tmp_path}/zzz.conf:3 decides: remove that line"
    ]


def test_masked_service_of_a_timer_is_a_problem(host: Host) -> None:
    host.load = "masked"
    assert [text.partition(",")[0] for text in units.find_live_problems({TIMER: MIDNIGHT})] == [
        "apt-daily.service is masked",
        "apt-daily-upgrade.service is masked",
    ]
