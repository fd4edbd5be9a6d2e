"""A stand-in of mailcow's API: its paths, its tables, its errors with status 200."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stand_in.api import accounts, addresses, admins, dkim, domains, limits, relays, status
from stand_in.api.store import Reply, Store

GET = {
    "domain": domains.get,
    "alias-domain": domains.get_alias_domain,
    "mailbox": accounts.get,
    "app-passwd": accounts.get_app_passwords,
    "alias": addresses.get,
    "dkim": dkim.get,
    "domain-admin": admins.get,
    "rl-domain": limits.get_domain,
    "rl-mbox": limits.get_mailbox,
    "fail2ban": limits.get_bans,
    "passwordpolicy": limits.get_password_policy,
    "relayhost": relays.get_relayhost,
    "transport": relays.get_transport,
    "status": status.get,
    "logs": status.get_logs,
    "mailq": status.get_queue,
}
ADD = {
    "domain": domains.add,
    "alias-domain": domains.add_alias_domain,
    "mailbox": accounts.add,
    "app-passwd": accounts.add_app_password,
    "alias": addresses.add,
    "dkim": dkim.add,
    "dkim_duplicate": dkim.duplicate,
    "dkim_import": dkim.import_key,
    "domain-admin": admins.add,
    "relayhost": relays.add_relayhost,
    "transport": relays.add_transport,
}
EDIT = {
    "domain": domains.edit,
    "alias-domain": domains.edit_alias_domain,
    "mailbox": accounts.edit,
    "app-passwd": accounts.edit_app_password,
    "alias": addresses.edit,
    "domain-admin": admins.edit,
    "rl-domain": limits.edit_domain,
    "rl-mbox": limits.edit_mailbox,
    "fail2ban": limits.edit_bans,
    "passwordpolicy": limits.edit_password_policy,
    "relayhost": relays.edit_relayhost,
    "transport": relays.edit_transport,
    "mailq": status.edit_queue,
}
DELETE = {
    "domain": domains.delete,
    "alias-domain": domains.delete_alias_domain,
    "mailbox": accounts.delete,
    "app-passwd": accounts.delete_app_password,
    "alias": addresses.delete,
    "dkim": dkim.delete,
    "domain-admin": admins.delete,
    "relayhost": relays.delete_relayhost,
    "transport": relays.delete_transport,
    "mailq": status.delete_queue,
}


@dataclass
class Request:
    """A request and its client."""

    method: str
    path: str
    body: bytes = b""
    key: str = ""
    address: str = ""


Answer = tuple[int, Any]


def error(status_code: int, message: str) -> Answer:
    """Return an error of the API itself."""
    return status_code, {"type": "error", "msg": message}


def authenticate(store: Store, request: Request) -> str | Answer:
    """Return `rw` or `ro`, or the refusal: 401 for a wrong key and for an address that is not allowed."""
    key = re.sub(r"[^a-zA-Z0-9-]", "", request.key)
    row = store.one("SELECT * FROM api WHERE api_key = %s AND active = 1", key) if key else None
    if row and (row["skip_ip_check"] or limits.allowed(request.address, row["allow_from"])):
        return str(row["access"])
    store.redis.publish("F2B_CHANNEL", f"mailcow UI: Invalid password for API_USER by {request.address}")
    return error(401, f"api access denied for ip {request.address}" if row else "authentication failed")


def dispatch(store: Store, request: Request) -> Answer:
    """Return status and content of the answer to a request."""
    parts = request.path.partition("?")[0].removeprefix("/api/v1/").split("/")
    verb, kind, *rest = [*parts, "", ""]
    if not request.key:
        # Without a key the real API treats it as a page without a login.
        return (200, {}) if verb == "get" else error(403, "API read/write access denied")
    access = authenticate(store, request)
    if not isinstance(access, str):
        return access
    if verb == "get":
        return read(store, request, kind, [part for part in rest if part])
    if verb not in ("add", "edit", "delete"):
        return error(404, "route not found")
    return write(store, request, verb, kind, access)


def read(store: Store, request: Request, kind: str, rest: list[str]) -> Answer:
    """Return an object, a list, or {} if there is none."""
    if request.method != "GET":
        return error(405, "only GET method is allowed")
    if kind not in GET:
        return error(404, "route not found")
    return 200, GET[kind](store, *[*rest, "", ""][:2]) or {}


def write(store: Store, request: Request, verb: str, kind: str, access: str) -> Answer:
    """Change something; return the list of messages, with status 200 also for a refusal."""
    try:
        body = json.loads(request.body)
    except ValueError:
        return error(400, "Request body doesn't contain valid json!")
    if access == "ro":
        return error(403, "API read/write access denied")
    if request.method != "POST":
        return error(405, "only POST method is allowed")
    log_call(store, request, body)
    reply = Reply(verb, kind)
    if verb == "add" and kind in ADD:
        ADD[kind](store, reply, dict(body) if isinstance(body, dict) else {})
    elif verb == "edit" and kind in EDIT:
        if not isinstance(body, dict) or "attr" not in body:
            return error(200, "Cannot find attributes in post data")
        EDIT[kind](store, reply, as_list(body.get("items")), dict(body["attr"] or {}))
    elif verb == "delete" and kind in DELETE:
        DELETE[kind](store, reply, as_list(body))
    else:
        return error(404, "route not found")
    return 200, reply.messages or {"type": "success", "msg": "Task completed"}


def as_list(items: Any) -> list[Any]:
    """Convert like PHP's (array): a value to a list of one, an object to its values."""
    if items is None:
        return []
    if isinstance(items, dict):
        return list(items.values())
    return items if isinstance(items, list) else [items]


def log_call(store: Store, request: Request, body: Any) -> None:
    """Write the log of logs/api. As in the real API, only fields whose name contains `pass` are hidden."""
    attributes = body.get("attr", body) if isinstance(body, dict) else body
    if isinstance(attributes, dict):
        hidden = re.compile("pass", re.IGNORECASE)
        attributes = {key: "*" if hidden.search(key) else value for key, value in attributes.items()}
    line = {"uri": request.path, "method": request.method, "remote": request.address, "data": json.dumps(attributes)}
    store.log("API_LOG", line)
