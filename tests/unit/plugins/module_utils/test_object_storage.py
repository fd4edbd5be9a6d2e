"""Requests are signed as the storage verifies them, and each refused step is named."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.vise.platform.plugins.module_utils import object_storage
from ansible_collections.vise.platform.plugins.module_utils.object_storage import Bucket, StorageError

# The example in Amazon's description of signature version 4.
EXAMPLE = Bucket(
    "s3.amazonaws.com",
    "us-east-1",
    "examplebucket",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)
MOMENT = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
REFUSAL = "<Error><Code>AccessDenied</Code><Message>No &amp; never</Message></Error>"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signature_is_that_of_the_published_example(query: str, signature: str) -> None:
    host, path = EXAMPLE.locate("")
    headers = object_storage.sign(EXAMPLE, "GET", host, path, b"", MOMENT, query)
    assert headers["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("host", ("examplebucket.s3.amazonaws.com", "/a/b%20c")),
        ("path", ("s3.amazonaws.com", "/examplebucket/a/b%20c")),
    ],
)
def test_object_is_located_by_the_style_of_the_storage(style: str, expected: tuple[str, str]) -> None:
    bucket = Bucket("s3.amazonaws.com", "r", "examplebucket", "k", "s", style)
    assert bucket.locate("/a/b c") == expected


@pytest.mark.parametrize(("refused", "step"), [("PUT", "write"), ("GET", "read"), ("DELETE", "remove")])
def test_refused_step_is_named(monkeypatch: pytest.MonkeyPatch, refused: str, step: str) -> None:
    def request(_bucket: Bucket, method: str, _path: str, _timeout: float, content: bytes = b"") -> bytes:
        if method == refused:
            raise StorageError("AccessDenied (status 403)")
        return content or b"x"

    monkeypatch.setattr(object_storage, "request", request)
    text = object_storage.prove(EXAMPLE, "/x", b"x", 1)
    assert text == f"the credential cannot {step} an object: AccessDenied (status 403)"


def test_other_content_than_written_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "request", lambda *_arguments: b"a page of a portal")
    assert "other content" in object_storage.prove(EXAMPLE, "/x", b"x", 1)


def test_working_storage_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def request(_bucket: Bucket, method: str, _path: str, _timeout: float, _content: bytes = b"") -> bytes:
        sent.append(method)
        return b"x"

    monkeypatch.setattr(object_storage, "request", request)
    assert object_storage.prove(EXAMPLE, "/x", b"x", 1) == ""
    assert sent == ["PUT", "GET", "DELETE"]


def test_reason_of_a_refusal_is_read() -> None:
    assert object_storage.describe_refusal(403, REFUSAL) == "AccessDenied: No &amp; never (status 403)"
    assert object_storage.describe_refusal(502, "<html>") == "no reason (status 502)"


def test_storage_without_an_answer_is_an_error() -> None:
    bucket = Bucket("127.0.0.1:1", "r", "b", "k", "s", "path")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1 gives no answer: .*refused"):
        object_storage.request(bucket, "GET", "/x", 1)
