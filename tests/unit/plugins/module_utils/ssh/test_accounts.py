"""Keys of an account count only where sshd can read them and nobody else can change them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.ssh import accounts

ME = pwd.getpwuid(os.getuid())


@pytest.mark.parametrize(
    ("text", "expected"), [(None, False), ("", False), ("# x\n\n", False), ("# x\nssh-ed25519 A\n", True)]
)
def test_file_without_a_key_is_no_way_in(tmp_path: Path, text: str | None, expected: bool) -> None:
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    assert accounts.contains_key(str(path)) == expected


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "strict", "expected"),
    [
        (0o644, 0o755, True, ""),
        (0o664, 0o755, True, "another user can write to {}/keys"),
        (0o644, 0o777, True, "another user can write to {}"),
        (0o664, 0o777, False, ""),
    ],
)
def test_keys_that_others_can_change_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_mode: int, folder_mode: int, strict: bool, expected: str
) -> None:
    # Modes above the home directory do not count.
    home = pwd.struct_passwd((ME.pw_name, "x", ME.pw_uid, ME.pw_gid, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: home)
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "keys").write_text("ssh-ed25519 A\n")
    (folder / "keys").chmod(file_mode)
    folder.chmod(folder_mode)
    reason = accounts.explain_unusable_keys(ME.pw_name, ["%h/none", ".ssh/keys"], strict)
    assert (expected.format(folder) in reason, bool(reason)) == (True, bool(expected))
