"""The program that updates Cloudflare's ranges; nginx, systemctl and curl are stand-ins that note their calls."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.nginx import cloudflare_ranges as ranges

VALIDATE, RELOAD = ["nginx", "-t", "-q"], ["systemctl", "reload", "nginx.service"]
Answer = Callable[..., None]


class Nginx:
    """What the program runs: a server that loads the file at a reload, and rejects or ignores it on request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[list[str]] = []
        self.refused: list[str] = []
        self.deaf = False
        self.live = ""

    def run(self, argv: list[str], **_options: object) -> programs.Result:
        """Stand in for programs.run."""
        if argv[0] == "curl":
            return programs.Result(0, self.live)
        self.calls.append(argv)
        if argv == self.refused:
            return programs.Result(1, "", "refused")
        if argv == RELOAD and not self.deaf:
            self.live = (self.folder / "ranges.conf").read_text().split("default ")[-1].split(";")[0].strip('"') + "\n"
        return programs.Result(0, "")


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """A host with nginx and the settings of the role."""
    found = Nginx(tmp_path / "cloudflare")
    found.folder.mkdir()
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(ranges, "PATIENCE", 0)
    (tmp_path / "settings.json").write_text(json.dumps({"urls": ["v4", "v6"], "status_socket": "/run/s"}))
    settings = ranges.Settings.load(str(tmp_path / "settings.json"))
    vars(settings)["directory"] = str(found.folder)
    monkeypatch.setattr(ranges.Settings, "load", lambda: settings)
    return found


@pytest.fixture
def used(nginx: Nginx) -> Path:
    """The file in use."""
    path = nginx.folder / "ranges.conf"
    path.write_text("old")
    return path


def publish(monkeypatch: pytest.MonkeyPatch, v4: str = "198.51.100.0/24", v6: str = "2001:db8::/32") -> None:
    monkeypatch.setattr(ranges, "download", {"v4": v4, "v6": v6}.get)


NEW = ["198.51.100.0/24", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("198.51.100.0/24\n\n# why\n2001:db8::/32\n", ["198.51.100.0/24", "2001:db8::/32"]),
        ("198.51.100.1\n", ["198.51.100.1/32"]),
    ],
)
def test_each_line_is_a_range(text: str, expected: list[str]) -> None:
    assert ranges.parse_ranges(text) == expected


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "<html>", "198.51.100.7/24", "1.2.3.0/24 1;", "0.0.0.0/0", "2000::/3", "1.2.3.4/33"]
)
def test_any_other_line_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ranges.parse_ranges(text)


def test_ranges_are_rendered_for_nginx() -> None:
    assert ranges.render_ranges(["198.51.100.0/24"]) == (
        "set_real_ip_from 198.51.100.0/24;\n"
        "geo $realip_remote_addr $from_cloudflare {\n    default 0;\n    198.51.100.0/24 1;\n}\n"
        'map $host $cloudflare_ranges_digest {\n    default "9e6315b57545";\n}\n'
    )


FETCHED = "map $host $cloudflare_ranges_digest {} # fetched"


@pytest.mark.parametrize(
    ("age", "text", "expected"),
    [
        (None, "", "198.51.100.0/24"),
        (-10, FETCHED, "198.51.100.0/24"),
        (10, FETCHED, "fetched"),
        (10, "changed by hand", "198.51.100.0/24"),
    ],
)
def test_newer_list_is_the_one_in_use(nginx: Nginx, age: int | None, text: str, expected: str) -> None:
    shipped, path = nginx.folder / "shipped.txt", nginx.folder / "ranges.conf"
    shipped.write_text("198.51.100.0/24\n")
    if age is not None:
        path.write_text(text)
        os.utime(path, (shipped.stat().st_mtime + age,) * 2)
    assert ranges.main(["seed"]) == 0
    assert expected in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644


def test_new_ranges_are_switched_and_reloaded(nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch)
    assert ranges.main(["refresh"]) == 0
    assert used.read_text() == ranges.render_ranges(NEW)
    assert nginx.calls == [VALIDATE, RELOAD]
    assert [path.name for path in nginx.folder.iterdir()] == ["ranges.conf"]


def test_same_ranges_change_nothing(nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used.write_text(ranges.render_ranges(NEW))
    publish(monkeypatch)
    assert ranges.main(["refresh"]) == 0
    assert nginx.calls == []


@pytest.mark.parametrize("second", ["", "<html>", "::/0"])
def test_one_invalid_list_rejects_both(
    nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch, second: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, v6=second)
    assert ranges.main(["refresh"]) == 1
    assert used.read_text() == "old"
    assert nginx.calls == []
    assert capsys.readouterr().err.startswith("vise-cloudflare-ranges: ")


def test_file_is_restored_when_nginx_rejects_it(nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch)
    nginx.refused = VALIDATE
    assert ranges.main(["refresh"]) == 1
    assert used.read_text() == "old"


def test_reload_that_loads_nothing_is_a_failure_until_a_run_succeeds(
    nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch)
    nginx.deaf = True
    assert ranges.main(["refresh"]) == 1
    assert "nginx did not load the new ranges" in capsys.readouterr().err
    assert ranges.main(["refresh"]) == 1
    nginx.deaf = False
    assert ranges.main(["refresh"]) == 0
    assert used.read_text() == ranges.render_ranges(NEW)


@pytest.mark.parametrize("refused", [VALIDATE, RELOAD])
@pytest.mark.parametrize("killed", [False, True])
def test_next_run_completes_a_failed_or_killed_run(
    nginx: Nginx, used: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str], killed: bool
) -> None:
    publish(monkeypatch)
    if killed:
        # Killed between the replacement of the files and the validation.
        (nginx.folder / "ranges.loaded").write_text("old")
        used.write_text(ranges.render_ranges(NEW))
    nginx.refused = refused
    assert ranges.main(["refresh"]) == 1
    assert (used.read_text() == "old") == (refused == VALIDATE)
    nginx.refused = []
    nginx.calls.clear()
    assert ranges.main(["refresh"]) == 0
    assert nginx.calls == [VALIDATE, RELOAD]
    assert [path.name for path in nginx.folder.iterdir()] == ["ranges.conf"]


@pytest.mark.parametrize("arguments", [[], ["help"], ["seed", "more"]])
def test_usage_is_shown_for_other_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ranges.main(arguments) == 2
    assert "usage: vise-cloudflare-ranges seed" in capsys.readouterr().err


def test_missing_settings_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ranges.RangesError, match="run the role nginx on this host"):
        ranges.Settings.load(str(tmp_path / "gone.json"))
