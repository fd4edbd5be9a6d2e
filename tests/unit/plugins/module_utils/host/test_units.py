"""Units of systemd, with a stub of systemctl that answers from a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs, units

Answer = Callable[[Sequence[str]], programs.Result]


def use(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> list[str]:
    """Let the stub answer; return the list of the commands that it gets."""
    calls: list[str] = []

    def run(argv: Sequence[str], **_options: object) -> programs.Result:
        calls.append(" ".join(argv))
        return answer(argv)

    monkeypatch.setattr(programs, "run", run)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return calls


def show(*states: tuple[str, str]) -> programs.Result:
    """Return the output of `systemctl show` for these pairs of state and job."""
    return programs.Result(0, "\n\n".join(f"Job={job}\nActiveState={state}" for state, job in states) + "\n")


def test_units_are_started_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = use(monkeypatch, lambda _argv: programs.Result(0, ""))
    units.start(["a.service", "b.service"])
    assert calls == ["systemctl start --no-block a.service", "systemctl start --no-block b.service"]


def test_unit_that_systemd_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda _argv: programs.Result(5, "", "Unit x.service not found."))
    with pytest.raises(programs.ProgramError, match=r"x\.service not found"):
        units.start(["x.service"])


@pytest.mark.parametrize(
    ("state", "job", "runs"),
    [("activating", "0", True), ("inactive", "17", True), ("inactive", "0", False), ("failed", "0", False)],
)
def test_running_and_queued_units_are_found(state: str, job: str, runs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda _argv: show(("inactive", "0"), (state, job)))
    assert units.find_running(["a", "b"]) == (["b"] if runs else [])


def test_no_unit_needs_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = use(monkeypatch, lambda _argv: show())
    assert units.wait_until_ended([], 60) == []
    assert calls == []


def test_wait_ends_with_the_last_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [show(("activating", "0")), show(("activating", "0")), show(("inactive", "0"))]
    calls = use(monkeypatch, lambda _argv: answers.pop(0))
    assert units.wait_until_ended(["a"], 60) == []
    assert len(calls) == 3


def test_wait_ends_after_its_limit_with_the_units_that_still_run(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda _argv: show(("activating", "0"), ("inactive", "0")))
    assert units.wait_until_ended(["a", "b"], 0) == ["a"]


def test_last_messages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda _argv: programs.Result(0, "first\n\nsecond\n"))
    assert units.read_last_messages("a.service") == "first | second"


def test_journal_is_read_after_journald_stored_all_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[str] = []

    def answer(argv: Sequence[str]) -> programs.Result:
        if "--sync" in argv:
            stored.append("why it failed")
        return programs.Result(0, "\n".join(stored))

    calls = use(monkeypatch, answer)
    assert units.read_journal("--unit=a.service") == "why it failed"
    assert calls[-1].endswith(" --unit=a.service")
