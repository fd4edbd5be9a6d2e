"""The part on the controller: it signs the host's request and never sends the key of the CA."""

from __future__ import annotations

import typing as t

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action import internal_certificate
from ansible_collections.vise.platform.plugins.module_utils.tls import x509

CA, CA_KEY = x509.make_ca("ours")
OPTIONS: dict[str, t.Any] = {"ca": CA, "ca_key": CA_KEY, "trusted": [], "names": ["db-1"], "days": 30}
OPTIONS |= {"version": None, "certificate": None}


class Action(internal_certificate.ActionModule):  # type: ignore[misc,unused-ignore]
    """The action without Ansible: records the options that the host would get, and returns results from a list."""

    def __init__(self, answers: list[dict[str, t.Any]], **options: t.Any) -> None:
        self.answers, self.options, self.sent = answers, {**OPTIONS, **options}, list[dict[str, t.Any]]()

    def validate_argument_spec(self, *_args: t.Any, **_more: t.Any) -> tuple[None, dict[str, t.Any]]:
        return None, self.options

    def _call(self, options: dict[str, t.Any], _task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        self.sent.append(options)
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_args, **_more: {})


def test_no_difference_needs_one_execution() -> None:
    action = Action([{"changed": False, "actions": []}])
    assert action.run() == {"changed": False, "actions": []}
    assert len(action.sent) == 1


def test_request_is_signed_and_the_ca_key_is_not_sent() -> None:
    request = x509.make_request(x509.make_key(), ["db-1"])
    first = {"actions": ["make"], "request": request, "version": "v", "diff": {"prepared": "> make\n"}}
    action = Action([first, {"changed": False, "actions": ["reload x"], "diff": {"prepared": "> reload x\n"}}])
    result = action.run()
    assert result == {"changed": True, "actions": ["make", "reload x"], "diff": {"prepared": "> make\n> reload x\n"}}
    assert x509.is_issued_by(action.sent[1]["certificate"], CA)
    assert action.sent[1]["version"] == "v"
    assert not any("PRIVATE" in str(sent) for sent in action.sent)


@pytest.mark.parametrize("key", ["", "nonsense", x509.make_key()])
def test_unusable_ca_is_refused_before_the_module_runs(key: str) -> None:
    action = Action([], ca_key=key)
    result = action.run()
    assert result["failed"]
    assert result["msg"].startswith("internal CA: its key")


@pytest.mark.parametrize(
    ("pem", "text"),
    [
        ("nonsense", "not a certificate in PEM format"),
        (CA_KEY, "not a certificate in PEM format"),
        (CA + CA, "several certificates"),
        (
            x509.sign(x509.make_request(x509.make_key(), ["db-1"]), CA, CA_KEY, ["db-1"], 9),
            "not the certificate of an auth",
        ),
        (x509.make_placeholder(["db-1"], x509.now())[0], "not the certificate of an authority"),
    ],
)
def test_unusable_trusted_authority_is_refused_before_the_module_runs(pem: str, text: str) -> None:
    result = Action([], trusted=[CA, pem]).run()
    assert result["failed"]
    assert result["msg"].startswith("trusted authority 2 (internal_ca_trusted): ")
    assert text in result["msg"]


@pytest.mark.parametrize("failing", [0, 1])
def test_failure_of_either_execution_is_the_result(failing: int) -> None:
    request = x509.make_request(x509.make_key(), ["db-1"])
    answers: list[dict[str, t.Any]] = [{"actions": [], "request": request, "version": "v"}] * failing
    assert Action([*answers, {"failed": True, "msg": "no"}]).run() == {"failed": True, "msg": "no"}
