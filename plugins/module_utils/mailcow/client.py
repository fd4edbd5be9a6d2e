# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Client of mailcow's API. The body of an answer shows an error (with status 200) or an empty list (`{}`)."""

from __future__ import annotations

import json
import time
import typing as t
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

from ansible.module_utils.urls import Request

from ..host import clients

TRIES = 4
PAUSE = 2  # seconds; the API does not answer while its containers start
BUSY = (429, 500, 502, 503, 504)
# Advice for mailcow's error keys
ADVICE = {
    "access_denied": "the object does not exist, or the API key has no permission to change it",
    "alias_invalid": "the alias does not exist",
    "domain_invalid": "the domain does not exist, or its name is not valid",
    "domain_not_found": "the domain does not exist: add it to domains",
    "goto_invalid": "a target in goto is not a valid address",
    "is_alias": "an alias has this address: remove the alias first",
    "is_alias_or_mailbox": "a mailbox or an alias has this address: remove it first",
    "mailbox_quota_exceeded": "the quota is larger than the domain's max_quota",
    "mailbox_quota_left_exceeded": "the domain's quota is exhausted: raise it, or set a smaller quota",
    "max_alias_exceeded": "the domain has its maximum number of aliases: raise the limit",
    "max_mailbox_exceeded": "the domain has its maximum number of mailboxes: raise the limit",
    "object_exists": "the object already exists",
    "password_complexity": "the password does not meet mailcow's password policy",
}

Row = dict[str, t.Any]


class MailcowError(Exception):
    """An error for the operator; `tried` has the steps of the plan whose call failed."""

    tried: tuple[str, ...] = ()


class MailcowDown(MailcowError):
    """The API does not answer, or another program answers."""


class WrongKey(MailcowError):
    """mailcow does not know the API key."""


class AddressRefused(MailcowError):
    """The API key is valid, but mailcow does not accept calls from this address."""


class ReadOnlyKey(MailcowError):
    """The API key is read-only."""


class UnknownObject(MailcowError):
    """A referenced object does not exist in mailcow."""


class Refused(MailcowError):
    """mailcow has refused the request."""


class Client:
    """The API at a URL; no error or output contains the key."""

    def __init__(self, url: str, api_key: str, timeout: int = 30, tries: int = TRIES) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise MailcowError(f"url: {url} must be a URL such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        # Also for HTTP: without a context, the library makes one from the environment.
        self._tls = clients.make_tls_context()
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json", "Accept": "application/json"}
        self.timeout = timeout
        self.tries = tries

    def rows(self, *path: str) -> list[Row]:
        """Return a list of objects. An empty list is `{}` or `[]`; an object deleted meanwhile has no values."""
        answer = self._call("GET", "get", *path)
        rows = answer if isinstance(answer, list) else list(answer.values()) if isinstance(answer, dict) else []
        return [row for row in rows if isinstance(row, dict)]

    def row(self, *path: str) -> Row:
        """Return one object; empty if it does not exist."""
        answer = self._call("GET", "get", *path)
        return answer if isinstance(answer, dict) else {}

    def add(self, kind: str, attributes: Row) -> None:
        """Add an object. A request that was sent is not retried, because mailcow may have added the object."""
        self._change("add", kind, body=attributes)

    def edit(self, kind: str, items: t.Sequence[t.Any], attributes: Row) -> None:
        """Change attributes of objects."""
        self._change("edit", kind, body={"items": list(items), "attr": attributes})

    def delete(self, kind: str, items: t.Sequence[t.Any]) -> None:
        """Delete objects."""
        self._change("delete", kind, body=list(items))

    def _change(self, verb: str, kind: str, body: t.Any) -> None:
        errors = find_errors(self._call("POST", verb, *kind.split("/"), body=body))
        if errors:
            raise Refused(f"mailcow refused to {verb} {kind}: {'; '.join(errors)}")

    def _call(self, method: str, *path: str, body: t.Any = None) -> t.Any:
        # A call that reads or edits can be repeated; a call that adds cannot
        repeatable = method == "GET" or path[0] == "edit"
        for left in reversed(range(self.tries)):
            try:
                return self._call_once(method, path, body)
            except MailcowDown as error:
                sent = not isinstance(error.__cause__, ConnectionRefusedError)
                if not left or (sent and not repeatable):
                    raise
            time.sleep(PAUSE)
        raise AssertionError("the last try returns or raises")

    def _call_once(self, method: str, path: t.Sequence[str], body: t.Any) -> t.Any:
        url = "/".join([f"{self.url}/api/v1", *(quote(part, safe="@") for part in path)])
        try:
            answer = Request().open(
                method,
                url,
                data=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
                timeout=self.timeout,
                use_proxy=False,
                follow_redirects="none",
                http_agent="vise.platform",
                use_netrc=False,
                context=self._tls,
            )
            status, text = answer.code, answer.read()
        except HTTPError as error:
            status, text = error.code, error.read()
        except Exception as error:  # noqa: BLE001  # open_url raises each error of the connection
            cause = getattr(error, "reason", error)
            down = MailcowDown(f"{self.url} does not answer ({cause}): run docker compose ps to check mailcow")
            raise down from (cause if isinstance(cause, BaseException) else error)
        return parse_answer(self.url, status, text)


def parse_answer(url: str, status: int, text: bytes) -> t.Any:
    """Return the content of an answer, or raise its error."""
    if status in BUSY:
        raise MailcowDown(f"{url} answers with status {status}: mailcow is starting, or one of its containers is down")
    try:
        answer = json.loads(text or b"null")
    except ValueError:
        raise MailcowDown(
            f"{url} answers with status {status} and no JSON: url must be mailcow's HTTP port, with HTTP_REDIRECT=n"
        ) from None
    message = answer.get("msg") if isinstance(answer, dict) and answer.get("type") in ("error", "danger") else None
    reason = message if isinstance(message, str) else ""
    if reason.startswith("api access denied for ip"):
        raise AddressRefused(f"mailcow does not accept API calls from {reason.split()[-1]}: add it to API_ALLOW_FROM")
    if status == 401:
        raise WrongKey(
            f"{url} refuses the API key ({reason or 'no reason given'}): set api_key to API_KEY of mailcow.conf"
        )
    if status == 403:
        raise ReadOnlyKey(f"{url}: the API key is read-only; set api_key to the read-write key")
    if status == 404:
        raise MailcowError(f"{url} has no such call ({reason or 'not found'}): use a supported release of mailcow")
    if status >= 300:
        raise MailcowDown(f"{url} answers with status {status}: {reason or 'set HTTP_REDIRECT=n in mailcow.conf'}")
    return answer


def find_errors(answer: t.Any) -> list[str]:
    """Return the errors in an answer without its `log`, which repeats the request with its secrets."""
    entries = answer if isinstance(answer, list) else [answer]
    if not answer or not all(isinstance(entry, dict) and entry.get("type") for entry in entries):
        return ["the answer has no result"]
    return [describe_message(entry.get("msg")) for entry in entries if entry["type"] in ("danger", "error")]


def describe_message(message: t.Any) -> str:
    """Return the advice for an error of mailcow, which is an error key with or without values."""
    key, *values = message if isinstance(message, list) and message else [message]
    advice = ADVICE.get(str(key), str(key))
    return " ".join([advice, f"({', '.join(map(str, values))})" if values else ""]).strip()
