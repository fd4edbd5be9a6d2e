# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mailcow's API: it answers 200 with an error inside and `{}` for no rows, so the body is read, not the status."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

from ansible.module_utils.urls import open_url

TRIES = 4
PAUSE = 2  # seconds; the API is away for some while its containers start
BUSY = (429, 500, 502, 503, 504)
# What mailcow says, by its own key, and what to do about it.
ADVICE = {
    "access_denied": "the object is unknown, or the key may not change it",
    "alias_invalid": "the alias is unknown",
    "domain_invalid": "the domain is unknown, or its name is none",
    "domain_not_found": "the domain is unknown: describe it with mailcow_domain first",
    "goto_invalid": "a target is no address of a mailbox",
    "is_alias": "the address is taken by an alias: remove that first",
    "is_alias_or_mailbox": "the address is taken by a mailbox or an alias: remove that first",
    "mailbox_quota_exceeded": "the quota is over the domain's largest mailbox (max_quota)",
    "mailbox_quota_left_exceeded": "the domain's quota is used up: raise it, or give less",
    "max_alias_exceeded": "the domain has as many aliases as it may: raise its limit",
    "max_mailbox_exceeded": "the domain has as many mailboxes as it may: raise its limit",
    "object_exists": "it exists already",
    "password_complexity": "the password does not meet mailcow's password policy",
}

Row = dict[str, t.Any]


class MailcowError(Exception):
    """Something that mailcow refused, in words for its operator, and what of a plan it was asked for then."""

    tried: tuple[str, ...] = ()


class MailcowDown(MailcowError):
    """Nothing answers, or something that is not the API."""


class WrongKey(MailcowError):
    """The key is not the one that mailcow knows."""


class AddressRefused(MailcowError):
    """The key is right, and may not be used from here."""


class ReadOnlyKey(MailcowError):
    """The key may read alone."""


class UnknownObject(MailcowError):
    """What is asked for does not exist in mailcow."""


class Refused(MailcowError):
    """mailcow has read the request and said no."""


class Client:
    """The API at an address, with a key that no error or output ever holds."""

    def __init__(self, url: str, api_key: str, timeout: int = 30, tries: int = TRIES) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise MailcowError(f"url: {url} is no address such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json", "Accept": "application/json"}
        self.timeout = timeout
        self.tries = tries

    def rows(self, *path: str) -> list[Row]:
        """Return a list of objects; nothing is `{}` or `[]`, and one that is gone meanwhile has no values."""
        answer = self._call("GET", "get", *path)
        found = answer if isinstance(answer, list) else list(answer.values()) if isinstance(answer, dict) else []
        return [row for row in found if isinstance(row, dict)]

    def row(self, *path: str) -> Row:
        """Return one object; an empty one when it does not exist."""
        answer = self._call("GET", "get", *path)
        return answer if isinstance(answer, dict) else {}

    def add(self, kind: str, attributes: Row) -> None:
        """Make an object; not tried again once the request was sent, since it may have been done."""
        self._change("add", kind, body=attributes)

    def edit(self, kind: str, items: t.Sequence[t.Any], attributes: Row) -> None:
        """Set attributes of objects."""
        self._change("edit", kind, body={"items": list(items), "attr": attributes})

    def delete(self, kind: str, items: t.Sequence[t.Any]) -> None:
        """Remove objects."""
        self._change("delete", kind, body=list(items))

    def _change(self, verb: str, kind: str, body: t.Any) -> None:
        refused = refusals(self._call("POST", verb, *kind.split("/"), body=body))
        if refused:
            raise Refused(f"mailcow refused to {verb} {kind}: {'; '.join(refused)}")

    def _call(self, method: str, *path: str, body: t.Any = None) -> t.Any:
        # To set something twice is to set it; to add it twice is not.
        again = method == "GET" or path[0] == "edit"
        for left in reversed(range(self.tries)):
            try:
                return self._once(method, path, body)
            except MailcowDown as error:
                sent = not isinstance(error.__cause__, ConnectionRefusedError)
                if not left or (sent and not again):
                    raise
            time.sleep(PAUSE)
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: t.Sequence[str], body: t.Any) -> t.Any:
        url = "/".join([f"{self.url}/api/v1", *(quote(part, safe="@") for part in path)])
        try:
            answer = open_url(
                url,
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
                timeout=self.timeout,
                use_proxy=False,
                follow_redirects="none",
                http_agent="vise.platform",
            )
            status, text = answer.code, answer.read()
        except HTTPError as error:
            status, text = error.code, error.read()
        except Exception as error:  # noqa: BLE001  # open_url lets whatever the connection raises through
            cause = getattr(error, "reason", error)
            down = MailcowDown(f"{self.url} does not answer ({cause}): is mailcow up? docker compose ps tells")
            raise down from (cause if isinstance(cause, BaseException) else error)
        return understood(self.url, status, text)


def understood(url: str, status: int, text: bytes) -> t.Any:
    """Return what an answer holds, or raise what it means."""
    if status in BUSY:
        raise MailcowDown(f"{url} answers with status {status}: mailcow is starting, or one of its containers is down")
    try:
        answer = json.loads(text or b"null")
    except ValueError:
        raise MailcowDown(
            f"{url} answers with status {status} and no JSON: is this mailcow's HTTP port, with HTTP_REDIRECT=n?"
        ) from None
    said = answer.get("msg") if isinstance(answer, dict) and answer.get("type") in ("error", "danger") else None
    words = said if isinstance(said, str) else ""
    if words.startswith("api access denied for ip"):
        raise AddressRefused(f"mailcow takes no API calls from {words.split()[-1]}: add it to API_ALLOW_FROM")
    if status == 401:
        raise WrongKey(f"{url} refuses the API key ({words or 'no reason given'}): is it API_KEY of mailcow.conf?")
    if status == 403:
        raise ReadOnlyKey(f"{url}: the API key may read alone; give the one that may write")
    if status == 404:
        raise MailcowError(f"{url} does not know this call ({words or 'not found'}): is its release a supported one?")
    if status >= 300:
        raise MailcowDown(f"{url} answers with status {status}: {words or 'is HTTP_REDIRECT=n?'}")
    return answer


def refusals(answer: t.Any) -> list[str]:
    """Return what mailcow complains of; the `log` beside it holds what was sent, secrets too."""
    entries = answer if isinstance(answer, list) else [answer]
    if not answer or not all(isinstance(entry, dict) and entry.get("type") for entry in entries):
        return ["it did not say what came of it"]
    return [sentence(entry.get("msg")) for entry in entries if entry["type"] in ("danger", "error")]


def sentence(message: t.Any) -> str:
    """Return mailcow's message, a key with or without values, in words."""
    key, *values = message if isinstance(message, list) and message else [message]
    words = ADVICE.get(str(key), str(key))
    return " ".join([words, f"({', '.join(map(str, values))})" if values else ""]).strip()
