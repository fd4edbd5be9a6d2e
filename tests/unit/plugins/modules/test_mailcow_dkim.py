"""DKIM keys: import, changes, and files that are not keys."""

from __future__ import annotations

import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_dkim

from tests.unit.plugins.dkim_redis import PASSWORD, Server
from tests.unit.plugins.mailcow import DONE, Mailcow

DOMAINS = ("get/domain/all", [{"domain_name": "example.org"}])
GET = "get/dkim/example.org"


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True, text=True).stdout


class Key(t.NamedTuple):
    path: Path
    private: str
    public: str


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    path = tmp_path_factory.mktemp("dkim") / "s1.pem"
    openssl("genrsa", "-out", str(path), "2048")
    public = "".join(openssl("pkey", "-in", str(path), "-pubout").splitlines()[1:-1])
    return Key(path, path.read_text(), public)


def wanted(key: Key, **options: t.Any) -> list[dict[str, t.Any]]:
    return [{"domain": "example.org", "selector": "s1", "key_file": str(key.path), **options}]


def row(key: Key, selector: str = "s1") -> dict[str, str]:
    return {"pubkey": key.public, "dkim_selector": selector, "privkey": "", "length": "2048"}


class Host(t.NamedTuple):
    """mailcow's directory and its Redis."""

    project: Path
    redis: Server


@pytest.fixture
def host(tmp_path: Path) -> t.Iterator[Host]:
    old = {
        "DKIM_SELECTORS": {"example.org": "s0"},
        "DKIM_PUB_KEYS": {"example.org": "old"},
        "DKIM_PRIV_KEYS": {"s0.example.org": "old"},
    }
    with Server(old) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        port = server.socket.getsockname()[1]
        (tmp_path / "mailcow.conf").write_text(f"REDISPASS={PASSWORD}\nREDIS_PORT=127.0.0.1:{port}\n")
        yield Host(tmp_path, server)
        server.shutdown()


@pytest.mark.parametrize("before", ["none", "other selector"])
def test_key_is_written_to_redis_and_neither_shown_nor_sent_to_the_api(
    mailcow: Mailcow, key: Key, host: Host, before: str
) -> None:
    there = {} if before == "none" else row(key, "s0")
    # No call of the API, which would write the key to its log
    calls = [DOMAINS, (GET, there), DOMAINS, (GET, row(key))]
    answer = mailcow.run(mailcow_dkim, calls, keys=wanted(key), project=str(host.project))
    verb = "add dkim example.org" if before == "none" else "edit dkim example.org: selector"
    assert answer["actions"] == [verb]
    assert key.private.splitlines()[1] not in mailcow.text
    assert "PRIVATE" not in mailcow.text
    left = {"s0.example.org": "old"} if before == "none" else {}
    assert host.redis.disk == {
        "DKIM_SELECTORS": {"example.org": "s1"},
        "DKIM_PUB_KEYS": {"example.org": key.public},
        "DKIM_PRIV_KEYS": {**left, "s1.example.org": key.private.strip()},
    }


def test_redis_that_does_not_answer_is_named(mailcow: Mailcow, key: Key, host: Host) -> None:
    (host.project / "mailcow.conf").write_text("REDISPASS=x\nREDIS_PORT=127.0.0.1:1\n")
    answer = mailcow.run(mailcow_dkim, [DOMAINS, (GET, {})], keys=wanted(key), project=str(host.project))
    assert "mailcow's Redis at 127.0.0.1:1 does not answer" in answer["msg"]


def test_same_key_is_unchanged(mailcow: Mailcow, key: Key) -> None:
    assert not mailcow.run(mailcow_dkim, [DOMAINS, (GET, row(key))], keys=wanted(key))["changed"]


def test_absent_key_is_deleted(mailcow: Mailcow, key: Key) -> None:
    calls = [(GET, row(key)), ("delete/dkim", ["example.org"], DONE), (GET, {})]
    answer = mailcow.run(mailcow_dkim, calls, keys=[{"domain": "example.org", "state": "absent"}])
    assert answer["actions"] == ["delete dkim example.org"]


def test_check_mode_accepts_a_key_that_an_earlier_task_would_create(mailcow: Mailcow, key: Key, tmp_path: Path) -> None:
    later = wanted(key, key_file=str(tmp_path / "later.pem"))
    answer = mailcow.run(mailcow_dkim, [DOMAINS, (GET, {})], check=True, keys=later)
    assert answer["actions"] == ["add dkim example.org"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ([], "does not exist: create it with dkim_key first"),
        (["genpkey", "-algorithm", "ed25519", "-out"], "is not an RSA key"),
        (["rand", "-out"], "is not a private key in PEM format"),
    ],
)
def test_file_that_is_not_a_key_is_refused(
    mailcow: Mailcow, key: Key, tmp_path: Path, make: list[str], message: str
) -> None:
    path = tmp_path / "bad.pem"
    if make:
        openssl(*make, str(path), *(["64"] if make[0] == "rand" else []))
    assert message in mailcow.run(mailcow_dkim, [DOMAINS], keys=wanted(key, key_file=str(path)))["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"selector": None}, "selector and key_file are required"), ({"selector": "a b"}, "a b is not a valid selector")],
)
def test_bad_input_is_refused(mailcow: Mailcow, key: Key, options: dict[str, t.Any], message: str) -> None:
    assert message in mailcow.run(mailcow_dkim, [], keys=wanted(key, **options))["msg"]


def test_unknown_domain_is_refused(mailcow: Mailcow, key: Key) -> None:
    answer = mailcow.run(mailcow_dkim, [("get/domain/all", {})], keys=wanted(key))
    assert "domain example.org does not exist" in answer["msg"]
