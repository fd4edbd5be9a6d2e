# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Call Cloudflare's API through its SDK: connect, retry, and explain errors."""

from __future__ import annotations

import email.utils
import json
import re
import time
import traceback
import typing as t
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

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
# A zone of this age answers some calls with 403 until all of Cloudflare's servers know it.
YOUNG = timedelta(minutes=15)
# Seconds in all for which calls are repeated after such an answer.
GRACE = 60.0
# Where tokens are managed; those of an account have a prefix since 2026, older ones do not.
USER_TOKENS = "My Profile, API Tokens"
ACCOUNT_TOKENS = "Manage Account, Account API Tokens"
ANY_TOKENS = f"{USER_TOKENS}; for a token of an account: {ACCOUNT_TOKENS}"
TOKEN_PAGES = {"cfut_": USER_TOKENS, "cfat_": ACCOUNT_TOKENS}
# Errors of a token, of a quota, and of a limit of the plan: their codes, or their texts.
UNKNOWN_TOKEN = {1000, 6003, 9103, 9106}
QUOTA_CODES = {81045}
PLAN_CODES = {9300, 9313}
PLAN_TEXT = re.compile(r"\b(entitle\w*|upgrade (your|to|the)|(your|this|the|current|higher|zone's) plan)\b", re.I)
LOCATION = re.compile(r"cannot use the access token from location", re.I)
PAGE_TITLE = re.compile(r"<title>\s*(.*?)\s*</title>", re.I | re.S)
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


class Quota(ApiError):
    """The zone or the account has as many objects as it may have."""


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
    status: str = "active"
    # full, partial (only proxied names are at Cloudflare) or secondary (records come from another server)
    type: str = "full"
    paused: bool = False
    name_servers: Sequence[str] = ()
    # ISO 8601
    created: str = ""

    def warnings(self, proxied: bool) -> list[str]:
        """Return why records that Cloudflare has may not have an effect; `proxied` is whether any is proxied."""
        found = []
        if self.status != "active":
            found.append(
                f"the zone is {self.status} at Cloudflare: its records have no effect and nothing is proxied "
                f"until the registrar has the name servers {', '.join(self.name_servers)}"
            )
        if self.paused and proxied:
            found.append("the zone is paused at Cloudflare: visitors get the addresses of proxied records")
        return found


class Session:
    """A connection with its token; it counts calls."""

    def __init__(self, params: Mapping[str, t.Any], sleep: Callable[[float], None] = time.sleep) -> None:
        context = clients.make_tls_context(params.get("ca_path") or "")
        self.calls = 0
        self.sleep = sleep
        pages = (page for prefix, page in TOKEN_PAGES.items() if params["token"].startswith(prefix))
        self.token_page = next(pages, ANY_TOKENS)
        # The time at Cloudflare, by its last answer; and the seconds for which 403 is not believed.
        self.now: datetime | None = None
        self.grace = 0.0
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
                    event_hooks={"request": [self.count], "response": [self.read_time]},
                ),
            )

    def count(self, _request: t.Any) -> None:
        """Count a request."""
        self.calls += 1

    def read_time(self, answer: t.Any) -> None:
        """Read the time of an answer."""
        try:
            self.now = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            self.now = None

    def call_once(self, permission: str, call: Callable[..., t.Any], **arguments: t.Any) -> Json:
        """Make a call once; `permission` is the name of the permission that the call needs.

        While not all of Cloudflare's servers know a new zone, a call is repeated after 403, which changes nothing.
        """
        delay = FIRST_DELAY
        while True:
            try:
                return self.send(permission, call, arguments)
            except Forbidden:
                if self.grace < delay:
                    raise
                self.grace -= delay
                self.sleep(delay)
                delay *= 2

    def send(self, permission: str, call: Callable[..., t.Any], arguments: Mapping[str, t.Any]) -> Json:
        """Send a request and return the answer; raise an exception that names the cause."""
        try:
            answer = call(**arguments)
            answer = getattr(answer, "http_response", answer)
            content = json.loads(answer.text)
        except cloudflare.APIStatusError as error:
            headers = error.response.headers
            raise explain_error(error.status_code, headers, error.body, permission, self.token_page) from error
        except cloudflare.APIConnectionError as error:
            raise Transient(f"Cloudflare gave no answer ({error})") from error
        except ValueError as error:
            if is_page(answer.text):
                raise explain_page(answer.status_code, answer.headers, answer.text) from error
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
        """Return a zone by its name in ASCII."""
        call = self.api.zones.with_raw_response.list
        rows: list[Json] = []
        # The API has international names as they are written.
        for spelling in dict.fromkeys([written_name(name), name]):
            found = self.call_with_retry("Zone / Zone / Read", call, name=spelling, per_page=50)["result"]
            rows += [row for row in found if row["id"] not in {known["id"] for known in rows}]
        if not rows:
            raise ApiError(
                f"zone {name} is not visible to the token; create the zone at Cloudflare, or add it to the zone "
                "resources of the token"
            )
        zone = describe_zone(choose_zone(rows, name), name)
        self.grace = GRACE if is_young(zone.created, self.now) else 0.0
        return zone

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
    return Zone(
        id=row["id"],
        name=name,
        batch=batch,
        plan=plan,
        status=row.get("status") or "active",
        type=row.get("type") or "full",
        paused=bool(row.get("paused")),
        name_servers=row.get("name_servers") or (),
        created=row.get("created_on") or "",
    )


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


def written_name(name: str) -> str:
    """Return a name in ASCII as people write it, such as `bücher.example` for `xn--bcher-kva.example`."""
    labels = name.split(".")
    try:
        return ".".join(
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label for label in labels
        )
    except UnicodeError:
        return name


def choose_zone(rows: Sequence[Json], name: str) -> Json:
    """Return the zone that a name stands for: the active one, else the only one that was not moved away."""
    ranks = {"active": 0, "pending": 1, "initializing": 1}
    best = min(ranks.get(row.get("status") or "active", 2) for row in rows)
    chosen = [row for row in rows if ranks.get(row.get("status") or "active", 2) == best]
    if len(chosen) == 1:
        return chosen[0]
    lines = [
        f"- {row['id']}: {row.get('type')}, {row.get('status')}, account {(row.get('account') or {}).get('name')}"
        for row in chosen
    ]
    text = f"several zones have the name {name}; limit the zone resources of the token to the account of one of them"
    raise ApiError("\n".join([text, *lines]))


def is_young(created: str, now: datetime | None) -> bool:
    """Return whether a zone was created a short time ago."""
    try:
        age = now - datetime.fromisoformat(created) if now else YOUNG
    except (TypeError, ValueError):
        return False
    return age < YOUNG


def is_page(body: t.Any) -> bool:
    """Return whether a body is a page for people."""
    return isinstance(body, str) and body.lstrip()[:15].lower().startswith(("<!doctype html", "<html"))


def explain_page(status: int, headers: Mapping[str, str], page: str) -> ApiError:
    """Return the exception for a page for people instead of an answer of the API."""
    title = PAGE_TITLE.search(page)
    ray = f", Ray ID {headers['cf-ray']}" if headers.get("cf-ray") else ""
    text = f"a page instead of an answer: status {status}, {title[1] if title else 'no title'}{ray}"
    if status == 429 or status >= 500:
        return Transient(f"Cloudflare is busy or out of service ({text})", retry_after(headers))
    return ApiError(
        f"a firewall or a proxy refused the call, whatever the token permits ({text}); check the proxy and the address "
        "of this controller"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which a call may be repeated, if the answer contains them."""
    after = headers.get("retry-after", "")
    return float(after) if after.isdigit() else None


def explain_error(
    status: int, headers: Mapping[str, str], body: t.Any, permission: str, page: str = ANY_TOKENS
) -> ApiError:
    """Return the exception for an error response; `page` is where the token is managed."""
    if is_page(body):
        return explain_page(status, headers, body)
    errors = (body.get("errors") or []) if isinstance(body, dict) else []
    text = "; ".join(describe_error(error) for error in errors) or f"status {status}"
    # 9109 stands for an unknown token and for a missing permission; only the message differs.
    unknown = any(error.get("code") == 9109 and "invalid" in str(error.get("message")).lower() for error in errors)
    codes = {error.get("code") for error in errors}
    causes = codes | {cause.get("code") for error in errors for cause in error.get("error_chain") or []}
    if status == 429 or status >= 500:
        return Transient(f"Cloudflare is busy or out of service: {text}", retry_after(headers))
    if LOCATION.search(text):
        return ApiError(f"the token may not be used from this address ({text}); change its address filter ({page})")
    if unknown or codes & UNKNOWN_TOKEN or (status == 401 and 9109 not in codes):
        return ApiError(f"Cloudflare does not accept the token ({text}); create a new one, and store it in the vault")
    if causes & QUOTA_CODES:
        return Quota(f"Cloudflare: {text}; remove records that are not needed, or choose a larger plan for the zone")
    if causes & PLAN_CODES or PLAN_TEXT.search(text):
        return Refusal(f"Cloudflare: {text}; the plan of the zone does not include this", errors)
    if status in (401, 403):
        return Forbidden(
            f"Cloudflare: the token lacks the permission {permission}, or access to this zone ({text}); change "
            f"the token at Cloudflare ({page})"
        )
    return Refusal(f"Cloudflare: {text}", errors, missing=status == 404)


def describe_error(error: Json) -> str:
    """Return the text of an error; the last error of its chain has the code of the cause."""
    chain = error.get("error_chain") or []
    messages = ": ".join(str(one.get("message")) for one in [error, *chain])
    return f"{messages} ({(chain or [error])[-1].get('code')})"
