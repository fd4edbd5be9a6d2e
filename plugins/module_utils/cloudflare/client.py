# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Call Cloudflare's API through its SDK: connect, retry, and explain errors."""

from __future__ import annotations

import json
import time
import traceback
import typing as t
from collections.abc import Callable, Mapping

from ..host import clients
from . import plans

try:
    # The SDK configures its log, which can contain requests, from the environment.
    with clients.clean_environment():
        import httpx

        import cloudflare
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

OPTIONS: dict[str, dict[str, t.Any]] = {
    "token": {"type": "str", "required": True, "no_log": True},
    "endpoint": {"type": "str", "default": "https://api.cloudflare.com/client/v4"},
    "ca_path": {"type": "path"},
    "proxy": {"type": "str"},
    "timeout": {"type": "int", "default": 30},
}
# Attempts per call, and seconds of waiting in all: Cloudflare blocks a token that exceeds its quota for five minutes.
ATTEMPTS = 6
WAIT_LIMIT = 330
FIRST_DELAY = 1.0
# Records per page.
PAGE = 5000
DNS_EDIT = "Zone / DNS / Edit"
DNS_READ = "Zone / DNS / Read"

Json = dict[str, t.Any]


class ApiError(Exception):
    """A call failed; the text has the reason and the remedy."""


class Transient(ApiError):
    """The call may succeed later; retry_after is the number of seconds, if Cloudflare gives one."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Forbidden(ApiError):
    """The token lacks a permission."""


class Refusal(ApiError):
    """The request is invalid, or its object does not exist; `errors` are the errors in the API's answer."""

    def __init__(self, text: str, errors: list[Json], missing: bool = False) -> None:
        super().__init__(text)
        self.errors = errors
        self.missing = missing


class Zone(t.NamedTuple):
    """The properties of a zone that calls need."""

    id: str
    name: str
    batch: int
    # The name in the API.
    plan: str = "free"
    # full, partial (only proxied names are at Cloudflare) or secondary (records come from another server)
    type: str = "full"
    paused: bool = False


class Session:
    """A connection with its token; it counts calls."""

    def __init__(self, params: Mapping[str, t.Any], sleep: Callable[[float], None] = time.sleep) -> None:
        context = clients.make_tls_context(params.get("ca_path") or "")
        self.calls = 0
        self.sleep = sleep
        # In the environment, the SDK finds other credentials, which it prefers to the token, and other headers.
        with clients.clean_environment():
            # The SDK must not retry: a change may be sent again only after the current state was read.
            self.api = cloudflare.Cloudflare(
                api_token=params["token"],
                base_url=params["endpoint"].rstrip("/"),
                max_retries=0,
                timeout=float(params["timeout"]),
                http_client=cloudflare.DefaultHttpxClient(
                    base_url=params["endpoint"],
                    verify=context,
                    proxy=params.get("proxy") or None,
                    trust_env=False,
                    event_hooks={"request": [self.count]},
                ),
            )

    def count(self, _request: t.Any) -> None:
        """Count a request."""
        self.calls += 1

    def call_once(self, permission: str, call: Callable[..., t.Any], **arguments: t.Any) -> Json:
        """Make a call once; `permission` is the name of the permission that the call needs."""
        try:
            answer = call(**arguments)
            content = json.loads(getattr(answer, "http_response", answer).text)
        except cloudflare.APIStatusError as error:
            raise explain_error(error.status_code, error.response.headers, error.body, permission) from error
        except cloudflare.APIConnectionError as error:
            raise Transient(f"Cloudflare gave no answer ({error})") from error
        except ValueError as error:
            raise Transient("Cloudflare's answer is not JSON") from error
        return t.cast(Json, content)

    def call_with_retry(self, permission: str, call: Callable[..., t.Any], **arguments: t.Any) -> Json:
        """Make a call that may be repeated until there is an answer."""
        backoff = Backoff(self.sleep)
        while True:
            try:
                return self.call_once(permission, call, **arguments)
            except Transient as problem:
                backoff.wait(problem)

    def post(self, path: str, body: Json) -> t.Any:
        """Send a request for which the SDK has no method."""
        return self.api.post(path, body=body, cast_to=httpx.Response)

    def zone(self, name: str) -> Zone:
        """Return a zone by its name."""
        call = self.api.zones.with_raw_response.list
        rows = self.call_with_retry("Zone / Zone / Read", call, name=name, per_page=50)["result"]
        if not rows:
            raise ApiError(
                f"zone {name} is not visible to the token; create the zone at Cloudflare, or add it to the zone "
                "resources of the token"
            )
        return describe_zone(rows[0], name)

    def zones(self) -> list[Json]:
        """Return all zones that the token has access to."""
        return self.list_all("Zone / Zone / Read", self.api.zones.with_raw_response.list, 50)

    def records(self, zone: Zone, page_size: int = PAGE) -> list[Json]:
        """Return all records of a zone, in as few pages as the API allows."""
        return self.list_all(DNS_READ, self.api.dns.records.with_raw_response.list, page_size, zone_id=zone.id)

    def list_all(self, permission: str, call: Callable[..., t.Any], size: int, **arguments: t.Any) -> list[Json]:
        """Return all rows of a list, page by page."""
        rows: dict[str, Json] = {}
        page, total = 1, 1
        while len(rows) < total:
            answer = self.call_with_retry(permission, call, page=page, per_page=size, **arguments)
            # By id: a row that is added between two calls moves another row to the next page, which returns it again.
            rows.update((row["id"], row) for row in answer["result"])
            total = answer["result_info"]["total_count"] if answer["result"] else 0
            page += 1
        return list(rows.values())


def describe_zone(row: Json, name: str) -> Zone:
    """Return the properties of a zone in an answer of the API."""
    plan = str((row.get("plan") or {}).get("legacy_id"))
    limits = plans.find_limits(plan)
    batch = limits.batch if limits else plans.SMALLEST_BATCH
    return Zone(row["id"], name, batch, plan, row.get("type") or "full", bool(row.get("paused")))


class Backoff:
    """The delays between attempts: the delay that the API requires, or one that doubles each time, up to a limit."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep
        self.attempts = 1
        self.waited = 0.0

    def wait(self, problem: Transient) -> None:
        """Wait before the next attempt, or give up."""
        delay = problem.retry_after if problem.retry_after is not None else FIRST_DELAY * 2 ** (self.attempts - 1)
        if self.attempts >= ATTEMPTS or self.waited + delay > WAIT_LIMIT:
            raise ApiError(f"{problem}; stopped after {self.attempts} attempts; run it again later") from problem
        self.attempts += 1
        self.waited += delay
        self.sleep(delay)


def explain_error(status: int, headers: Mapping[str, str], body: t.Any, permission: str) -> ApiError:
    """Return the exception for an error response."""
    errors = (body.get("errors") or []) if isinstance(body, dict) else []
    text = "; ".join(describe_error(error) for error in errors) or f"status {status}"
    # 9109 stands for an unknown token and for a missing permission; only the message differs.
    unknown = any(error.get("code") == 9109 and "invalid" in str(error.get("message")).lower() for error in errors)
    codes = {error.get("code") for error in errors}
    if status == 429 or status >= 500:
        after = headers.get("retry-after", "")
        return Transient(f"Cloudflare: {text}", float(after) if after.isdigit() else None)
    if unknown or codes & {1000, 6003, 9106} or (status == 401 and 9109 not in codes):
        return ApiError(f"Cloudflare does not accept the token ({text}); create a new one, and store it in the vault")
    if status in (401, 403):
        return Forbidden(
            f"Cloudflare: the token lacks the permission {permission}, or access to this zone ({text}); change "
            "the token at Cloudflare (My Profile, API Tokens)"
        )
    return Refusal(f"Cloudflare: {text}", errors, missing=status == 404)


def describe_error(error: Json) -> str:
    """Return the text of an error; the last error of its chain has the code of the cause."""
    chain = error.get("error_chain") or []
    messages = ": ".join(str(one.get("message")) for one in [error, *chain])
    return f"{messages} ({(chain or [error])[-1].get('code')})"
