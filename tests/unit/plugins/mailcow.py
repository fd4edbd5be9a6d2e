"""mailcow's API as a script: the calls that are expected, in order, each with its answer."""

from __future__ import annotations

import contextlib
import io
import json
import time
import typing as t
from urllib.error import HTTPError, URLError

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.mailcow import client

KEY = "a-key-of-the-api"
URL = "http://127.0.0.1:8080"
DONE = [{"type": "success", "log": ["secret"], "msg": ["done", "it"]}]
REFUSED = URLError(ConnectionRefusedError(111, "Connection refused"))


def danger(*message: str) -> list[dict[str, t.Any]]:
    """An answer that says no, with status 200; its log holds what was sent."""
    return [{"type": "danger", "log": ["mailbox", "add", {"password": "s3cret-word"}], "msg": list(message)}]


class Answer(t.NamedTuple):
    """What open_url returns."""

    code: int
    text: bytes

    def read(self) -> bytes:
        """Return the body."""
        return self.text


class Script:
    """Answers call by call; a call that is not the expected one fails the test."""

    def __init__(self, *calls: tuple[t.Any, ...]) -> None:
        self.calls = list(calls)
        self.pauses: list[float] = []

    def open_url(self, url: str, method: str, data: bytes | None, headers: dict[str, str], **_: t.Any) -> Answer:
        """Take one call."""
        assert headers["X-API-Key"] == KEY
        assert self.calls, f"{method} {url} was not expected"
        expected, *body, answer = self.calls.pop(0)
        assert f"{method} {url}" == f"{'GET' if expected.startswith('get') else 'POST'} {URL}/api/v1/{expected}"
        assert [json.loads(data)] == body if data is not None else body == []
        if isinstance(answer, Exception):
            raise answer
        status, text = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        if status >= 300:
            raise HTTPError(url, status, "", {}, io.BytesIO(text))  # type: ignore[arg-type]
        return Answer(status, text)


def scripted(monkeypatch: pytest.MonkeyPatch, *calls: tuple[t.Any, ...]) -> Script:
    """Put a script in the place of the network and of waiting."""
    script = Script(*calls)
    monkeypatch.setattr(client, "open_url", script.open_url)
    monkeypatch.setattr(time, "sleep", script.pauses.append)
    return script


class Mailcow:
    """Runs modules against scripts and keeps what they printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys, self.text = monkeypatch, capsys, ""

    def run(
        self, module: t.Any, calls: list[tuple[t.Any, ...]], check: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        """Run a module; every scripted call must come, and neither the key nor a password may be printed."""
        script = scripted(self.monkeypatch, *calls)
        self.monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        arguments = {"api_key": KEY, "_ansible_check_mode": check, "_ansible_diff": True, **options}
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            module.main()
        self.text = self.capsys.readouterr().out
        assert script.calls == []
        answer: dict[str, t.Any] = json.loads(self.text)
        shown = json.dumps({key: value for key, value in answer.items() if key != "invocation"})
        assert KEY not in self.text
        assert "s3cret" not in shown
        assert "s3cret" not in self.text
        return answer
