"""The role's program prevents a second primary; stubs replace PostgreSQL's programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import collection, templates

ROLE = collection.ROOT / "roles/postgresql"
CASES = templates.load_cases(ROLE, collection.ROOT)
PEER, SELF = "192.0.2.1", "2001:db8::1"
CONTROL = "Database system identifier:           7\nLatest checkpoint's TimeLineID:       {timeline}\n"
STUBS = {
    "setpriv": 'shift 3; exec "$@"',
    "sleep": "",
    "systemctl": 'echo "$@" >>"$PLACE/systemctl"',
    "pg_controldata": 'cat "$PLACE/control"',
    # One file with an answer per address of a peer, and one for the server on this host, which has no address here.
    "psql": (
        'case "$*" in *pg_walfile_name*) file=here ;; '
        '*) file=$(echo "$*" | sed "s/.* host=\\([^ ]*\\).*/\\1/") ;; esac; cat "$PLACE/$file"'
    ),
}


class Host:
    """A host below a directory, with the answers of its servers."""

    def __init__(self, place: Path) -> None:
        self.place, self.data = place, place / "data"
        self.data.mkdir()
        (place / "bin").mkdir()
        for name, code in STUBS.items():
            (place / "bin" / name).write_text(f"#!/bin/sh\n{code}\n")
            (place / "bin" / name).chmod(0o755)
        text = dict(templates.render_templates(ROLE, CASES["described"]))["vise-postgresql.j2"]
        for old, new in {
            "/usr/lib/postgresql/17/bin": place / "bin",
            "/var/lib/postgresql/17/main": self.data,
            "/etc/vise/postgresql-17-main.fenced": place / "fenced",
        }.items():
            text = text.replace(old, str(new))
        (place / "program").write_text(text)

    def run(self, verb: str, own: int, answers: dict[str, str], live: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the program, with the timeline of the files, the others' answers, and the running server's timeline."""
        (self.place / "control").write_text(CONTROL.format(timeline=own))
        for address, answer in answers.items():
            (self.place / address).write_text(answer)
        (self.place / "here").write_text(f"{live:08X}\n" if live else "")
        environment = {"PLACE": str(self.place), "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}"}
        command = ["sh", str(self.place / "program"), verb]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def fence(self) -> str:
        path = self.place / "fenced"
        return path.read_text() if path.exists() else ""

    @property
    def stopped(self) -> bool:
        return (self.place / "systemctl").exists()


def primary(timeline: int, system: int = 7) -> str:
    return f"{system}|{timeline}|0/3000060|\noff\n"


@pytest.fixture(name="machine")
def fixture_machine(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("answer", "starts", "fenced"),
    [
        ("", True, False),
        (primary(3).replace("off", "on"), True, False),
        (primary(3, system=8), True, False),
        # The other server is on an older timeline: it must not prevent this one from starting.
        (primary(1), True, False),
        (primary(2), False, False),
        (primary(3), False, True),
    ],
)
def test_primary_starts_unless_a_peer_is_on_its_timeline_or_later(
    machine: Host, answer: str, starts: bool, fenced: bool
) -> None:
    done = machine.run("guard", 2, {PEER: answer})
    assert (done.returncode == 0) is starts, done.stderr
    assert bool(machine.fence) is fenced


def test_refusal_names_the_primary(machine: Host) -> None:
    message = machine.run("guard", 1, {PEER: primary(2)}).stderr
    assert message.endswith(
        f"{PEER} is primary of this cluster on timeline 2; this host is on timeline 1 and must not serve\n"
    )
    assert machine.fence == f"{PEER} was promoted, to timeline 2\n"


def test_fence_keeps_its_reason(machine: Host) -> None:
    (machine.place / "fenced").write_text("db-2 was promoted in its place\n")
    assert machine.run("guard", 1, {PEER: primary(2)}).returncode == 1
    assert machine.fence == "db-2 was promoted in its place\n"


def test_standby_starts_next_to_its_primary(machine: Host) -> None:
    (machine.data / "standby.signal").touch()
    assert machine.run("guard", 1, {PEER: primary(2)}).returncode == 0


@pytest.mark.parametrize(
    ("live", "answers", "stops"),
    [
        (1, {PEER: primary(2)}, True),
        (1, {PEER: primary(1)}, False),
        (1, {PEER: ""}, False),
        # Timelines are hexadecimal, as in the names of WAL files.
        (10, {PEER: primary(9)}, False),
        (10, {PEER: primary(11)}, True),
        # Just promoted: its control file still has the previous timeline.
        (2, {PEER: primary(1), SELF: primary(2)}, False),
        # A standby, or a server that does not answer.
        (0, {PEER: primary(2)}, False),
    ],
)
def test_running_primary_yields_to_a_promoted_peer(
    machine: Host, live: int, answers: dict[str, str], stops: bool
) -> None:
    done = machine.run("yield", 1, answers, live)
    assert done.returncode == 0, done.stderr
    assert (machine.stopped, bool(machine.fence)) == (stops, stops)


def test_only_a_server_with_peers_queries_them_repeatedly() -> None:
    drop_ins = [
        dict(templates.render_templates(ROLE, CASES[case]))["postgresql.service.conf.j2"]
        for case in ("described", "defaults")
    ]
    assert ["yield" in text for text in drop_ins] == [True, False]
