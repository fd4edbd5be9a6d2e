"""Commands of the host run with the caller's environment, and their failures are messages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import commands, settings

BINARY = b"INSERT INTO quarantine VALUES ('\xff\xfe\x80');\n"


def test_command_has_only_the_given_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy")
    text = 'echo "$HTTPS_PROXY$WORD $(umask) $(pwd) $(cat)"'
    out = commands.run(["sh", "-c", text], directory=tmp_path, stdin="in", WORD="s")
    assert out == f"s 0022 {tmp_path} in\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sh", "-c", "echo out; echo why >&2; exit 3"], r"`sh -c .*` failed \(exit 3\): why$"),
        (["sh", "-c", "echo out; exit 3"], r"\(exit 3\): out$"),
        (["no-such-program"], "no-such-program: program not found"),
    ],
)
def test_failed_command_is_a_problem(argv: list[str], message: str) -> None:
    with pytest.raises(settings.Problem, match=message):
        commands.run(argv)


def test_output_is_saved_for_root_only(tmp_path: Path) -> None:
    target = tmp_path / "dump"
    commands.save_output(["sh", "-c", 'printf "%s\\377" "$WORD"'], target, WORD="s")
    assert target.read_bytes() == b"s\xff"
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("stream", ["1", "2"])
def test_failure_of_a_saved_command_has_the_reason_of_either_output(tmp_path: Path, stream: str) -> None:
    with pytest.raises(settings.Problem, match=r"failed \(exit 4\): why"):
        commands.save_output(["sh", "-c", f"echo why >&{stream}; exit 4"], tmp_path / "dump")


def test_any_byte_of_a_file_reaches_the_command(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BINARY)
    commands.load_input(["sh", "-c", 'cat >"$TARGET"'], source, TARGET=str(target))
    assert target.read_bytes() == BINARY


def test_failure_of_a_loaded_command_is_a_problem() -> None:
    with pytest.raises(settings.Problem, match=r"failed \(exit 5\): why"):
        commands.load_input(["sh", "-c", "echo why >&2; exit 5"], Path(os.devnull))
