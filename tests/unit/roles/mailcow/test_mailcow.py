"""The configuration that the role writes, and the pure parts of its program."""

from __future__ import annotations

import importlib
import json
import re
import socket
import sys
import threading
import time
import types
import typing as t
from pathlib import Path

import pytest
import yaml

from tools import collection, templates

ROLE = collection.ROOT / "roles/mailcow"
CASES = templates.load_cases(ROLE, collection.ROOT)


@pytest.fixture(scope="module", name="code")
def fixture_code() -> t.Iterator[types.SimpleNamespace]:
    sys.path.insert(0, str(ROLE / "files"))
    try:
        names = ("host", "stack", "administrator", "copies", "images")
        yield types.SimpleNamespace(**{name: importlib.import_module(f"mailcow.{name}") for name in names})
    finally:
        sys.path.remove(str(ROLE / "files"))
        for name in [name for name in sys.modules if name == "mailcow" or name.startswith("mailcow.")]:
            del sys.modules[name]


def conf(code: types.SimpleNamespace, case: str) -> dict[str, str]:
    found: dict[str, str] = code.host.parse_conf(dict(templates.render_templates(ROLE, CASES[case]))["mailcow.conf.j2"])
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


def test_settings_override_and_the_host_can_use_the_api(code: types.SimpleNamespace) -> None:
    values = conf(code, "every_setting")
    assert (values["SKIP_SOGO"], values["SNAT_TO_SOURCE"]) == ("y", "192.0.2.1")
    assert values["API_ALLOW_FROM"] == "127.0.0.1,172.22.1.1,192.0.2.0/24"
    assert values["WATCHDOG_NOTIFY_EMAIL"] == "ops@example.net,more@example.net"


def test_images_are_used_by_digest() -> None:
    text = dict(templates.render_templates(ROLE, CASES["every_setting"]))["docker-compose.override.yml.j2"]
    services = yaml.safe_load(text)["services"]
    assert services["dovecot-mailcow"] == {"image": CASES["every_setting"]["mailcow_images"]["dovecot-mailcow"]}
    assert services["postfix-mailcow"] == {"security_opt": ["no-new-privileges:false"]}


ONE, TWO = (f"sha256:{sign * 64}" for sign in "12")


@pytest.mark.parametrize(
    ("image", "known", "expected"),
    [
        ("ghcr.io/mailcow/sogo:5.12", [f"ghcr.io/mailcow/sogo@{ONE}"], f"ghcr.io/mailcow/sogo:5.12@{ONE}"),
        ("mariadb:10.11", [f"mariadb@{ONE}"], f"mariadb:10.11@{ONE}"),
        ("docker.io/library/mariadb:10.11", [f"mariadb@{ONE}"], f"docker.io/library/mariadb:10.11@{ONE}"),
        ("docker.io/mcuadros/ofelia", [f"mcuadros/ofelia@{ONE}"], f"docker.io/mcuadros/ofelia@{ONE}"),
        # A port is not a tag, and a digest from another registry does not count
        ("a.test:5000/sogo", [f"b.test:5000/sogo@{ONE}", f"a.test:5000/sogo@{TWO}"], f"a.test:5000/sogo@{TWO}"),
        (f"ghcr.io/mailcow/sogo:5.12@{TWO}", [f"ghcr.io/mailcow/sogo@{ONE}"], f"ghcr.io/mailcow/sogo:5.12@{TWO}"),
        ("ghcr.io/mailcow/sogo:5.12", [f"mirror.test/mailcow/sogo@{ONE}"], ""),
        ("ghcr.io/mailcow/sogo:5.12", [], ""),
    ],
)
def test_digest_of_an_image_is_that_of_its_own_registry(
    code: types.SimpleNamespace, image: str, known: list[str], expected: str
) -> None:
    assert code.images.add_digest(image, known) == expected


@pytest.fixture(name="docker")
def fixture_docker(code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    """Two running services, and the image data of Docker for their containers."""
    known: dict[str, t.Any] = {"plan": [], "image-1": [f"ghcr.io/mailcow/sogo@{ONE}"], "image-2": [f"redis@{TWO}"]}
    services = {"sogo-mailcow": {"image": "ghcr.io/mailcow/sogo:5.12"}, "redis-mailcow": {"image": "redis:7.4"}}
    said = {("ps", "--quiet"): "a\nb\n", ("config", "--format", "json"): json.dumps({"services": services})}

    def run(argv: list[str]) -> str:
        if argv[:2] == ["docker", "inspect"]:
            assert argv[-2:] == ["a", "b"]
            return "sogo-mailcow image-1\nredis-mailcow image-2\n"
        assert argv[:3] == ["docker", "image", "inspect"]
        return json.dumps(known[argv[-1]])

    monkeypatch.setattr(code.stack, "plan", lambda _of: known["plan"])
    monkeypatch.setattr(code.stack, "compose", lambda _of, *arguments: said[arguments])
    monkeypatch.setattr(code.images, "run", run)
    return known


OF = types.SimpleNamespace(version="2026-07a")


@pytest.mark.usefixtures("docker")
def test_printed_images_are_valid_for_the_role(code: types.SimpleNamespace) -> None:
    pasted = yaml.safe_load(f"mail_images:\n{code.images.digests(OF)}\nmail_settings: {{}}\n")
    assert pasted["mail_images"] == {
        "redis-mailcow": f"redis:7.4@{TWO}",
        "sogo-mailcow": f"ghcr.io/mailcow/sogo:5.12@{ONE}",
    }
    pattern = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__mailcow_digest_pattern"]
    assert all(re.match(pattern, image) for image in pasted["mail_images"].values())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"image-2": []}, r"no digest from a registry for redis-mailcow \(redis:7.4\): the image was built or loaded"),
        ({"image-2": None}, r"no digest from a registry for redis-mailcow \(redis:7.4\)"),
        ({"plan": ["start redis-mailcow"]}, r"2026-07a does not run as configured \(start redis-mailcow\)"),
    ],
)
def test_image_without_a_digest_is_named(
    code: types.SimpleNamespace, docker: dict[str, t.Any], changed: dict[str, t.Any], reason: str
) -> None:
    docker.update(changed)
    with pytest.raises(code.host.Problem, match=reason):
        code.images.digests(OF)


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
def test_services_that_do_not_run_as_configured_are_named(
    code: types.SimpleNamespace, found: list[t.Any], expected: list[str]
) -> None:
    containers = [code.stack.Container(*one) for one in found]
    assert code.stack.find_differences({"a": "1", "b": "2"}, containers) == expected


@pytest.mark.parametrize(
    ("now", "upgrade", "refused"),
    [
        ("", {}, ""),
        ("2026-07a", {}, ""),
        ("2026-03b", {}, r"mailcow runs release 2026-03b.*upgrade_mail\.yml"),
        ("2026-03b", {"to": "2026-07a"}, ""),
        ("2026-07a", {"to": "2026-07a", "begun": time.time() - 60}, ""),
        (
            "2026-07a",
            {"to": "2026-07a", "begun": time.time() - 7200},
            "2026-07a was started over an hour.*vise-mailcow keep",
        ),
    ],
)
def test_another_release_needs_an_upgrade(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, now: str, upgrade: dict[str, t.Any], refused: str
) -> None:
    monkeypatch.setattr(code.stack, "release", lambda _of: now)
    monkeypatch.setattr(code.stack, "read_marker", lambda: upgrade)
    of = code.host.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)
    if refused:
        with pytest.raises(code.host.Problem, match=refused):
            code.stack.refuse_other_release(of)
    else:
        code.stack.refuse_other_release(of)


@pytest.mark.parametrize(
    ("upgrade", "run", "refused"),
    [
        ({}, "", "no upgrade is in progress"),
        ({"run": "a"}, "", ""),
        ({"run": "a"}, "a", ""),
        ({"run": "b"}, "a", "belongs to another run"),
    ],
)
def test_run_ends_only_its_own_upgrade(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, upgrade: dict[str, str], run: str, refused: str
) -> None:
    monkeypatch.setattr(code.stack, "read_marker", lambda: upgrade)
    if refused:
        with pytest.raises(code.host.Problem, match=refused):
            code.copies.read_upgrade(run)
    else:
        assert code.copies.read_upgrade(run) == upgrade


@pytest.mark.parametrize(("needed", "present", "fits"), [(100, 0, False), (100, 50, True), (10, 0, True)])
def test_snapshot_must_fit(code: types.SimpleNamespace, needed: int, present: int, fits: bool) -> None:
    mib = 1048576
    free = code.copies.SPARE + 60 * mib
    if fits:
        code.copies.require_space(needed * mib, present * mib, free, Path("/"))
    else:
        with pytest.raises(code.host.Problem, match="/ has too little space for a snapshot: free 41 MiB more; nothing"):
            code.copies.require_space(needed * mib, present * mib, free, Path("/"))


@pytest.mark.parametrize(
    ("end", "is_whole"), [("-- Dump completed on 2026-01-01\n", True), ("INSERT INTO x VALU", False)]
)
def test_truncated_dump_is_refused(code: types.SimpleNamespace, tmp_path: Path, end: str, is_whole: bool) -> None:
    path = tmp_path / "mailcow.sql"
    path.write_text("-- a dump\n" * 100 + end)
    if is_whole:
        code.copies.verify_dump(path)
    else:
        with pytest.raises(code.host.Problem, match="not a complete dump"):
            code.copies.verify_dump(path)


@pytest.mark.parametrize(
    ("greeting", "message"),
    [
        (b"220 mail.example.org ESMTP\r\n", ""),
        (b"", "sends no greeting"),
        (b"554 no\r\n", "sends no greeting"),
        (None, "does not answer"),
    ],
)
def test_mail_service_is_healthy_when_it_sends_its_greeting(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, greeting: bytes | None, message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(code.stack, "read_conf", lambda _of: {"SMTP_PORT": f"127.0.0.1:{port}"})

        def greet() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(greeting or b"")

        if greeting is None:
            server.close()
        else:
            threading.Thread(target=greet, daemon=True).start()
        problem = code.stack.check_greeting(None, "SMTP_PORT")
    assert message in problem
    assert bool(problem) == bool(message)


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
def test_stored_hash_matches_only_its_password(code: types.SimpleNamespace, stored: str, right: bool) -> None:
    assert code.administrator.matches(stored, "U*U") == right


@pytest.mark.parametrize(("stored", "done"), [("", False), (SHIPPED, True), ("described", False), ("another", True)])
def test_password_is_set_only_if_it_differs(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: str, done: bool
) -> None:
    described = "a-Password-of-an-administrator"
    words = {"described": described, "another": "a-password-set-in-the-web-interface"}
    table = {"admin": code.administrator.hash_password(words[stored]) if stored in words else stored}
    (tmp_path / "password").write_text(f"{described}\n")
    monkeypatch.setattr(code.administrator, "PASSWORD", tmp_path / "password")
    monkeypatch.setattr(code.stack, "container_id", lambda _of, _service: "id")

    def sql(_of: object, statements: bytes) -> str:
        if statements.startswith(b"UPDATE"):
            assert described.encode() not in statements
            table["admin"] = statements.decode().split("'")[1]
        return f"{table['admin']}\n"

    monkeypatch.setattr(code.stack, "run_sql", sql)
    before = table["admin"]
    expected = [code.administrator.SET] if done else []
    assert code.administrator.plan(None) == expected
    assert table["admin"] == before
    assert code.administrator.set_password(None) == expected
    assert code.administrator.set_password(None) == []
    assert (table["admin"] != before) == done


def test_password_is_not_planned_without_the_database(
    code: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code.stack, "container_id", lambda _of, _service: "")
    assert code.administrator.plan(None) == []


class Restore:
    """A host with mail and a restored backup; the containers do nothing, and files are copied."""

    def __init__(self, code: types.SimpleNamespace, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.code, self.root, self.composed = code, root, list[str]()
        self.of = code.host.Settings(root, "", "2026-07a", "", "", 8080, 1)
        self.volumes = {name: root / "volumes" / name for name in (*code.copies.BACKED_UP, "vmail-index-vol-1")}
        self.volumes["redis-vol-1"] = root / "volumes" / "redis-vol-1"
        for path in self.volumes.values():
            path.mkdir(parents=True)
        self.backup = root / "backup"
        for name in code.copies.BACKED_UP:
            self.backed_up(name).mkdir(parents=True)
        (self.backup / "dump").mkdir()
        (self.backup / "dump/mailcow.sql").write_text("-- Dump completed")
        (self.backup / "dump/redis.rdb").write_text("")
        monkeypatch.setattr(code.copies, "SNAPSHOTS", root / "snapshots")
        monkeypatch.setattr(code.copies, "volumes", lambda _of: self.volumes)
        monkeypatch.setattr(code.copies, "create_snapshot", self.snapshot)
        monkeypatch.setattr(code.copies, "sync", lambda *_pair, **_options: None)
        monkeypatch.setattr(code.copies, "load_sql", lambda *_pair: None)
        monkeypatch.setattr(
            code.copies, "restore_snapshot", lambda _of, source: self.composed.append(f"restore {source}")
        )
        monkeypatch.setattr(code.stack, "compose", lambda _of, *arguments: self.composed.append(arguments[0]))
        monkeypatch.setattr(code.stack, "wait_until_healthy", lambda _of: None)

    def snapshot(self, _of: object, name: str) -> None:
        target = self.root / "snapshots" / name
        target.mkdir(parents=True)
        (target / "release").write_text("2026-07a")

    def put(self, where: Path, name: str, text: str) -> None:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)

    def backed_up(self, volume: str) -> Path:
        return Path(f"{self.backup}{self.volumes[volume]}")

    def run(self) -> dict[str, t.Any]:
        done: dict[str, t.Any] = self.code.copies.restore(self.of, self.backup)
        return done


@pytest.fixture(name="restore")
def fixture_restore(code: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restore:
    return Restore(code, tmp_path, monkeypatch)


def fail(*_arguments: object) -> None:
    raise OSError("disk full")


def test_failed_restore_is_rolled_back_and_names_the_snapshot(
    code: types.SimpleNamespace, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code.copies, "load_sql", fail)
    with pytest.raises(code.host.Problem, match=r"disk full; mail was rolled back.*snapshots/before-restore-"):
        restore.run()
    (kept,) = (restore.root / "snapshots").iterdir()
    assert restore.composed == [f"restore {kept}", "up"]


def test_restore_with_a_failed_snapshot_starts_mail_again(
    code: types.SimpleNamespace, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code.copies, "create_snapshot", fail)
    with pytest.raises(code.host.Problem, match="disk full; mail was rolled back"):
        restore.run()
    assert restore.composed == ["up"]


def test_failed_rollback_names_the_snapshot(
    code: types.SimpleNamespace, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code.copies, "load_sql", fail)
    monkeypatch.setattr(code.copies, "restore_snapshot", fail)
    with pytest.raises(code.host.Problem, match=r"the rollback failed too.*are in .*snapshots/before-restore-"):
        restore.run()


@pytest.mark.parametrize(("backups_key", "unreadable"), [("old", 1), ("new", 0)])
def test_newer_messages_with_another_key_are_counted(restore: Restore, backups_key: str, unreadable: int) -> None:
    here, backup = restore.volumes["vmail-vol-1"], restore.backed_up("vmail-vol-1")
    restore.put(here, "example.org/a/Maildir/new/2.M2.host", "newer")
    restore.put(here, "example.org/a/Maildir/cur/1.M1.host:2,S", "in both, and read since")
    restore.put(backup, "example.org/a/Maildir/cur/1.M1.host:2,", "in both")
    restore.put(restore.volumes["crypt-vol-1"], "ecpubkey.pem", "new")
    restore.put(restore.backed_up("crypt-vol-1"), "ecpubkey.pem", backups_key)
    assert restore.run()["unreadable"] == unreadable
