"""DKIM keys: import, changes, and files that are not keys."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_dkim

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


@pytest.mark.parametrize("before", ["none", "other selector"])
def test_key_is_imported_and_not_shown(mailcow: Mailcow, key: Key, before: str) -> None:
    body = {
        "domain": "example.org",
        "dkim_selector": "s1",
        "private_key_file": key.private,
        "overwrite_existing": 1,
    }
    there = {} if before == "none" else row(key, "s0")
    calls = [DOMAINS, (GET, there), ("add/dkim_import", body, DONE), DOMAINS, (GET, row(key))]
    answer = mailcow.run(mailcow_dkim, calls, keys=wanted(key))
    verb = "add dkim example.org" if before == "none" else "edit dkim example.org: selector"
    assert answer["actions"] == [verb]
    assert key.private.splitlines()[1] not in mailcow.text
    assert "PRIVATE" not in mailcow.text


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
