"""The two executions of the module on a temporary directory, and its refusals."""

from __future__ import annotations

import contextlib
import json
import pathlib
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.tls import store, x509
from ansible_collections.vise.platform.plugins.modules import internal_certificate

CA, CA_KEY = x509.make_ca("ours")
NEXT, NEXT_KEY = x509.make_ca("the next one")
NAMES = ["db-1", "10.0.0.1"]


class Host:
    """Runs the module, and signs its requests in place of the controller."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def call(self, **options: t.Any) -> dict[str, t.Any]:
        basic._ANSIBLE_ARGS = None
        with patch_module_args({"ca": CA, "names": NAMES, **options}), contextlib.suppress(SystemExit):
            internal_certificate.main()
        answer: dict[str, t.Any] = json.loads(self.capsys.readouterr().out)
        return answer

    def finish(self, first: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.call(version=first["version"], certificate=x509.sign(first["request"], CA, CA_KEY, NAMES, 30))


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    real = store.Store
    monkeypatch.setattr(store, "Store", lambda name, group: real(name, str(tmp_path), group))
    return Host(capsys)


def test_first_execution_requests_and_second_installs_the_certificate(host: Host, tmp_path: pathlib.Path) -> None:
    first = host.call()
    assert first["actions"] == ["issue an internal certificate: no certificate exists"]
    assert not (tmp_path / "internal").exists()
    assert host.finish(first)["changed"] is False
    assert (tmp_path / "internal/ca.pem").read_text() == CA
    assert (tmp_path / "internal/privkey.pem").stat().st_mode & 0o777 == 0o600


def test_no_difference_is_no_change_and_no_request(host: Host) -> None:
    host.finish(host.call())
    answer = host.call()
    assert (answer["changed"], "request" in answer) == (False, False)


def test_further_authority_is_trusted_without_a_new_certificate(host: Host, tmp_path: pathlib.Path) -> None:
    host.finish(host.call())
    before = {name: (tmp_path / f"internal/{name}").read_text() for name in ("fullchain.pem", "privkey.pem")}
    expected = ["replace ca.pem: the trusted authorities differ"]
    (tmp_path / "internal/.live").touch()
    planned = host.call(trusted=[NEXT], reload_units=["x.service"], _ansible_check_mode=True)["actions"]
    assert planned == [*expected, "reload x.service"]
    answer = host.call(trusted=[NEXT.rstrip("\n")])
    assert (answer["actions"], "request" in answer) == (expected, False)
    assert (tmp_path / "internal/ca.pem").read_text() == CA + NEXT
    assert before == {name: (tmp_path / f"internal/{name}").read_text() for name in before}
    assert host.call(trusted=[NEXT])["changed"] is False
    assert host.call()["actions"] == expected
    assert (tmp_path / "internal/ca.pem").read_text() == CA


def test_other_authority_signs_while_both_are_trusted(host: Host, tmp_path: pathlib.Path) -> None:
    host.finish(host.call())
    first = host.call(ca=NEXT, trusted=[CA])
    assert first["actions"] == ["issue an internal certificate: the CA differs"]
    chain = x509.sign(first["request"], NEXT, NEXT_KEY, NAMES, 30)
    host.call(ca=NEXT, trusted=[CA], version=first["version"], certificate=chain)
    assert (tmp_path / "internal/ca.pem").read_text() == NEXT + CA
    assert x509.is_issued_by((tmp_path / "internal/fullchain.pem").read_text(), NEXT)


def test_certificate_that_readers_cannot_open_is_opened(host: Host, tmp_path: pathlib.Path) -> None:
    host.finish(host.call())
    folder = (tmp_path / "internal").resolve()
    folder.chmod(0o750)
    (folder / "fullchain.pem").chmod(0o600)
    expected = [f"set the permissions of {tmp_path}/{name}" for name in ("internal", "internal/fullchain.pem")]
    assert host.call(_ansible_check_mode=True)["actions"] == expected
    answer = host.call()
    assert (answer["changed"], answer["actions"]) == (True, expected)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "fullchain.pem").stat().st_mode & 0o777 == 0o644
    assert host.call()["changed"] is False


def test_other_names_need_a_new_certificate(host: Host) -> None:
    host.finish(host.call())
    assert host.call(names=["db-2"])["actions"] == ["issue an internal certificate: the names differ"]


def test_check_mode_reports_the_reason_and_changes_nothing(host: Host, tmp_path: pathlib.Path) -> None:
    answer = host.call(_ansible_check_mode=True, reload_units=["postgresql.service"])
    assert answer["actions"] == ["issue an internal certificate: no certificate exists", "reload postgresql.service"]
    assert list(tmp_path.iterdir()) == []


def test_results_contain_no_private_key(host: Host) -> None:
    first = host.call(_ansible_diff=True)
    assert "PRIVATE" not in json.dumps([first, host.finish(first)])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": []}, "at least one"),
        ({"names": ["a b"]}, "neither a host name"),
        ({"ca_key": CA_KEY}, "must stay on the controller"),
        ({"group": "no-such-group"}, "no-such-group"),
        ({"version": "x", "certificate": CA}, "does not match the key"),
    ],
)
def test_invalid_options_are_refused(host: Host, options: dict[str, t.Any], text: str) -> None:
    answer = host.call(**options)
    assert answer["failed"]
    assert text in answer["msg"]
