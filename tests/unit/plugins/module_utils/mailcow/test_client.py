"""What the client makes of the API's answers."""

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
def test_rows_come_in_several_forms(monkeypatch: pytest.MonkeyPatch, answer: t.Any, rows: list[t.Any]) -> None:
    scripted(monkeypatch, ("get/alias/all", answer))
    assert Api(URL, KEY).rows("alias", "all") == rows


@pytest.mark.parametrize(
    ("status", "text", "kind", "says"),
    [
        (401, error("authentication failed"), client.WrongKey, "API_KEY of mailcow.conf"),
        (
            401,
            error("api access denied for ip 192.0.2.7"),
            client.AddressRefused,
            "192.0.2.7: add it to API_ALLOW_FROM",
        ),
        (403, error("API read/write access denied"), client.ReadOnlyKey, "may read alone"),
        (404, error("route not found"), client.MailcowError, "is its release a supported one"),
        (405, error("only POST method is allowed"), client.MailcowDown, "only POST"),
        (301, b"", client.MailcowDown, "HTTP_REDIRECT=n"),
        (200, b"<html>login</html>", client.MailcowDown, "is this mailcow's HTTP port"),
    ],
)
def test_refusal_has_a_name_and_an_advice(
    monkeypatch: pytest.MonkeyPatch, status: int, text: bytes, kind: type[Exception], says: str
) -> None:
    tries = client.TRIES if kind is client.MailcowDown else 1
    scripted(monkeypatch, *[("get/domain/all", (status, text))] * tries)
    with pytest.raises(kind, match=says) as caught:
        Api(URL, KEY).rows("domain", "all")
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("fault", [REFUSED, (502, b"bad gateway"), (503, b""), TimeoutError("timed out")])
def test_reading_is_tried_again_until_it_answers(monkeypatch: pytest.MonkeyPatch, fault: t.Any) -> None:
    script = scripted(monkeypatch, *[("get/domain/all", fault)] * (client.TRIES - 1), ("get/domain/all", []))
    assert Api(URL, KEY).rows("domain", "all") == []
    assert (script.calls, len(script.pauses)) == ([], client.TRIES - 1)


def test_reading_gives_up_and_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, *[("get/domain/all", REFUSED)] * client.TRIES)
    with pytest.raises(client.MailcowDown, match=r"Connection refused.*is mailcow up"):
        Api(URL, KEY).rows("domain", "all")


def test_addition_whose_answer_was_lost_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("add/domain", {"domain": "example.org"}, TimeoutError("timed out")))
    with pytest.raises(client.MailcowDown):
        Api(URL, KEY).add("domain", {"domain": "example.org"})
    assert script.pauses == []


def test_addition_that_never_arrived_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("add/domain", {}, REFUSED), ("add/domain", {}, DONE))
    Api(URL, KEY).add("domain", {})
    assert script.calls == []


def test_setting_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"items": ["example.org"], "attr": {"quota": 1}}
    script = scripted(monkeypatch, ("edit/domain", body, (500, b"")), ("edit/domain", body, DONE))
    Api(URL, KEY).edit("domain", ["example.org"], {"quota": 1})
    assert script.calls == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (danger("domain_not_found", "example.org"), r"the domain is unknown.*\(example.org\)"),
        (danger("password_complexity"), "does not meet mailcow's password policy"),
        ({"type": "error", "msg": "Cannot add item"}, "Cannot add item"),
        ([*DONE, *danger("something_new", "7")], r"something_new \(7\)"),
        (None, "did not say"),
        ([], "did not say"),
        ("yes", "did not say"),
    ],
)
def test_error_inside_of_a_200_is_one(monkeypatch: pytest.MonkeyPatch, answer: t.Any, says: str) -> None:
    scripted(monkeypatch, ("add/mailbox", {}, answer))
    with pytest.raises(client.Refused, match=says) as caught:
        Api(URL, KEY).add("mailbox", {})
    assert "s3cret" not in str(caught.value)


def test_warning_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, ("delete/alias", [7], [{"type": "warning", "msg": "note"}, *DONE]))
    Api(URL, KEY).delete("alias", [7])
    assert script.calls == []


def test_address_must_be_one() -> None:
    with pytest.raises(client.MailcowError, match=r"http://127\.0\.0\.1:8080"):
        Api("mail.example.org", KEY)
