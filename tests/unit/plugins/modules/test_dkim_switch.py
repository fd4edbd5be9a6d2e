"""The switch on a small Redis, which records the signing key after every single command."""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, store
from ansible_collections.vise.platform.plugins.modules import dkim_switch

from tests.unit.plugins.dkim_redis import DOMAIN, PASSWORD, Hashes, Server

OLD, NEW, CURVE = keys.create("rsa", 2048), keys.create("rsa", 2048), keys.create("ed25519", 0)


def hashes(selector: str, pem: str) -> Hashes:
    return {
        "DKIM_SELECTORS": {DOMAIN: selector},
        "DKIM_PUB_KEYS": {DOMAIN: keys.facts(pem).public},
        "DKIM_PRIV_KEYS": {f"{selector}.{DOMAIN}": pem.strip()},
    }


class Host:
    """Runs the module with the Redis."""

    def __init__(self, path: pathlib.Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.server, self.capsys, self.output = path, server, capsys, ""
        port = server.socket.getsockname()[1]
        (path / "mailcow.conf").write_text(f"REDISPASS={PASSWORD}\nREDIS_PORT=127.0.0.1:{port}\n# a remark\n")
        for selector, pem in (("old", OLD), ("new", NEW), ("curve", CURVE)):
            store.write(store.key_path(str(path / "dkim"), DOMAIN, selector), pem)

    def call(self, selector: str, *forget: str, **options: t.Any) -> dict[str, t.Any]:
        basic._ANSIBLE_ARGS = None
        wanted = [{"domain": DOMAIN, "selector": selector, "forget": list(forget)}]
        given = {"keys": wanted, "directory": str(self.path / "dkim"), "project": str(self.path)}
        with patch_module_args({**given, "_ansible_diff": True, **options}), contextlib.suppress(SystemExit):
            dkim_switch.main()
        self.output = self.capsys.readouterr().out
        answer: dict[str, t.Any] = json.loads(self.output)
        return answer


@pytest.fixture
def host(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> t.Iterator[Host]:
    with Server(hashes("old", OLD)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Host(tmp_path, server, capsys)
        server.shutdown()


def test_a_key_signs_at_each_moment_of_the_switch(host: Host) -> None:
    answer = host.call("new")
    assert answer["actions"] == ["sign mail of a.test with new instead of old"]
    assert set(host.server.seen) == {"old", "new"}
    assert host.server.hashes["DKIM_PRIV_KEYS"]["old.a.test"] == OLD.strip(), "a message that is being signed needs it"
    assert host.server.hashes["DKIM_PUB_KEYS"] == {DOMAIN: keys.facts(NEW).public}
    assert host.call("new")["changed"] is False


def test_switch_survives_a_power_cut(host: Host) -> None:
    host.server.busy = 2
    host.call("new")
    assert host.server.disk == host.server.hashes
    host.server.disk = {}
    host.call("new")
    assert host.server.disk == {}, "nothing was switched, so nothing is written"


def test_full_disk_is_an_error(host: Host) -> None:
    host.server.status = "err"
    answer = host.call("new")
    assert "cannot save its data to disk" in answer["msg"]
    assert host.server.signs() == "new"


def test_next_run_saves_the_changes_of_an_interrupted_one(host: Host) -> None:
    host.server.status = "err"
    host.call("new")
    host.server.disk, host.server.status = {}, "ok"
    assert host.call("new", _ansible_check_mode=True)["changed"] is False
    assert host.server.disk == {}
    assert host.call("new")["changed"] is False
    assert host.server.disk == host.server.hashes
    assert not (host.path / "dkim/.unsaved").exists()


def test_first_key_of_a_domain(host: Host) -> None:
    host.server.hashes.update({"DKIM_SELECTORS": {}, "DKIM_PRIV_KEYS": {}, "DKIM_PUB_KEYS": {}})
    assert host.call("new")["actions"] == ["sign mail of a.test with new instead of none"]
    assert host.server.hashes == hashes("new", NEW)


def test_other_key_under_the_same_name_is_replaced(host: Host) -> None:
    host.server.hashes["DKIM_PRIV_KEYS"]["old.a.test"] = NEW
    assert host.call("old")["changed"] is True
    assert host.server.hashes == hashes("old", OLD)


def test_copy_of_a_retired_key_is_removed_once(host: Host) -> None:
    host.call("new")
    assert host.call("new", "old")["actions"] == ["remove the copy of old._domainkey.a.test"]
    assert host.call("new", "old")["changed"] is False
    assert host.server.hashes == hashes("new", NEW)


def test_check_mode_switches_nothing(host: Host) -> None:
    answer = host.call("new", "old", _ansible_check_mode=True)
    assert len(answer["actions"]) == 2
    assert answer["diff"] == {"before": "a.test old\n", "after": "a.test new\n"}
    assert host.server.hashes == hashes("old", OLD)


def test_output_has_no_secrets(host: Host) -> None:
    for options in ({"_ansible_check_mode": True}, {}):
        host.call("new", **options)
        secret = [PASSWORD, *NEW.splitlines()[1:-1], *OLD.splitlines()[1:-1]]
        assert [text for text in secret if text in host.output] == []


@pytest.mark.parametrize(
    ("selector", "forget", "message"),
    [
        ("none", [], "none._domainkey.a.test: the key does not exist: create it with dkim_key"),
        ("curve", [], "mailcow signs only with RSA keys"),
        ("../old", [], "it must be one label"),
        ("new", ["new"], "new is the signing key"),
    ],
)
def test_key_that_cannot_sign_is_refused(host: Host, selector: str, forget: list[str], message: str) -> None:
    assert message in host.call(selector, *forget)["msg"]
    assert host.server.hashes == hashes("old", OLD)


def test_missing_mailcow_wrong_password_and_dead_redis_are_named(host: Host) -> None:
    conf = host.path / "mailcow.conf"
    right = conf.read_text()
    conf.write_text(right.replace(PASSWORD, "wrong"))
    assert "refuses the command AUTH: WRONGPASS" in host.call("new")["msg"]
    conf.write_text("REDIS_PORT=127.0.0.1:1\n")
    assert "mailcow's Redis at 127.0.0.1:1 does not answer" in host.call("new")["msg"]
    conf.unlink()
    assert "mailcow is not installed on this host" in host.call("new")["msg"]
