# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Speak to Cloudflare through its SDK: connect, wait when told to, and say what a refusal means."""

from __future__ import annotations

import json
import ssl
import time
import traceback
import typing as t
from collections.abc import Callable, Mapping

try:
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
    "timeout": {"type": "int", "default": 30},
}
# How often a call is tried, and how long it is waited for in all; who has used up a quota is shut out for five minutes.
TRIES = 6
PATIENCE = 330
FIRST_DELAY = 1.0
# Of these many records a page, and no more than these in one call: by the plan of the zone.
PAGE = 5000
BATCH = {"free": 200}
LARGER_BATCH = 3500
DNS_EDIT = "Zone / DNS / Edit"
DNS_READ = "Zone / DNS / Read"

Json = dict[str, t.Any]


class ApiError(Exception):
    """Cloudflare does not do what it was asked; the text says why and what to do."""


class Transient(ApiError):
    """It may do so later: in so many seconds, when it says so."""

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Forbidden(ApiError):
    """The token may not."""


class Refusal(ApiError):
    """It says that the request is wrong, or that there is no such thing; the errors are as it gave them."""

    def __init__(self, text: str, errors: list[Json], missing: bool = False) -> None:
        super().__init__(text)
        self.errors = errors
        self.missing = missing


class Zone(t.NamedTuple):
    """What a zone is, as far as calls need it."""

    id: str
    name: str
    batch: int


class Session:
    """A connection with its token; every call is counted."""

    def __init__(self, params: Mapping[str, t.Any], sleep: Callable[[float], None] = time.sleep) -> None:
        context = ssl.create_default_context()
        if params.get("ca_path"):
            context.load_verify_locations(params["ca_path"])
        self.calls = 0
        self.sleep = sleep
        # It tries once: whether a change may be sent again is for whoever has read what is there.
        self.api = cloudflare.Cloudflare(
            api_token=params["token"],
            base_url=params["endpoint"].rstrip("/"),
            max_retries=0,
            timeout=float(params["timeout"]),
            http_client=cloudflare.DefaultHttpxClient(
                base_url=params["endpoint"],
                verify=context,
                event_hooks={"request": [self.count]},
            ),
        )

    def count(self, _request: t.Any) -> None:
        """Count a call."""
        self.calls += 1

    def once(self, permission: str, call: Callable[..., t.Any], **arguments: t.Any) -> Json:
        """Make a call; the permission is the one that it needs."""
        try:
            answer = call(**arguments)
            content = json.loads(getattr(answer, "http_response", answer).text)
        except cloudflare.APIStatusError as error:
            raise refused(error.status_code, error.response.headers, error.body, permission) from error
        except cloudflare.APIConnectionError as error:
            raise Transient(f"Cloudflare gave no answer ({error})") from error
        except ValueError as error:
            raise Transient("Cloudflare's answer is no JSON") from error
        return t.cast(Json, content)

    def patiently(self, permission: str, call: Callable[..., t.Any], **arguments: t.Any) -> Json:
        """Make a call that may be repeated, until it is answered."""
        waits = Waits(self.sleep)
        while True:
            try:
                return self.once(permission, call, **arguments)
            except Transient as problem:
                waits.wait(problem)

    def post(self, path: str, body: Json) -> t.Any:
        """Make a call for which the SDK has no method."""
        return self.api.post(path, body=body, cast_to=httpx.Response)

    def zone(self, name: str) -> Zone:
        """Return a zone by its name."""
        call = self.api.zones.with_raw_response.list
        rows = self.patiently("Zone / Zone / Read", call, name=name, per_page=50)["result"]
        if not rows:
            raise ApiError(
                f"Cloudflare has no zone {name} that this token may see; add the zone there, or the zone to the "
                "token's zone resources"
            )
        plan = (rows[0].get("plan") or {}).get("legacy_id", "free")
        return Zone(rows[0]["id"], name, BATCH.get(plan, LARGER_BATCH))

    def zones(self) -> list[Json]:
        """Return all zones that the token sees."""
        return self.every("Zone / Zone / Read", self.api.zones.with_raw_response.list, 50)

    def records(self, zone: Zone, page_size: int = PAGE) -> list[Json]:
        """Return all records of a zone, in as few pages as the API gives."""
        return self.every(DNS_READ, self.api.dns.records.with_raw_response.list, page_size, zone_id=zone.id)

    def every(self, permission: str, call: Callable[..., t.Any], size: int, **arguments: t.Any) -> list[Json]:
        """Return all rows of a list, page after page."""
        found: dict[str, Json] = {}
        page, total = 1, 1
        while len(found) < total:
            answer = self.patiently(permission, call, page=page, per_page=size, **arguments)
            # By id: a row that somebody adds meanwhile moves others to the next page.
            found.update((row["id"], row) for row in answer["result"])
            total = answer["result_info"]["total_count"] if answer["result"] else 0
            page += 1
        return list(found.values())


class Waits:
    """Waiting between tries, as long as the API says or a little longer each time, and not without end."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep
        self.tries = 1
        self.spent = 0.0

    def wait(self, problem: Transient) -> None:
        """Wait before the next try, or give up."""
        delay = problem.after if problem.after is not None else FIRST_DELAY * 2 ** (self.tries - 1)
        if self.tries >= TRIES or self.spent + delay > PATIENCE:
            raise ApiError(f"{problem}; tried {self.tries} times; run it again later") from problem
        self.tries += 1
        self.spent += delay
        self.sleep(delay)


def refused(status: int, headers: Mapping[str, str], body: t.Any, permission: str) -> ApiError:
    """Return what an answer that is an error means."""
    errors = (body.get("errors") or []) if isinstance(body, dict) else []
    said = "; ".join(told(error) for error in errors) or f"status {status}"
    # 9109 stands for a token that does not exist and for one that may not; its words tell them apart.
    unknown = any(error.get("code") == 9109 and "invalid" in str(error.get("message")).lower() for error in errors)
    codes = {error.get("code") for error in errors}
    if status == 429 or status >= 500:
        after = headers.get("retry-after", "")
        return Transient(f"Cloudflare: {said}", float(after) if after.isdigit() else None)
    if unknown or codes & {1000, 6003, 9106} or (status == 401 and 9109 not in codes):
        return ApiError(f"Cloudflare does not accept the token ({said}); make a new one, and store it in the vault")
    if status in (401, 403):
        return Forbidden(
            f"Cloudflare: the token lacks the permission {permission}, or the zone among its resources ({said}); add "
            "it to the token"
        )
    return Refusal(f"Cloudflare: {said}", errors, missing=status == 404)


def told(error: Json) -> str:
    """Return an error in words; what is in the chain is nearer to the cause."""
    chain = error.get("error_chain") or []
    inner = ": ".join(str(one.get("message")) for one in [error, *chain])
    return f"{inner} ({(chain or [error])[-1].get('code')})"
