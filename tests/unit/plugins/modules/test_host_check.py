"""What a host reaches, and what to do when it does not."""

from __future__ import annotations

import io
import socket
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils import object_storage
from ansible_collections.vise.platform.plugins.module_utils.host import clients
from ansible_collections.vise.platform.plugins.modules import host_check

REPOSITORY = {
    "name": "first",
    "endpoint": "s3.test",
    "region": "r",
    "bucket": "b",
    "path": "/p",
    "uri_style": "path",
    "key": "k",
    "secret": "hidden-secret",
}


def test_documented_options_are_those_of_the_module() -> None:
    def strip(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {
            name: {
                ("options" if key == "suboptions" else key): strip(value) if key == "suboptions" else value
                for key, value in one.items()
                if key not in ("description", "no_log")
            }
            for name, one in options.items()
        }

    spec = {
        name: {
            key: {
                option: {word: value for word, value in rules.items() if word != "no_log"}
                for option, rules in value.items()
            }
            if key == "options"
            else value
            for key, value in one.items()
        }
        for name, one in host_check.ARGUMENT_SPEC.items()
    }
    assert strip(yaml.safe_load(host_check.DOCUMENTATION)["options"]) == spec


def test_secrets_are_hidden() -> None:
    assert all(host_check.REPOSITORY[name]["no_log"] for name in ("key", "secret"))


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        (b'{"newOrder": "https://acme.test/order"}', "ok", "https://acme.test/dir answers"),
        (b'{"welcome": 1}', "problem", "is no directory of an ACME server"),
        (b"<html>", "problem", "gives no directory"),
    ],
)
def test_acme_server_must_answer_with_its_directory(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, state: str, text: str
) -> None:
    monkeypatch.setattr(clients, "open_url", lambda *_arguments, **_options: io.BytesIO(answer))
    found = host_check.check_acme("https://acme.test/dir", 1)
    assert found["state"] == state
    assert text in found["text"]


def test_acme_server_that_is_not_reached_is_a_problem() -> None:
    found = host_check.check_acme("https://127.0.0.1:1/dir", 1)
    assert (found["state"], "acme_directory" in found["remedy"]) == ("problem", True)


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([None], "ok"),
        ([TimeoutError(), None], "ok"),
        ([socket.gaierror(), None], "ok"),
        ([TimeoutError(), ConnectionRefusedError()], "problem"),
        ([socket.gaierror(), TimeoutError()], "problem"),
        ([socket.gaierror(), socket.gaierror()], "unknown"),
    ],
)
def test_port_25_is_open_if_one_server_answers(
    monkeypatch: pytest.MonkeyPatch, errors: list[Exception | None], state: str
) -> None:
    answers = iter(errors)

    def connect(_address: tuple[str, int], _timeout: float) -> socket.socket:
        if error := next(answers):
            raise error
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    names = [f"mx{number}.test" for number in range(len(errors))]
    assert host_check.check_port_25(names, 1)["state"] == state


@pytest.mark.parametrize(("problem", "state"), [("", "ok"), ("the credential cannot write an object", "problem")])
def test_repository_is_proven_below_locks_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, problem: str, state: str
) -> None:
    paths: list[str] = []

    def prove(bucket: object_storage.Bucket, path: str, _content: bytes, _timeout: float) -> str:
        assert (bucket.endpoint, bucket.name, bucket.uri_style) == ("s3.test", "b", "path")
        paths.append(path)
        return problem

    monkeypatch.setattr(object_storage, "prove", prove)
    found = host_check.check_repository(REPOSITORY, 1)
    assert found["state"] == state
    assert paths[0].startswith("/p/vise-check/locks/")
    assert "hidden-secret" not in str(found)
