"""What the role gives mailcow to read, and the pure parts of its program."""

from __future__ import annotations

import importlib
import socket
import sys
import threading
import types
import typing as t
from pathlib import Path

import pytest
import yaml

from tools import collection, templates

ROLE = collection.ROOT / "roles/mailcow"
CASES = templates.cases(ROLE, collection.ROOT)


@pytest.fixture(scope="module", name="code")
def fixture_code() -> t.Iterator[types.SimpleNamespace]:
    sys.path.insert(0, str(ROLE / "files"))
    try:
        names = ("host", "stack", "administrator", "copies")
        yield types.SimpleNamespace(**{name: importlib.import_module(f"mailcow.{name}") for name in names})
    finally:
        sys.path.remove(str(ROLE / "files"))
        for name in [name for name in sys.modules if name == "mailcow" or name.startswith("mailcow.")]:
            del sys.modules[name]


def conf(code: types.SimpleNamespace, case: str) -> dict[str, str]:
    found: dict[str, str] = code.host.configuration(dict(templates.rendered(ROLE, CASES[case]))["mailcow.conf.j2"])
    return found


def test_only_mail_is_public(code: types.SimpleNamespace) -> None:
    values = conf(code, "defaults")
    public = {value for name, value in values.items() if name.endswith("_PORT") and "." not in value}
    assert public == {"25", "465", "587", "993", "4190", "8080", "8444"}
    assert (values["HTTP_BIND"], values["HTTPS_BIND"], values["HTTP_REDIRECT"]) == ("127.0.0.1", "127.0.0.1", "n")


@pytest.mark.parametrize(("case", "skipped"), [("defaults", ("y", "y")), ("every_setting", ("n", "n"))])
def test_memory_decides_what_runs(code: types.SimpleNamespace, case: str, skipped: tuple[str, str]) -> None:
    values = conf(code, case)
    assert (values["SKIP_CLAMD"], values["SKIP_FTS"]) == skipped


def test_settings_win_and_the_host_may_ask_the_api(code: types.SimpleNamespace) -> None:
    values = conf(code, "every_setting")
    assert (values["SKIP_SOGO"], values["SNAT_TO_SOURCE"]) == ("y", "192.0.2.1")
    assert values["API_ALLOW_FROM"] == "127.0.0.1,172.22.1.1,192.0.2.0/24"
    assert values["WATCHDOG_NOTIFY_EMAIL"] == "ops@example.net,more@example.net"


def test_images_go_by_digest() -> None:
    text = dict(templates.rendered(ROLE, CASES["every_setting"]))["docker-compose.override.yml.j2"]
    services = yaml.safe_load(text)["services"]
    assert services["dovecot-mailcow"] == {"image": CASES["every_setting"]["mailcow_images"]["dovecot-mailcow"]}
    assert services["postfix-mailcow"] == {"security_opt": ["no-new-privileges:false"]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("a", "1", "running"), ("b", "2", "running")], []),
        ([("a", "1", "running")], ["b"]),
        ([("a", "1", "running"), ("b", "9", "running")], ["b"]),
        ([("a", "1", "exited"), ("b", "2", "restarting")], ["a", "b"]),
        ([("a", "1", "running"), ("b", "2", "running"), ("old", "3", "running")], ["old"]),
    ],
)
def test_what_does_not_run_as_wanted_is_named(
    code: types.SimpleNamespace, found: list[t.Any], expected: list[str]
) -> None:
    containers = [code.stack.Container(*one) for one in found]
    assert code.stack.differing({"a": "1", "b": "2"}, containers) == expected


@pytest.mark.parametrize(
    ("now", "upgrade", "refused"),
    [("", {}, False), ("2026-07a", {}, False), ("2026-03b", {}, True), ("2026-03b", {"to": "2026-07a"}, False)],
)
def test_another_release_needs_an_upgrade(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, now: str, upgrade: dict[str, str], refused: bool
) -> None:
    monkeypatch.setattr(code.stack, "release", lambda _of: now)
    monkeypatch.setattr(code.stack, "marker", lambda: upgrade)
    of = code.host.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)
    if refused:
        with pytest.raises(code.host.Problem, match=r"mailcow is at 2026-03b.*upgrade_mail\.yml"):
            code.stack.refuse(of)
    else:
        code.stack.refuse(of)


@pytest.mark.parametrize(("needed", "present", "fits"), [(100, 0, False), (100, 50, True), (10, 0, True)])
def test_snapshot_must_fit(code: types.SimpleNamespace, needed: int, present: int, fits: bool) -> None:
    mib = 1048576
    free = code.copies.SPARE + 60 * mib
    if fits:
        code.copies.need_space(needed * mib, present * mib, free, Path("/"))
    else:
        with pytest.raises(code.host.Problem, match="41 MiB more than / has free; nothing was changed"):
            code.copies.need_space(needed * mib, present * mib, free, Path("/"))


@pytest.mark.parametrize(
    ("end", "is_whole"), [("-- Dump completed on 2026-01-01\n", True), ("INSERT INTO x VALU", False)]
)
def test_dump_that_ends_too_early_is_none(
    code: types.SimpleNamespace, tmp_path: Path, end: str, is_whole: bool
) -> None:
    path = tmp_path / "mailcow.sql"
    path.write_text("-- a dump\n" * 100 + end)
    if is_whole:
        code.copies.whole(path)
    else:
        with pytest.raises(code.host.Problem, match="no whole dump"):
            code.copies.whole(path)


@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (b"220 mail.example.org ESMTP\r\n", ""),
        (b"", "does not greet"),
        (b"554 no\r\n", "does not greet"),
        (None, "does not answer"),
    ],
)
def test_mail_runs_once_it_greets(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, greeting: bytes | None, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(code.stack, "conf", lambda _of: {"SMTP_PORT": f"127.0.0.1:{port}"})

        def greet() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(greeting or b"")

        if greeting is None:
            server.close()
        else:
            threading.Thread(target=greet, daemon=True).start()
        said = code.stack.silence(None, "SMTP_PORT")
    assert told in said
    assert bool(said) == bool(told)


SHIPPED = "{SSHA256}K8eVJ6YsZbQCfuJvSUbaQRLr0HPLz5rC9IAp0PAFl0tmNDBkMDc0NDAyOTAxN2Rk"


@pytest.mark.parametrize(
    ("stored", "right"),
    [
        # A known vector of bcrypt
        ("{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", True),
        ("{BLF-CRYPT}$2y$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa", False),
        ("{BLF-CRYPT}", False),
        ("{BLF-CRYPT}*0", False),
        ("{PLAIN}U*U", False),
        (SHIPPED, False),
    ],
)
def test_stored_hash_is_the_passwords_or_not(code: types.SimpleNamespace, stored: str, right: bool) -> None:
    assert code.administrator.is_hash_of(stored, "U*U") == right


@pytest.mark.parametrize(("stored", "done"), [("", False), (SHIPPED, True), ("described", False), ("another", True)])
def test_password_is_set_where_there_is_another_one(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: str, done: bool
) -> None:
    described = "a-Password-of-an-administrator"
    words = {"described": described, "another": "what-somebody-typed"}
    table = {"admin": code.administrator.hashed(words[stored]) if stored in words else stored}
    (tmp_path / "password").write_text(f"{described}\n")
    monkeypatch.setattr(code.administrator, "PASSWORD", tmp_path / "password")
    monkeypatch.setattr(code.stack, "container", lambda _of, _service: "id")

    def sql(_of: object, statements: bytes) -> str:
        if statements.startswith(b"UPDATE"):
            assert described.encode() not in statements
            table["admin"] = statements.decode().split("'")[1]
        return f"{table['admin']}\n"

    monkeypatch.setattr(code.stack, "sql", sql)
    before = table["admin"]
    expected = [code.administrator.SET] if done else []
    assert code.administrator.plan(None) == expected
    assert table["admin"] == before
    assert code.administrator.keep(None) == expected
    assert code.administrator.keep(None) == []
    assert (table["admin"] != before) == done


def test_password_waits_for_the_database(code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code.stack, "container", lambda _of, _service: "")
    assert code.administrator.plan(None) == []
