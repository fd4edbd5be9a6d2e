"""journald's effective settings and limit."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import journald
from ansible_collections.vise.platform.plugins.module_utils.host import programs

WANTED = {"Storage": "persistent", "SystemMaxUse": "500M"}
MOUNTS = """\
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 21 0:25 / /var/log rw - {}
"""


def limit(name: str, size: int) -> str:
    return json.dumps({"JOURNAL_NAME": name, "MAX_USE": str(size)})


class Host:
    """What the programs of a host print."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.journal = folder, limit("System Journal", 500 * 1024**2)
        self.write("10-other.conf", "[Journal]\nStorage=volatile\nSystemMaxUse=1G\n")
        self.write("zz-vise.conf", "[Journal]\nStorage=persistent\nSystemMaxUse=500M\n")

    def write(self, name: str, text: str) -> None:
        """Write a drop-in."""
        (self.folder / name).write_text(text)

    def run(self, argv: list[str], **_options: t.Any) -> programs.Result:
        """Stand in for programs.run."""
        if argv[0] == "journalctl":
            return programs.Result(0, self.journal)
        paths = sorted(self.folder.iterdir(), key=lambda path: path.name)
        return programs.Result(0, "\n".join(f"# {path}\n{path.read_text()}" for path in paths))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Host:
    stand_in = Host(tmp_path)
    monkeypatch.setattr(programs, "run", stand_in.run)
    monkeypatch.setattr(journald, "find_filesystem", lambda _path, _mounts: "ext4")
    return stand_in


@pytest.mark.usefixtures("host")
def test_own_file_that_is_read_last_decides() -> None:
    assert journald.find_problems(WANTED) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Journal]\n# none\nStorage = none\n", "Storage is none, not persistent; {}/zzz.conf:3 decides"),
        ("[Journal]\nSystemMaxUse=8G\nSystemMaxUse=\n", "SystemMaxUse is not set, not 500M; {}/zzz.conf:3 decides"),
        ("[Journal]\nRateLimitBurst=0\n#Storage=none\n", ""),
    ],
)
def test_later_file_is_a_problem_with_its_line(host: Host, tmp_path: pathlib.Path, text: str, problem: str) -> None:
    host.write("zzz.conf", text)
    found = "\n".join(journald.find_problems(WANTED))
    assert problem.format(tmp_path) in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("journal", "problem"),
    [
        pytest.param(limit("System Journal", 500 * 1024**2), "", id="the wanted limit"),
        pytest.param(
            limit("System Journal", 4 * 1024**3), "journald is 4294967296 bytes, not 524288000", id="its default"
        ),
        pytest.param(limit("Runtime Journal", 64 * 1024**2), "keeps only the Runtime Journal in memory", id="volatile"),
        pytest.param("", "", id="the message was removed"),
    ],
)
def test_running_journald_has_the_wanted_limit(host: Host, journal: str, problem: str) -> None:
    host.journal = journal
    found = "\n".join(journald.find_live_problems(WANTED))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("mount", "filesystem"),
    [("tmpfs tmpfs rw", "tmpfs"), ("ext4 /dev/zram1 rw", "/dev/zram1"), ("ext4 /dev/sdb rw", "ext4")],
)
def test_file_system_is_that_of_the_nearest_mount(mount: str, filesystem: str) -> None:
    assert journald.find_filesystem("/var/log/journal", MOUNTS.format(mount)) == filesystem


@pytest.mark.parametrize("filesystem", ["tmpfs", "/dev/zram1"])
@pytest.mark.usefixtures("host")
def test_journal_in_memory_is_a_problem(monkeypatch: pytest.MonkeyPatch, filesystem: str) -> None:
    monkeypatch.setattr(journald, "find_filesystem", lambda _path, _mounts: filesystem)
    assert f"located in memory ({filesystem})" in "\n".join(journald.find_problems(WANTED))


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 1024**2), (1024**2 + 1, 1024**2 + 4096), (2 * 1024**2, 2 * 1024**2)]
)
def test_limit_is_rounded_as_journald_does(size: int, expected: int) -> None:
    assert journald.limit_of(size) == expected
