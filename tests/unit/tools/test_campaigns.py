"""What campaigns choose and count; the faults themselves are theirs to inject."""

from __future__ import annotations

import signal
import subprocess
import uuid
from itertools import accumulate, pairwise
from typing import Any

import pytest

from tests.e2e import converge
from tests.runs import Run
from tools.campaigns import corruption, drills, kills, lab, reboots, runs

SET = "/x/pgbackrest/backup/main/20260301-013000F"
WAL = "/x/pgbackrest/archive/main/17-1/0000000100000000/0000000100000000000000{}-" + 40 * "a" + ".zst"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"{SET}/bundle/1", "set"),
        (f"{SET}/pg_data/base/1/1.zst", "set"),
        (f"{SET}/pg_data/tablespace_map.zst", ""),
        (f"{SET}/backup.manifest", ""),
        (f"{SET.replace('0301', '0201')}/bundle/1", ""),
        (WAL.format("05"), "WAL"),
        (WAL.format("02"), ""),
        (WAL.format("09"), ""),
    ],
)
def test_only_what_the_newest_set_needs_is_damaged(path: str, kind: str) -> None:
    needs = ("20260301-013000F", "000000010000000000000003", "000000010000000000000009")
    assert corruption.pgbackrest_kind(path, *needs) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/ab/abcd", "pack"),
        ("index/1", "index"),
        ("snapshots/new", "snapshot"),
        ("snapshots/old", ""),
        ("locks/1", ""),
    ],
)
def test_only_what_the_newest_snapshots_need_is_damaged(path: str, kind: str) -> None:
    assert corruption.restic_kind(f"/x/restic/{path}", ["new"]) == kind


def test_damages_take_turns_and_follow_the_seed() -> None:
    objects = [("restic", kind, f"/{kind}/{n}") for kind in ("pack", "index") for n in range(9)]
    found = corruption.chosen(objects, 12, seed=5)
    assert found == corruption.chosen(objects, 12, seed=5) != corruption.chosen(objects, 12, seed=6)
    assert len({(one.kind, one.how) for one in found}) == 6


def test_table_counts_tries_and_what_was_missed() -> None:
    tries = [(("restic", "pack"), True), (("restic", "pack"), False), (("restic", "index"), True)]
    rows = lab.counted(tries)
    assert rows == [["restic", "index", 1, 1], ["restic", "pack", 2, 1], ["all", "", 3, 2]]
    text = lab.table(lab.Result("corruption", 7, ("tool", "object", "tried", "detected"), rows, ["not detected: x"]))
    assert "| restic | pack | 2 | 1 |" in text
    assert "- not detected: x" in text


@pytest.mark.parametrize(
    ("milliseconds", "acknowledged", "lost", "failures"),
    [
        ([900, 2100, 1500], 1000, 0, []),
        ([900], 10, 1, ["1 acknowledged rows are lost"]),
        ([], 10, 0, ["nothing was killed"]),
        ([900], 0, 0, ["nobody wrote"]),
    ],
)
def test_kills_count_when_something_was_killed_and_written(
    milliseconds: list[int], acknowledged: int, lost: int, failures: list[str]
) -> None:
    assert list(kills.result(milliseconds, acknowledged, lost, 1).failures) == failures


def test_kills_tell_how_long_nobody_could_write() -> None:
    assert list(kills.result([900, 2100, 1500], 1000, 0, 1).rows) == [[3, "1.5", "2.1", 1000, 0]]


def test_boots_are_told_by_kind_and_only_healthy_ones_count() -> None:
    tries = [("reboot", 20.0, True), ("power cut", 15.0, True), ("reboot", 120.4, False), ("reboot", 18.0, True)]
    found = reboots.result(tries, ["boot 3, reboot: x is missing"], seed=1)
    assert list(found.rows) == [["power cut", 1, 1, "15", "15"], ["reboot", 3, 2, "20", "120"]]
    assert found.failures


TASKS = {"baseline": 9, "data": 20, "smoke": 1}


def test_each_task_is_killed_once_when_there_are_as_many_tries() -> None:
    found = [(one.stage, one.task) for one in runs.chosen(TASKS, 30, seed=5)]
    assert found == [(stage, number) for stage, count in TASKS.items() for number in range(1, count + 1)]


@pytest.mark.parametrize("times", [1, 7, 29, 100])
def test_killed_tasks_are_spread_over_the_stages_and_follow_the_seed(times: int) -> None:
    found = runs.chosen(TASKS, times, seed=5)
    assert found == runs.chosen(TASKS, times, seed=5) != runs.chosen(TASKS, times, seed=6)
    assert all(1 <= one.task <= TASKS[one.stage] and 0 <= one.part < 1 for one in found)
    before = dict(zip(TASKS, accumulate([0, 9, 20]), strict=True))
    places = [before[one.stage] + one.task for one in found]
    assert len(places) == times
    assert max((later - place for place, later in pairwise(places)), default=0) <= -(-30 // times)


def test_stages_are_those_of_site_yml() -> None:
    assert {"preflight", "data", "mail", "smoke"} <= set(runs.stages())


OUTPUT = """
TASK [vise.platform.base : Validating arguments against arg spec 'main' - Right time] ***
ok: [host-1]

TASK [vise.platform.base : Keep the base of the system as wanted] ***
changed: [host-1]

TASK [vise.platform.ssh : Keep SSH to keys and modern algorithms] ***
ok: [host-1]

TASK [Publish DNS | Publish] ***
changed: [host-1 -> localhost] => (item=a)
changed: [host-1 -> localhost] => (item=b)
"""


def test_what_a_run_has_changed_is_told_by_roles_and_tasks() -> None:
    assert runs.changes(OUTPUT) == ["base", "Publish DNS | Publish"]


def test_tasks_on_hosts_are_counted_and_timed() -> None:
    found, said = runs.steps(iter(OUTPUT.splitlines(keepends=True)))
    assert [runs.short(step.name) for step in found] == ["base", "ssh", "Publish DNS | Publish"]
    assert all(step.seconds >= 0 for step in found)
    assert "".join(said) == OUTPUT


def test_hosts_are_compared_but_for_certificates_and_what_tools_keep_of_before() -> None:
    wanted = "\n".join(["1 /etc/vise/tls/docs/privkey.pem", "2 /etc/passwd", "3 /etc/passwd-", "4 /srv/sites/docs"])
    found = "\n".join(["9 /etc/vise/tls/docs/privkey.pem", "2 /etc/passwd", "9 /etc/passwd-", "5 /srv/sites/docs"])
    assert runs.unlike(runs.steady(wanted), runs.steady(wanted)) == []
    assert runs.unlike(runs.steady(wanted), runs.steady(found)) == ["-4 /srv/sites/docs", "+5 /srv/sites/docs"]


def test_killed_is_everything_that_a_run_has_started() -> None:
    mark = f"VISE_TEST={uuid.uuid4().hex}"
    script = "setsid sleep 60 & setsid sh -c 'sleep 60 & echo begun; wait'"
    child = subprocess.Popen(["env", mark, "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    converge.kill(mark)
    assert child.wait() == -signal.SIGKILL
    # All of them had it open.
    assert child.stdout.read() == ""


REPORT = {"began": 1000.0, "ended": 1240.4, "found": {"newest": 969.0}}


@pytest.mark.parametrize(
    ("report", "run", "row", "wrong"),
    [
        (REPORT, Run(0, "drill passed: RPO 31 s"), [3, "31", "240", "passed"], []),
        (
            {**REPORT, "found": {}},
            Run(2, "msg: drill FAILED: the stage `edge` failed\nmore"),
            [3, "", "240", "FAILED"],
            ["drill FAILED: the stage `edge` failed"],
        ),
        ({**REPORT, "ended": None}, Run(4, "no such host"), [3, "31", "", "FAILED"], ["no such host"]),
    ],
)
def test_drill_is_told_by_its_report(report: dict[str, Any], run: Run, row: list[object], wrong: list[str]) -> None:
    assert drills.told(3, report, run) == (row, wrong)


def test_drills_are_summed_up_by_the_most_that_they_took() -> None:
    rows: list[list[object]] = [[1, "9", "240", "passed", "yes"], [2, "31", "98", "FAILED", ""]]
    found = drills.result(rows, ["drill 2: why"], 1)
    assert found.rows[-1] == ["at most", "31", "240", "1 of 2", ""]
