from __future__ import annotations

import os
import types
from pathlib import Path
from typing import Any

import pytest

from tools import collection, templates

NAME = "nginx-cloudflare-ranges.j2"


@pytest.fixture
def program(tmp_path: Path) -> types.ModuleType:
    """The program as the role renders it, in a temporary directory."""
    role = collection.ROOT / "roles/nginx"
    rendered = dict(templates.render_templates(role, templates.load_cases(role, collection.ROOT)["defaults"]))
    module = types.ModuleType("ranges")
    exec(compile(rendered[NAME], NAME, "exec"), module.__dict__)  # noqa: S102 # the template is what is tested
    vars(module)["FOLDER"] = tmp_path
    return module


@pytest.fixture
def commands(program: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The recorded commands of the program; none of them is executed."""
    ran: list[list[str]] = []
    monkeypatch.setattr(program.subprocess, "run", lambda argv, **_: ran.append(argv))
    return ran


def answers(program: types.ModuleType, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    monkeypatch.setattr(program, "download", lambda url: texts[url])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("198.51.100.0/24\n\n# why\n2001:db8::/32\n", ["198.51.100.0/24", "2001:db8::/32"]),
        ("198.51.100.1\n", ["198.51.100.1/32"]),
    ],
)
def test_each_line_is_a_range(program: types.ModuleType, text: str, expected: list[str]) -> None:
    assert program.parse_ranges(text) == expected


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "<html>", "198.51.100.7/24", "1.2.3.0/24 1;", "0.0.0.0/0", "2000::/3", "1.2.3.4/33"]
)
def test_any_other_line_is_an_error(program: types.ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        program.parse_ranges(text)


def test_ranges_are_rendered_for_nginx(program: types.ModuleType) -> None:
    assert program.render_ranges(["198.51.100.0/24"]) == (
        "set_real_ip_from 198.51.100.0/24;\n"
        "geo $realip_remote_addr $from_cloudflare {\n    default 0;\n    198.51.100.0/24 1;\n}\n"
    )


@pytest.mark.parametrize(("age", "expected"), [(None, "198.51.100.0/24"), (-10, "198.51.100.0/24"), (10, "fetched")])
def test_newer_list_is_the_one_in_use(
    program: types.ModuleType, tmp_path: Path, age: int | None, expected: str
) -> None:
    shipped, used = tmp_path / "shipped.txt", tmp_path / "ranges.conf"
    shipped.write_text("198.51.100.0/24\n")
    if age is not None:
        used.write_text("fetched")
        os.utime(used, (shipped.stat().st_mtime + age,) * 2)
    assert program.main(["seed"]) == 0
    assert expected in used.read_text()


def test_new_ranges_are_switched_and_reloaded(
    program: types.ModuleType, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ranges.conf").write_text("old")
    answers(program, monkeypatch, v4="198.51.100.0/24", v6="2001:db8::/32")
    assert program.main(["refresh", "v4", "v6"]) == 0
    assert (tmp_path / "ranges.conf").read_text() == program.render_ranges(["198.51.100.0/24", "2001:db8::/32"])
    assert commands == [["nginx", "-t", "-q"], ["systemctl", "reload", "nginx.service"]]


def test_same_ranges_change_nothing(
    program: types.ModuleType, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ranges.conf").write_text(program.render_ranges(["198.51.100.0/24"]))
    answers(program, monkeypatch, v4="198.51.100.0/24")
    assert program.main(["refresh", "v4"]) == 0
    assert commands == []


@pytest.mark.parametrize("second", ["", "<html>", "::/0"])
def test_one_invalid_list_rejects_both(
    program: types.ModuleType,
    tmp_path: Path,
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    second: str,
) -> None:
    (tmp_path / "ranges.conf").write_text("old")
    answers(program, monkeypatch, v4="198.51.100.0/24", v6=second)
    assert program.main(["refresh", "v4", "v6"]) == 1
    assert (tmp_path / "ranges.conf").read_text() == "old"
    assert commands == []


def test_file_is_restored_when_nginx_rejects_it(
    program: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(argv: list[str], **_: Any) -> None:
        raise program.subprocess.CalledProcessError(1, argv)

    (tmp_path / "ranges.conf").write_text("old")
    answers(program, monkeypatch, v4="198.51.100.0/24")
    monkeypatch.setattr(program.subprocess, "run", refuse)
    assert program.main(["refresh", "v4"]) == 1
    assert (tmp_path / "ranges.conf").read_text() == "old"


@pytest.mark.parametrize("refused", [["nginx", "-t", "-q"], ["systemctl", "reload", "nginx.service"]])
@pytest.mark.parametrize("killed", [False, True])
def test_next_run_completes_a_failed_or_killed_run(
    program: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str], killed: bool
) -> None:
    ran: list[list[str]] = []

    def refuse(argv: list[str], **_: Any) -> None:
        ran.append(argv)
        if argv == refused:
            raise program.subprocess.CalledProcessError(1, argv)

    (tmp_path / "ranges.conf").write_text("old")
    answers(program, monkeypatch, v4="198.51.100.0/24")
    if killed:
        # Killed between the replacement of the files and the validation
        (tmp_path / "ranges.loaded").write_text("old")
        (tmp_path / "ranges.conf").write_text(program.render_ranges(["198.51.100.0/24"]))
    with monkeypatch.context() as patch:
        patch.setattr(program.subprocess, "run", refuse)
        assert program.main(["refresh", "v4"]) == 1
    assert ((tmp_path / "ranges.conf").read_text() == "old") == (refused[0] == "nginx")
    monkeypatch.setattr(program.subprocess, "run", lambda argv, **_: ran.append(argv))
    ran.clear()
    assert program.main(["refresh", "v4"]) == 0
    assert ran == [["nginx", "-t", "-q"], ["systemctl", "reload", "nginx.service"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranges.conf"]
