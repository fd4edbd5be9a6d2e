"""A file is of others unless its package shipped it like this, or the collection has rendered it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import origins

SHIPPED = "shipped by the package"
MD5 = hashlib.md5(SHIPPED.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHIPPED, False),
        (f"{SHIPPED}\nchanged", True),
        ("", True),
        (f"#!/bin/sh\n# {origins.MANAGED}\n", False),
        # Another project's files that Ansible has rendered are of others.
        ("# Ansible managed\n", True),
        ("\n" * 9 + origins.MANAGED, True),
    ],
)
def test_file_is_of_others_unless_its_content_proves_the_contrary(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "a").write_text(text)
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        assert origins.is_foreign(str(tmp_path / name), str(tmp_path), {"/a": MD5}) is expected


def test_broken_link_is_of_others(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    assert origins.is_foreign(str(tmp_path / "link"), str(tmp_path), {})
    assert not origins.is_foreign(str(tmp_path / "gone"), str(tmp_path), {})


def test_sums_come_from_conffiles_ucf_and_the_lists_of_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hashfile").write_text(f"{MD5}  /etc/chrony/chrony.conf\n")
    (tmp_path / "libc6:amd64.md5sums").write_text(f"{MD5}  usr/lib/demo.conf\n{MD5}  usr/lib/other\n")
    outputs = {
        "--show": f" /etc/a.conf {MD5}\n /etc/b.conf {MD5} obsolete\n",
        "--search": "libc6:amd64: /usr/lib/demo.conf\ndiversion by x from: /usr/lib/y\nno-list: /opt/z\n",
    }
    monkeypatch.setattr(origins, "run", lambda *argv: outputs[argv[1]])
    monkeypatch.setattr(origins, "UCF", str(tmp_path / "hashfile"))
    monkeypatch.setattr(origins, "PACKAGES", str(tmp_path))
    paths = ["/etc/a.conf", "/etc/b.conf", "/etc/chrony/chrony.conf"]
    assert origins.read_shipped(["/etc/a.conf"]) == dict.fromkeys(paths, MD5)
    assert origins.read_shipped(["/usr/lib/demo.conf"]) == dict.fromkeys([*paths, "/usr/lib/demo.conf"], MD5)
