"""mailcow's API as a script: the expected calls, in order, each with its answer."""

from __future__ import annotations

import contextlib
import io
import json
import time
import typing as t
from urllib.error import HTTPError, URLError

import pytest
from ansible.module_utils import basic, urls
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.modules import mailcow_objects

KEY = "a-key-of-the-api"
URL = "http://127.0.0.1:8080"
DONE = [{"type": "success", "log": ["secret"], "msg": ["done", "it"]}]
REFUSED = URLError(ConnectionRefusedError(111, "Connection refused"))


def danger(*message: str) -> list[dict[str, t.Any]]:
    """Return a refusal with status 200; its log repeats the request."""
    return [{"type": "danger", "log": ["mailbox", "add", {"password": "s3cret-word"}], "msg": list(message)}]


# In the order in which mailcow_objects reads them
LISTS = ("relayhost", "transport", "domain", "alias-domain", "mailbox", "alias", "domain-admin", "rl-domain", "rl-mbox")
Call = tuple[t.Any, ...]


def reads(**rows: t.Any) -> list[Call]:
    """Return the calls that read these lists, named as rl_mbox for rl-mbox; app_passwd has rows by mailbox."""
    calls: list[Call] = [(f"get/{path}/all", rows[name]) for path in LISTS if (name := path.replace("-", "_")) in rows]
    apps: list[Call] = [(f"get/app-passwd/all/{box}", each) for box, each in sorted(rows.get("app_passwd", {}).items())]
    limits = [call for call in calls if "/rl-" in call[0]]
    return [*calls[: len(calls) - len(limits)], *apps, *limits]


class Answer(t.NamedTuple):
    """The result of open_url."""

    code: int
    text: bytes

    def read(self) -> bytes:
        """Return the body."""
        return self.text


class Script:
    """Answers call by call; an unexpected call fails the test."""

    def __init__(self, *calls: tuple[t.Any, ...]) -> None:
        self.calls = list(calls)
        self.pauses: list[float] = []

    def open_url(self, url: str, method: str, data: bytes | None, headers: dict[str, str], **_: t.Any) -> Answer:
        """Answer one call."""
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
    """Replace the network and the pauses by a script."""
    script = Script(*calls)
    monkeypatch.setattr(urls.Request, "open", lambda _self, method, url, **more: script.open_url(url, method, **more))
    monkeypatch.setattr(time, "sleep", script.pauses.append)
    return script


class Mailcow:
    """Runs modules against scripts and keeps their output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys, self.text = monkeypatch, capsys, ""

    def run(self, module: t.Any, calls: list[Call], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run a module; it must make each scripted call, and print neither the key nor a password."""
        script = scripted(self.monkeypatch, *calls)
        self.monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        arguments = {"api_key": KEY, "_ansible_check_mode": check, "_ansible_diff": True, **options}
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            module.main()
        self.text = self.capsys.readouterr().out
        assert script.calls == []
        answer: dict[str, t.Any] = json.loads(self.text)
        assert KEY not in self.text
        assert "s3cret" not in self.text
        return answer

    def apply(self, calls: list[Call], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run mailcow_objects."""
        return self.run(mailcow_objects, calls, check, **options)
