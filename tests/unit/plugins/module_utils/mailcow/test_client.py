"""The client: forms of answers, errors, retries."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow import client

from tests.unit.plugins.mailcow import DONE, KEY, REFUSED, URL, danger, scripted

Api = client.Client


def error(text: str) -> bytes:
    return json.dumps({"type": "error", "msg": text}).encode()


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        ({}, []),
        ([], []),
        (None, []),
        ([{"id": 1}, None, {"id": "2"}], [{"id": 1}, {"id": "2"}]),
        ({"0": {"id": 1}, "2": {"id": 3}}, [{"id": 1}, {"id": 3}]),
    ],
)
def test_rows_have_several_forms(monkeypatch: pytest.MonkeyPatch, answer: t.Any, rows: list[t.Any]) -> None:
    scripted(monkeypatch, ("get/alias/all", answer))
    assert Api(URL, KEY).rows("alias", "all") == rows


@pytest.mark.parametrize(
    ("status", "text", "kind", "message"),
    [
        (401, error("authentication failed"), client.WrongKey, "API_KEY of mailcow.conf"),
        (
            401,
            error("api access denied for ip 192.0.2.7"),
            client.AddressRefused,
            "192.0.2.7: add it to API_ALLOW_FROM",
        ),
        (403, error("API read/write access denied"), client.ReadOnlyKey, "is read-only"),
        (404, error("route not found"), client.MailcowError, "use a supported release"),
        (405, error("only POST method is allowed"), client.MailcowDown, "only POST"),
        (301, b"", client.MailcowDown, "HTTP_REDIRECT=n"),
        (200, b"<html>login</html>", client.MailcowDown, "url must be mailcow's HTTP port"),
    ],
)
def test_each_refusal_has_a_type_and_advice(
    monkeypatch: pytest.MonkeyPatch, status: int, text: bytes, kind: type[Exception], message: str
) -> None:
    tries = client.TRIES if kind is client.MailcowDown else 1
    scripted(monkeypatch, *[("get/domain/all", (status, text))] * tries)
    with pytest.raises(kind, match=message) as caught:
        Api(URL, KEY).rows("domain", "all")
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("fault", [REFUSED, (502, b"bad gateway"), (503, b""), TimeoutError("timed out")])
def test_read_is_retried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch, fault: t.Any) -> None:
    script = scripted(monkeypatch, *[("get/domain/all", fault)] * (client.TRIES - 1), ("get/domain/all", []))
    assert Api(URL, KEY).rows("domain", "all") == []
    assert (script.calls, len(script.pauses)) == ([], client.TRIES - 1)


def test_read_that_always_fails_names_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, *[("get/domain/all", REFUSED)] * client.TRIES)
    with pytest.raises(client.MailcowDown, match=r"Connection refused.*docker compose ps"):
        Api(URL, KEY).rows("domain", "all")


def test_addition_with_a_lost_answer_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("add/domain", {"domain": "example.org"}, TimeoutError("timed out")))
    with pytest.raises(client.MailcowDown):
        Api(URL, KEY).add("domain", {"domain": "example.org"})
    assert script.pauses == []


def test_addition_that_did_not_arrive_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("add/domain", {}, REFUSED), ("add/domain", {}, DONE))
    Api(URL, KEY).add("domain", {})
    assert script.calls == []


def test_edit_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"items": ["example.org"], "attr": {"quota": 1}}
    script = scripted(monkeypatch, ("edit/domain", body, (500, b"")), ("edit/domain", body, DONE))
    Api(URL, KEY).edit("domain", ["example.org"], {"quota": 1})
    assert script.calls == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (danger("domain_not_found", "example.org"), r"the domain does not exist.*\(example.org\)"),
        (danger("password_complexity"), "does not meet mailcow's password policy"),
        ({"type": "error", "msg": "Cannot add item"}, "Cannot add item"),
        ([*DONE, *danger("something_new", "7")], r"something_new \(7\)"),
        (None, "has no result"),
        ([], "has no result"),
        ("yes", "has no result"),
    ],
)
def test_error_with_status_200_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: t.Any, message: str) -> None:
    scripted(monkeypatch, ("add/mailbox", {}, answer))
    with pytest.raises(client.Refused, match=message) as caught:
        Api(URL, KEY).add("mailbox", {})
    assert "s3cret" not in str(caught.value)


def test_warning_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("delete/alias", [7], [{"type": "warning", "msg": "note"}, *DONE]))
    Api(URL, KEY).delete("alias", [7])
    assert script.calls == []


def test_url_without_a_scheme_is_refused() -> None:
    with pytest.raises(client.MailcowError, match=r"http://127\.0\.0\.1:8080"):
        Api("mail.example.org", KEY)
