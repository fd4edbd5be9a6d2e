"""The first administrator of the web interface."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import administrator, settings, stack

CONFIG = settings.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)

SHIPPED = "{SSHA256}K8eVJ6YsZbQCfuJvSUbaQRLr0HPLz5rC9IAp0PAFl0tmNDBkMDc0NDAyOTAxN2Rk"


@pytest.mark.parametrize(
    ("stored", "right"),
    [
        # A test vector of bcrypt
        ("{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", True),
        ("{BLF-CRYPT}$2y$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa", False),
        ("{BLF-CRYPT}", False),
        ("{BLF-CRYPT}*0", False),
        ("{PLAIN}U*U", False),
        (SHIPPED, False),
    ],
)
def test_stored_hash_matches_only_its_password(stored: str, right: bool) -> None:
    assert administrator.matches(stored, "U*U") == right


@pytest.mark.parametrize(("stored", "done"), [("", False), (SHIPPED, True), ("described", False), ("another", True)])
def test_password_is_set_only_if_it_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: str, done: bool
) -> None:
    described = "a-Password-of-an-administrator"
    words = {"described": described, "another": "a-password-set-in-the-web-interface"}
    table = {"admin": administrator.hash_password(words[stored]) if stored in words else stored}
    (tmp_path / "password").write_text(f"{described}\n")
    monkeypatch.setattr(administrator, "PASSWORD", tmp_path / "password")
    monkeypatch.setattr(stack, "container_id", lambda _of, _service: "id")

    def sql(_of: object, statements: str) -> str:
        if statements.startswith("UPDATE"):
            assert described not in statements
            table["admin"] = statements.split("'")[1]
        return f"{table['admin']}\n"

    monkeypatch.setattr(stack, "run_sql", sql)
    before = table["admin"]
    expected = [administrator.SET] if done else []
    assert administrator.plan(CONFIG) == expected
    assert table["admin"] == before
    assert administrator.set_password(CONFIG) == expected
    assert administrator.set_password(CONFIG) == []
    assert (table["admin"] != before) == done


def test_password_is_not_planned_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "container_id", lambda _of, _service: "")
    assert administrator.plan(CONFIG) == []
